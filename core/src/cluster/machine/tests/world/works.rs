//! What the store, the registry and other nodes make of what they are asked.

use super::*;

impl World {
    pub(super) fn store_of(&mut self, node: usize) -> &mut Store {
        match (&mut self.old_store, self.nodes[node].on_old_store) {
            (Some(old), true) => old,
            _ => &mut self.store,
        }
    }

    pub(super) fn store_works(&mut self, number: usize, fate: Fate) {
        let Some(request) = self.nodes[number].to_store.pop_front() else {
            return;
        };
        let is_done = !matches!(fate, Fate::Lost | Fate::Late) && !self.nodes[number].store_cut;
        let is_heard = !matches!(fate, Fate::Lost | Fate::Late | Fate::AnswerLost);
        let is_heard = is_heard && !self.nodes[number].store_cut;
        if matches!(fate, Fate::Late | Fate::Doubled) {
            self.nodes[number].late.push_back(request.clone());
        }
        let store = self.store_of(number);
        let event = match request {
            ToStore::Life => {
                let life = is_heard.then_some(Life(store.life));
                FromDirectory::Life(SHARD, life)
            }
            ToStore::Run(life, operation, tag) => {
                let answer = match life == Life(store.life) {
                    true if is_done => Ok(store.run(&operation)),
                    true => Err(Failed::Unknown),
                    false => Err(Failed::OtherLife),
                };
                let answer = if is_heard {
                    answer
                } else {
                    Err(Failed::Unknown)
                };
                FromDirectory::Answer(SHARD, tag, answer, Duration::from_millis(1))
            }
        };
        self.tell(number, Event::Directory(event));
    }

    /// What was given up, or done before, is done after all.
    pub(super) fn late_comes(&mut self) {
        for number in 0..self.nodes.len() {
            for request in std::mem::take(&mut self.nodes[number].late) {
                let store = self.store_of(number);
                if let ToStore::Run(life, operation, _) = request
                    && life == Life(store.life)
                {
                    store.run(&operation);
                }
            }
        }
    }

    pub(super) fn registry_works(&mut self, number: usize, fate: Fate) {
        let Some(request) = self.nodes[number].to_registry.pop_front() else {
            return;
        };
        let is_cut = self.nodes[number].registry_cut;
        let is_done = fate != Fate::Lost && !is_cut;
        let is_heard = fate == Fate::Arrives && !is_cut;
        let node: Arc<str> = number.to_string().into();
        let event = match &request {
            ToRegistry::Boot(_) => {
                let mut life = self
                    .registry
                    .boots
                    .get(&node)
                    .map(|(revision, _)| *revision);
                if is_done && life.is_none() {
                    self.registry.revision += 1;
                    life = Some(self.registry.revision);
                    let instance = format!("process {number}").into();
                    self.registry
                        .boots
                        .insert(node, (self.registry.revision, instance));
                }
                let life = life.filter(|_| is_heard);
                life.map(|revision| {
                    FromRegistry::Booted(Incarnation {
                        registry: REGISTRY,
                        revision,
                    })
                })
            }
            ToRegistry::Register(asked, life, lives) => {
                let stands = self
                    .registry
                    .boots
                    .get(&node)
                    .map(|(revision, _)| *revision);
                let is_own = stands == Some(life.revision);
                if is_done && is_own {
                    self.registry.revision += 1;
                    let record = (self.registry.revision, *life, lives.clone());
                    self.registry.nodes.insert(node, record);
                    let until = self.now + LEASE;
                    self.nodes[number].lease_until = until;
                }
                match is_own {
                    _ if !is_heard => None,
                    true => Some(FromRegistry::Stands(*asked)),
                    false => Some(FromRegistry::Ended(*life)),
                }
            }
            ToRegistry::End(node, life) => {
                let stands = self.registry.boots.get(node).map(|(revision, _)| *revision);
                let record = self.registry.nodes.get(node);
                let is_registered = record.is_some_and(|(_, registered, _)| registered == life);
                if is_done && stands == Some(life.revision) && !is_registered {
                    self.registry.revision += 1;
                    self.registry.boots.remove(node);
                    let ended: usize = node.parse().expect("a number");
                    self.stands_no_more(|number, _| number == ended);
                }
                None
            }
            ToRegistry::Newest(asked) => {
                let newest = is_heard.then(|| self.registry.newest());
                Some(FromRegistry::Newest(*asked, newest))
            }
            ToRegistry::Read(asked) => {
                let view = is_heard.then(|| self.registry.view());
                Some(FromRegistry::Read(*asked, view))
            }
        };
        match event {
            Some(event) => self.tell(number, Event::Registry(event)),
            // These are tried until there is an answer.
            None if matches!(request, ToRegistry::Boot(_)) => {
                self.nodes[number].to_registry.push_front(request);
            }
            None if matches!(request, ToRegistry::Register(..)) => {
                let mut later = self.nodes[number].to_registry.iter();
                if !later.any(|later| matches!(later, ToRegistry::Register(..))) {
                    self.nodes[number].to_registry.push_front(request);
                }
            }
            None => {}
        }
    }

    pub(super) fn peer_hears(&mut self, from: usize, to: usize, fate: Fate) {
        let line = self.nodes[from].to_peers.get_mut(&to);
        let Some(message) = line.and_then(VecDeque::pop_front) else {
            return;
        };
        let own = self.nodes[to].machine.members.own();
        let is_up = self.nodes[to].state == Up::Runs;
        let is_lost = fate == Fate::Lost || !is_up;
        let is_to = |life: Incarnation| own == Some(life);
        let event = match message {
            Said::Ask(asker, asked, number, _) if is_lost || !is_to(asked) => {
                if self.nodes[from].machine.members.own() == Some(asker) {
                    let told = FromPeer::Told(asked, number, None);
                    self.tell(from, Event::Peer(told));
                }
                return;
            }
            _ if is_lost => return,
            Said::Ended(lives) => FromPeer::Ended(lives),
            Said::Fence(from, _, user, claim) => FromPeer::Fence(from, user, claim),
            Said::Fenced(_, claim) => FromPeer::Fenced(claim),
            Said::Ask(asker, _, number, user) => FromPeer::Ask(asker, number, user),
            Said::Told(asked, asker, number, claims) if is_to(asker) => {
                FromPeer::Told(asked, number, Some(claims))
            }
            Said::Told(..) => return,
        };
        self.tell(to, Event::Peer(event.clone()));
        if fate == Fate::Doubled {
            self.tell(to, Event::Peer(event));
        }
    }
}
