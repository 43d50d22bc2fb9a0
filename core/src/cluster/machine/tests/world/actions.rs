//! What a machine wants done is on its way.

use super::*;

impl World {
    pub(super) fn node_of(&self, life: Incarnation) -> Option<usize> {
        let lives = |node: &Node| node.machine.members.own() == Some(life);
        self.nodes.iter().position(lives)
    }

    pub(super) fn send(&mut self, from: usize, to: Incarnation, message: Said) {
        if let Some(to) = self.node_of(to) {
            self.nodes[from]
                .to_peers
                .entry(to)
                .or_default()
                .push_back(message);
        } else if let Said::Ask(_, asked, number, _) = message {
            self.tell(from, Event::Peer(FromPeer::Told(asked, number, None)));
        }
    }

    pub(super) fn act(&mut self, number: usize, action: Action) {
        let own = self.nodes[number].machine.members.own();
        let node = &mut self.nodes[number];
        match action {
            Action::Boot(over) => node.to_registry.push_back(ToRegistry::Boot(over)),
            Action::Register(asked, life, lives) => {
                let asks = |request: &ToRegistry| !matches!(request, ToRegistry::Register(..));
                node.to_registry.retain(asks);
                node.to_registry
                    .push_back(ToRegistry::Register(asked, life, lives));
            }
            Action::End(node_id, life) => {
                node.to_registry.push_back(ToRegistry::End(node_id, life));
            }
            Action::AskNewest(asked) => node.to_registry.push_back(ToRegistry::Newest(asked)),
            Action::ReadView(asked) => node.to_registry.push_back(ToRegistry::Read(asked)),
            Action::Probe(life) => {
                let up = self
                    .node_of(life)
                    .filter(|node| self.nodes[*node].state == Up::Runs);
                let event = match up {
                    Some(_) => FromPeer::Answers(life),
                    None => FromPeer::Silent(life),
                };
                self.tell(number, Event::Peer(event));
            }
            Action::TellEnded(lives) => {
                for to in 0..self.nodes.len() {
                    if to != number {
                        let line = self.nodes[number].to_peers.entry(to).or_default();
                        line.push_back(Said::Ended(lives.clone()));
                    }
                }
            }
            Action::Fence(to, user, claim) => {
                if let Some(own) = own {
                    self.send(number, to, Said::Fence(own, to, user, claim));
                }
            }
            Action::Fenced(to, claim) => self.send(number, to, Said::Fenced(to, claim)),
            Action::Ask(to, asked, user) => {
                if let Some(own) = own {
                    self.send(number, to, Said::Ask(own, to, asked, user));
                }
            }
            Action::Tell(to, asked, claims) => {
                if let Some(own) = own {
                    self.send(number, to, Said::Told(own, to, asked, claims));
                }
            }
            Action::ReadLife(_) => node.to_store.push_back(ToStore::Life),
            Action::Run(_, life, operation, tag) => {
                node.to_store.push_back(ToStore::Run(life, operation, tag));
            }
            Action::Serve(id) => {
                if let Some(link) = node.links.get_mut(&id) {
                    link.is_served = true;
                }
            }
            Action::Replace(id) | Action::Refuse(id) => self.logout(number, id),
            Action::LetGo => {
                let links: Vec<u64> = node.links.keys().copied().collect();
                for link in links {
                    self.logout(number, link);
                }
            }
            Action::Found(ticket, holders, verdict) => {
                self.is_found(number, ticket, &holders, verdict);
            }
            Action::Note(note @ (Note::Lags(_) | Note::Lost(_))) => node.notes.push(note),
            Action::Come(_) | Action::Note(_) => {}
        }
    }

    pub(super) fn is_found(
        &mut self,
        number: usize,
        ticket: u64,
        holders: &[Holder],
        verdict: Option<Verdict>,
    ) {
        let Some(known) = self.nodes[number].tickets.get_mut(&ticket) else {
            return;
        };
        known
            .found
            .extend(holders.iter().map(|holder| holder.incarnation));
        let Some(verdict) = verdict else {
            return;
        };
        let known = self.nodes[number]
            .tickets
            .remove(&ticket)
            .expect("it is there");
        let is_all =
            verdict == Verdict::Certain && (known.need == Need::Certain || known.found.is_empty());
        if is_all {
            for (node, link) in &known.standing {
                let own = self.nodes[*node].machine.members.own();
                let is_found = own.is_some_and(|own| known.found.contains(&own));
                assert!(
                    is_found,
                    "node {number} is certain that it has found all, but not link {link} of node {node}"
                );
            }
        }
    }
}
