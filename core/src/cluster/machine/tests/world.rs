//! Some nodes with their machines, one store, one registry, and what is under way between them.
//!
//! What a node asks of the store, of the registry, or of another node stands in a line of its own until a step takes it
//! there. A step is one [`Choice`]; faults are choices too, as many as the world has left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::machine::*;
use crate::cluster::registry::{Boot, Mark, NodeRecord, View};
use crate::edges::directory::{
    Claim, ClaimId, ClaimState, Incarnation, Life, Operation, Record, Shard, User,
};

pub(super) const LEASE: Duration = Duration::from_secs(10);
pub(super) const SUSPECT_FOR: Duration = Duration::from_secs(30);
const SHARD: Shard = Shard(0);

pub(super) fn user() -> User {
    ("chat".into(), "ann".into())
}

/// One step of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Choice {
    /// The store works off the first request of a node, and the answer arrives, or is lost.
    Store(usize, Fate),
    /// So does the registry.
    Registry(usize, Fate),
    /// A node is told what stands in the registry.
    View(usize),
    /// A node gets the first message of another one, or does not, or gets it twice.
    Peer(usize, usize, Fate),
    /// A client comes to a node.
    Login(usize, &'static str),
    /// A link of a node goes.
    Logout(usize, u64),
    /// A push looks for the user from a node.
    Look(usize, Need),
    /// Time passes until something is due.
    Wait,
    /// The store fails over, and loses the last write.
    Failover,
    /// The store is emptied.
    Flush,
    /// The store fails over, and this node goes on with the old one.
    Split(usize),
    /// All go to the same store again.
    Join,
    /// The store does not answer this node, from now on or no longer.
    CutStore(usize),
    /// The registry does not answer this node, from now on or no longer.
    CutRegistry(usize),
    /// A node is stopped in the midst of everything.
    Freeze(usize),
    /// It goes on.
    Thaw(usize),
    /// A node is no more.
    Kill(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    Arrives,
    /// It is done, and nobody hears of it.
    AnswerLost,
    /// It is not done.
    Lost,
    /// It is done twice.
    Doubled,
    /// It is done later, when it was given up.
    Late,
}

/// What may go wrong, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// Something else arrives than what has waited longest.
    pub(super) detours: u32,
    pub(super) lost: u32,
    pub(super) doubled: u32,
    pub(super) late: u32,
    pub(super) failovers: u32,
    pub(super) flushes: u32,
    pub(super) splits: u32,
    pub(super) store_cuts: u32,
    pub(super) registry_cuts: u32,
    pub(super) freezes: u32,
    pub(super) kills: u32,
    /// Time may pass with something under way.
    pub(super) slow: u32,
    pub(super) waits: u32,
    pub(super) looks: Vec<(usize, Need)>,
    pub(super) logins: Vec<(usize, &'static str)>,
    pub(super) logouts: u32,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) now: Time,
    pub(super) nodes: Vec<Node>,
    store: Store,
    /// The one before a failover that some still use.
    old_store: Option<Store>,
    lives: u64,
    registry: Registry,
    pub(super) budget: Budget,
    settings: Settings,
    next_ticket: u64,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub(super) machine: Machine,
    pub(super) state: Up,
    pub(super) links: BTreeMap<u64, Link>,
    next_link: u64,
    to_store: VecDeque<ToStore>,
    /// What the store does once more, or only now.
    late: VecDeque<ToStore>,
    to_registry: VecDeque<ToRegistry>,
    to_peers: BTreeMap<usize, VecDeque<FromPeer_>>,
    seen: u64,
    on_old_store: bool,
    store_cut: bool,
    registry_cut: bool,
    pub(super) tickets: BTreeMap<u64, Ticket>,
    lease_until: Time,
    /// Of the notes, those that want a person.
    notes: Vec<Note>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Up {
    Runs,
    Frozen,
    Dead,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Link {
    pub(super) device: &'static str,
    pub(super) is_served: bool,
}

/// A push that looks for the user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ticket {
    need: Need,
    /// Links that are served since it began, by node.
    standing: BTreeSet<(usize, u64)>,
    found: BTreeSet<Incarnation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum ToStore {
    Life,
    Run(Life, Operation, Tag),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum ToRegistry {
    Boot(Option<Incarnation>),
    Register(u64, Incarnation, BTreeSet<Life>),
    End(Arc<str>, Incarnation),
    Newest(u64),
    Read(u64),
}

/// As [`FromPeer`], from whom and to which life.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum FromPeer_ {
    Ended(Vec<Incarnation>),
    Fence(Incarnation, Incarnation, User, ClaimId),
    Fenced(Incarnation, ClaimId),
    Ask(Incarnation, Incarnation, u64, User),
    Told(Incarnation, Incarnation, u64, Vec<Claim>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Store {
    life: u64,
    record: Record,
    before: Record,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Registry {
    revision: u64,
    boots: BTreeMap<Arc<str>, (u64, Arc<str>)>,
    nodes: BTreeMap<Arc<str>, (u64, Incarnation, BTreeSet<Life>)>,
}

const REGISTRY: u64 = 7;

impl Registry {
    fn view(&self) -> Arc<View> {
        let boots = self.boots.iter().map(|(node, (revision, instance))| {
            let life = Incarnation {
                registry: REGISTRY,
                revision: *revision,
            };
            (
                life,
                Boot {
                    node: Arc::clone(node),
                    instance: Arc::clone(instance),
                },
            )
        });
        let nodes = self.nodes.iter().map(|(node, (_, incarnation, lives))| {
            let record = NodeRecord {
                id: Arc::clone(node),
                ip: String::new(),
                port: 0,
                weight: 1,
                location: String::new(),
                labels: Vec::new(),
                capacity: 0,
                load: Default::default(),
                incarnation: Some(*incarnation),
                peer: String::new(),
                public: String::new(),
                state: Default::default(),
                version: String::new(),
                schema: 1,
                generation: 1,
                lives: lives.clone(),
            };
            (Arc::clone(node), Arc::new(record))
        });
        Arc::new(View {
            mark: self.mark(self.revision),
            boots: boots.collect(),
            nodes: nodes.collect(),
        })
    }

    fn mark(&self, revision: u64) -> Mark {
        Mark {
            registry: REGISTRY,
            boots: revision,
            nodes: revision,
        }
    }

    fn newest(&self) -> Mark {
        let boots = self.boots.values().map(|(revision, _)| *revision);
        let newest = boots
            .chain(self.nodes.values().map(|(revision, ..)| *revision))
            .max();
        self.mark(newest.unwrap_or(0))
    }

    fn lives(&self, life: Incarnation) -> bool {
        self.boots
            .values()
            .any(|(revision, _)| *revision == life.revision)
    }
}

impl Store {
    fn run(&mut self, operation: &Operation) -> Record {
        let before = self.record.clone();
        let record = &mut self.record;
        let answer = match operation {
            Operation::Find(_) => return record.clone(),
            Operation::Claim(of) => {
                let epoch = match of.epoch {
                    Some(epoch) => epoch,
                    None => record.epoch + of.raise,
                };
                record.epoch = record.epoch.max(epoch);
                if !record.displaced.iter().any(|claim| claim.id == of.id) {
                    let known = record.claims.iter().position(|claim| claim.id == of.id);
                    let known = known.map(|at| record.claims.remove(at));
                    let epoch = known.map_or(epoch, |known| known.epoch.max(epoch));
                    record.claims.push(Claim {
                        id: of.id,
                        device: of.device.clone(),
                        epoch,
                        state: ClaimState::Online,
                    });
                    record.claims.sort_by_key(|claim| (claim.epoch, claim.id));
                    let same = |claim: &&Claim| claim.device == of.device;
                    let more = record.claims.iter().filter(same).count();
                    let more = more.saturating_sub(of.most as usize);
                    let gone = record.claims.iter().filter(same).take(more).cloned();
                    let gone: Vec<Claim> = gone.collect();
                    record.claims.retain(|claim| !gone.contains(claim));
                    record.displaced.extend(gone);
                }
                record.clone()
            }
            Operation::Release(_, id) => {
                record.claims.retain(|claim| claim.id != *id);
                record.displaced.retain(|claim| claim.id != *id);
                Record::default()
            }
            Operation::Park(_, id) => {
                let mut claims = record.claims.iter_mut();
                if let Some(claim) = claims.find(|claim| claim.id == *id) {
                    claim.state = ClaimState::Resumable;
                }
                Record::default()
            }
            Operation::Confirm(_, ids) => {
                record.displaced.retain(|claim| !ids.contains(&claim.id));
                Record::default()
            }
        };
        self.before = before;
        answer
    }
}

/// Users are spread over so many shards, and nobody is looked for.
pub(super) fn over(shards: u16) -> FromDirectory {
    FromDirectory::Spread(Spread {
        shards,
        ..Spread::default()
    })
}

impl World {
    /// So many nodes that have just begun.
    pub(super) fn new(nodes: usize, admits: bool) -> Self {
        let settings = Settings {
            node: "".into(),
            instance: "".into(),
            peer: "".into(),
            lease: LEASE,
            suspect_for: SUSPECT_FOR,
            resume_for: Duration::from_secs(60),
            keep: Duration::from_secs(172_800),
            admits,
            looks_per_second: 1000,
        };
        let node = |number: usize| Node {
            machine: Machine::new(
                Settings {
                    node: number.to_string().into(),
                    instance: format!("process {number}").into(),
                    ..settings.clone()
                },
                Time::ZERO,
            ),
            state: Up::Runs,
            links: BTreeMap::new(),
            next_link: 1,
            to_store: VecDeque::new(),
            late: VecDeque::new(),
            to_registry: VecDeque::from([ToRegistry::Boot(None)]),
            to_peers: BTreeMap::new(),
            seen: 0,
            on_old_store: false,
            store_cut: false,
            registry_cut: false,
            tickets: BTreeMap::new(),
            lease_until: Time::ZERO,
            notes: Vec::new(),
        };
        let mut world = Self {
            now: Time::ZERO,
            nodes: (0..nodes).map(node).collect(),
            store: Store {
                life: 1,
                ..Store::default()
            },
            old_store: None,
            lives: 1,
            registry: Registry::default(),
            budget: Budget::default(),
            settings,
            next_ticket: 1,
        };
        for node in 0..nodes {
            world.tell(node, Event::Directory(over(1)));
        }
        world.settle();
        world
    }

    /// Everything that is under way arrives, until nothing is; no time passes.
    pub(super) fn settle(&mut self) {
        while let Some(choice) = self.arrivals().into_iter().next() {
            self.take(&choice);
        }
    }

    /// So much time passes, and everything arrives meanwhile.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        self.settle();
        while self.next_timer().is_some_and(|at| at <= until) {
            self.advance(until);
            self.settle();
        }
        self.now = until;
        self.tick();
        self.settle();
    }

    /// What is under way and may arrive now.
    fn arrivals(&self) -> Vec<Choice> {
        let mut choices = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            if node.state != Up::Runs {
                continue;
            }
            if !node.to_store.is_empty() {
                choices.push(Choice::Store(number, Fate::Arrives));
            }
            let waits = node.registry_cut && node.waits_for_registry();
            if !node.to_registry.is_empty() && !waits {
                choices.push(Choice::Registry(number, Fate::Arrives));
            }
            if !node.registry_cut && node.seen < self.registry.revision {
                choices.push(Choice::View(number));
            }
            for (to, line) in &node.to_peers {
                let is_up = self.nodes[*to].state != Up::Frozen;
                if !line.is_empty() && is_up {
                    choices.push(Choice::Peer(number, *to, Fate::Arrives));
                }
            }
        }
        choices
    }

    /// Nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.arrivals().is_empty()
    }

    /// All steps that the world may take.
    pub(super) fn choices(&self) -> Vec<Choice> {
        let mut choices = self.arrivals();
        let budget = &self.budget;
        let is_busy = !choices.is_empty();
        if budget.detours == 0 {
            choices.truncate(1);
        }
        for choice in choices.clone() {
            let fates: &[(Fate, u32)] = match &choice {
                Choice::Store(..) => &[
                    (Fate::AnswerLost, budget.lost),
                    (Fate::Lost, budget.lost),
                    (Fate::Late, budget.late),
                    (Fate::Doubled, budget.doubled),
                ],
                Choice::Registry(..) => {
                    &[(Fate::AnswerLost, budget.lost), (Fate::Lost, budget.lost)]
                }
                Choice::Peer(..) => &[(Fate::Lost, budget.lost), (Fate::Doubled, budget.doubled)],
                _ => &[],
            };
            for (fate, left) in fates {
                if *left > 0 {
                    choices.push(match choice {
                        Choice::Store(node, _) => Choice::Store(node, *fate),
                        Choice::Registry(node, _) => Choice::Registry(node, *fate),
                        Choice::Peer(from, to, _) => Choice::Peer(from, to, *fate),
                        _ => continue,
                    });
                }
            }
        }
        choices.extend(
            budget
                .logins
                .first()
                .map(|(node, device)| Choice::Login(*node, device)),
        );
        choices.extend(
            budget
                .looks
                .first()
                .map(|(node, need)| Choice::Look(*node, *need)),
        );
        choices.retain(|choice| match choice {
            Choice::Login(node, _) | Choice::Look(node, _) => self.nodes[*node].state == Up::Runs,
            _ => true,
        });
        if budget.waits > 0 && (!is_busy || budget.slow > 0) {
            choices.push(Choice::Wait);
        }
        if budget.failovers > 0 && self.old_store.is_none() {
            choices.push(Choice::Failover);
        }
        if budget.flushes > 0 {
            choices.push(Choice::Flush);
        }
        if self.old_store.is_some() {
            choices.push(Choice::Join);
        }
        for (number, node) in self.nodes.iter().enumerate() {
            if budget.logouts > 0 && node.state == Up::Runs {
                choices.extend(node.links.keys().map(|link| Choice::Logout(number, *link)));
            }
            if budget.splits > 0 && self.old_store.is_none() && node.state == Up::Runs {
                choices.push(Choice::Split(number));
            }
            if node.store_cut || budget.store_cuts > 0 && node.state == Up::Runs {
                choices.push(Choice::CutStore(number));
            }
            if node.registry_cut || budget.registry_cuts > 0 && node.state == Up::Runs {
                choices.push(Choice::CutRegistry(number));
            }
            match node.state {
                Up::Runs if budget.freezes > 0 => choices.push(Choice::Freeze(number)),
                Up::Frozen => choices.push(Choice::Thaw(number)),
                _ => {}
            }
            if budget.kills > 0 && node.state != Up::Dead {
                choices.push(Choice::Kill(number));
            }
        }
        choices
    }

    /// Takes one of its choices.
    pub(super) fn choose(&mut self, choice: &Choice) {
        let arrivals = self.arrivals();
        if arrivals.first() != Some(choice) && arrivals.contains(choice) {
            self.budget.detours -= 1;
        }
        self.spend(choice, !arrivals.is_empty());
        self.take(choice);
    }

    /// A fault, or what else there is only so much of.
    fn spend(&mut self, choice: &Choice, is_busy: bool) {
        let budget = &mut self.budget;
        let left = match choice {
            Choice::Store(_, fate) | Choice::Registry(_, fate) | Choice::Peer(_, _, fate) => {
                match fate {
                    Fate::Arrives => return,
                    Fate::Lost | Fate::AnswerLost => &mut budget.lost,
                    Fate::Doubled => &mut budget.doubled,
                    Fate::Late => &mut budget.late,
                }
            }
            Choice::Login(..) => {
                budget.logins.remove(0);
                return;
            }
            Choice::Look(..) => {
                budget.looks.remove(0);
                return;
            }
            Choice::Logout(..) => &mut budget.logouts,
            Choice::Wait => {
                budget.slow -= u32::from(is_busy);
                &mut budget.waits
            }
            Choice::Failover => &mut budget.failovers,
            Choice::Flush => &mut budget.flushes,
            Choice::Split(_) => &mut budget.splits,
            Choice::CutStore(node) if !self.nodes[*node].store_cut => &mut budget.store_cuts,
            Choice::CutRegistry(node) if !self.nodes[*node].registry_cut => {
                &mut budget.registry_cuts
            }
            Choice::Freeze(_) => &mut budget.freezes,
            Choice::Kill(_) => &mut budget.kills,
            _ => return,
        };
        *left -= 1;
    }

    /// Takes one step.
    pub(super) fn take(&mut self, choice: &Choice) {
        match choice {
            Choice::Store(node, fate) => self.store_works(*node, *fate),
            Choice::Registry(node, fate) => self.registry_works(*node, *fate),
            Choice::View(node) => {
                let view = self.registry.view();
                self.nodes[*node].seen = self.registry.revision;
                self.tell(*node, Event::Registry(FromRegistry::View(view)));
            }
            Choice::Peer(from, to, fate) => self.peer_hears(*from, *to, *fate),
            Choice::Login(node, device) => {
                self.login(*node, device);
            }
            Choice::Logout(node, link) => {
                self.logout(*node, *link);
            }
            Choice::Look(node, need) => {
                self.look(*node, *need);
            }
            Choice::Wait => {
                self.advance(self.now + Duration::from_secs(5));
            }
            Choice::Failover => {
                self.fail_over();
            }
            Choice::Flush => {
                self.lives += 1;
                self.store = Store {
                    life: self.lives,
                    ..Store::default()
                };
            }
            Choice::Split(node) => {
                self.old_store = Some(self.store.clone());
                self.fail_over();
                self.nodes[*node].on_old_store = true;
            }
            Choice::Join => {
                self.old_store = None;
                self.nodes
                    .iter_mut()
                    .for_each(|node| node.on_old_store = false);
            }
            Choice::CutStore(node) => {
                let cut = &mut self.nodes[*node].store_cut;
                *cut = !*cut;
            }
            Choice::CutRegistry(node) => {
                let cut = &mut self.nodes[*node].registry_cut;
                *cut = !*cut;
                let is_cut = *cut;

                let event = match is_cut {
                    true => FromRegistry::Silent,
                    false => FromRegistry::Answers,
                };
                self.tell(*node, Event::Registry(event));
            }
            Choice::Freeze(node) => {
                self.nodes[*node].state = Up::Frozen;
                self.stands_no_more(|number, _| number == *node);
            }
            Choice::Thaw(node) => {
                self.nodes[*node].state = Up::Runs;
                self.tell(*node, Event::Tick);
            }
            Choice::Kill(node) => {
                self.nodes[*node].state = Up::Dead;
                self.nodes[*node].links.clear();
                self.nodes[*node].tickets.clear();
                self.stands_no_more(|number, _| number == *node);
            }
        }
    }

    fn fail_over(&mut self) {
        self.lives += 1;
        let record = self.store.before.clone();
        self.store = Store {
            life: self.lives,
            before: record.clone(),
            record,
        };
    }

    pub(super) fn login(&mut self, node: usize, device: &'static str) {
        let link = self.nodes[node].next_link;
        self.nodes[node].next_link += 1;
        let new = Link {
            device,
            is_served: false,
        };
        self.nodes[node].links.insert(link, new);
        let new = NewLink {
            link,
            user: user(),
            shard: SHARD,
            device: Some(device.into()),
            most: 1,
        };
        self.tell(node, Event::Link(OfLink::Came(new)));
    }

    pub(super) fn logout(&mut self, node: usize, link: u64) {
        if self.nodes[node].links.remove(&link).is_some() {
            self.stands_no_more(|number, id| number == node && id == link);
            self.tell(node, Event::Link(OfLink::Went(link)));
        }
    }

    pub(super) fn look(&mut self, node: usize, need: Need) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let nodes = self.nodes.iter().enumerate();
        let up = nodes.filter(|(_, node)| node.state == Up::Runs && self.lives(node));
        let standing = up.flat_map(|(number, node)| {
            let links = node.links.iter().filter(|(_, link)| link.is_served);
            links.map(move |(id, _)| (number, *id))
        });
        let known = Ticket {
            need,
            standing: standing.collect(),
            found: BTreeSet::new(),
        };
        self.nodes[node].tickets.insert(ticket, known);
        let look = OfPush::Look(ticket, user(), SHARD, need);
        self.tell(node, Event::Push(look));
        ticket
    }

    /// These links, by node, do not stand all the time any more.
    fn stands_no_more(&mut self, gone: impl Fn(usize, u64) -> bool) {
        let tickets = self
            .nodes
            .iter_mut()
            .flat_map(|node| node.tickets.values_mut());
        for ticket in tickets {
            ticket.standing.retain(|(number, id)| !gone(*number, *id));
        }
    }

    fn lives(&self, node: &Node) -> bool {
        node.machine
            .members
            .own()
            .is_some_and(|own| self.registry.lives(own))
    }

    fn store_of(&mut self, node: usize) -> &mut Store {
        match (&mut self.old_store, self.nodes[node].on_old_store) {
            (Some(old), true) => old,
            _ => &mut self.store,
        }
    }

    fn store_works(&mut self, number: usize, fate: Fate) {
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
    fn late_comes(&mut self) {
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

    fn registry_works(&mut self, number: usize, fate: Fate) {
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

    fn peer_hears(&mut self, from: usize, to: usize, fate: Fate) {
        let line = self.nodes[from].to_peers.get_mut(&to);
        let Some(message) = line.and_then(VecDeque::pop_front) else {
            return;
        };
        let own = self.nodes[to].machine.members.own();
        let is_up = self.nodes[to].state == Up::Runs;
        let is_lost = fate == Fate::Lost || !is_up;
        let is_to = |life: Incarnation| own == Some(life);
        let event = match message {
            FromPeer_::Ask(asker, asked, number, _) if is_lost || !is_to(asked) => {
                if self.nodes[from].machine.members.own() == Some(asker) {
                    let told = FromPeer::Told(asked, number, None);
                    self.tell(from, Event::Peer(told));
                }
                return;
            }
            _ if is_lost => return,
            FromPeer_::Ended(lives) => FromPeer::Ended(lives),
            FromPeer_::Fence(from, _, user, claim) => FromPeer::Fence(from, user, claim),
            FromPeer_::Fenced(_, claim) => FromPeer::Fenced(claim),
            FromPeer_::Ask(asker, _, number, user) => FromPeer::Ask(asker, number, user),
            FromPeer_::Told(asked, asker, number, claims) if is_to(asker) => {
                FromPeer::Told(asked, number, Some(claims))
            }
            FromPeer_::Told(..) => return,
        };
        self.tell(to, Event::Peer(event.clone()));
        if fate == Fate::Doubled {
            self.tell(to, Event::Peer(event));
        }
    }

    fn next_timer(&self) -> Option<Time> {
        let running = self.nodes.iter().filter(|node| node.state == Up::Runs);
        running.filter_map(|node| node.machine.next_timer()).min()
    }

    /// Time passes until something comes of it, until `most` at the latest.
    fn advance(&mut self, most: Time) {
        let before = self.arrivals().len();
        loop {
            let next = self.next_timer().map_or(most, |at| at.min(most));
            self.now = self.now.max(next);
            self.tick();
            if self.now >= most || self.arrivals().len() > before {
                return;
            }
        }
    }

    fn tick(&mut self) {
        self.late_comes();
        for number in 0..self.nodes.len() {
            let node = &mut self.nodes[number];
            let is_kept = node.state == Up::Runs && !node.registry_cut;
            let name: Arc<str> = number.to_string().into();
            let own = node.machine.members.own();
            let record = self.registry.nodes.get(&name);
            let is_registered = own.is_some() && record.map(|(_, life, _)| *life) == own;
            if is_kept && is_registered && self.now < node.lease_until {
                node.lease_until = self.now + LEASE;
                let kept = FromRegistry::KeptAlive(self.now);
                self.tell(number, Event::Registry(kept));
            } else if record.is_some() && self.now >= node.lease_until {
                self.registry.nodes.remove(&name);
                self.registry.revision += 1;
            }
        }
        for number in 0..self.nodes.len() {
            if self.nodes[number].state == Up::Runs {
                self.register_again(number);
                self.tell(number, Event::Tick);
            }
        }
    }

    /// A lease that was lost is granted anew, and what was last asked for is written.
    fn register_again(&mut self, number: usize) {
        let name: Arc<str> = number.to_string().into();
        let node = &self.nodes[number];
        let asks = |request: &ToRegistry| matches!(request, ToRegistry::Register(..));
        let is_asked = node.to_registry.iter().any(asks);
        if !self.registry.nodes.contains_key(&name)
            && !is_asked
            && let Some((asked, life, lives)) = node.machine.members.last_asked()
        {
            let again = ToRegistry::Register(asked, life, lives);
            self.nodes[number].to_registry.push_back(again);
        }
    }

    /// Tells a node's machine something, and has done what it wants done.
    fn tell(&mut self, number: usize, event: Event) {
        let actions = self.nodes[number].machine.step(event, self.now);
        for action in actions {
            self.act(number, action);
        }
    }

    fn node_of(&self, life: Incarnation) -> Option<usize> {
        let lives = |node: &Node| node.machine.members.own() == Some(life);
        self.nodes.iter().position(lives)
    }

    fn send(&mut self, from: usize, to: Incarnation, message: FromPeer_) {
        if let Some(to) = self.node_of(to) {
            self.nodes[from]
                .to_peers
                .entry(to)
                .or_default()
                .push_back(message);
        } else if let FromPeer_::Ask(_, asked, number, _) = message {
            self.tell(from, Event::Peer(FromPeer::Told(asked, number, None)));
        }
    }

    fn act(&mut self, number: usize, action: Action) {
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
                        line.push_back(FromPeer_::Ended(lives.clone()));
                    }
                }
            }
            Action::Fence(to, user, claim) => {
                if let Some(own) = own {
                    self.send(number, to, FromPeer_::Fence(own, to, user, claim));
                }
            }
            Action::Fenced(to, claim) => self.send(number, to, FromPeer_::Fenced(to, claim)),
            Action::Ask(to, asked, user) => {
                if let Some(own) = own {
                    self.send(number, to, FromPeer_::Ask(own, to, asked, user));
                }
            }
            Action::Tell(to, asked, claims) => {
                if let Some(own) = own {
                    self.send(number, to, FromPeer_::Told(own, to, asked, claims));
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

    fn is_found(
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

    /// Whether the life of a node stands in the registry.
    pub(super) fn lives_at(&self, node: usize) -> bool {
        self.registry.boots.contains_key(&*node.to_string())
    }

    pub(super) fn own(&self, node: usize) -> Option<Incarnation> {
        self.nodes[node].machine.members.own()
    }

    pub(super) fn machine(&self, node: usize) -> &Machine {
        &self.nodes[node].machine
    }

    pub(super) fn view(&self) -> Arc<View> {
        self.registry.view()
    }

    pub(super) fn links(&self, node: usize) -> Vec<u64> {
        self.nodes[node].links.keys().copied().collect()
    }

    pub(super) fn is_served(&self, node: usize) -> bool {
        self.nodes[node].links.values().any(|link| link.is_served)
    }

    pub(super) fn notes(&self, node: usize) -> &[Note] {
        &self.nodes[node].notes
    }

    /// The links that stand in the store.
    pub(super) fn claimed(&self) -> Vec<u64> {
        let mut links: Vec<u64> = self
            .store
            .record
            .claims
            .iter()
            .map(|claim| claim.id.link)
            .collect();
        links.sort_unstable();
        links
    }

    /// Whether a link of this node stands in the store, of its present or last life.
    pub(super) fn claims(&self, node: usize) -> bool {
        let own = self.own(node);
        let mut claims = self.store.record.claims.iter();
        claims.any(|claim| Some(claim.id.incarnation) == own)
    }

    /// A link goes, and the machine hears of it; what it wants done for that is lost.
    pub(super) fn forget_in_silence(&mut self, node: usize, link: u64) {
        self.nodes[node].links.remove(&link);
        let now = self.now;
        self.nodes[node]
            .machine
            .step(Event::Link(OfLink::Went(link)), now);
    }

    pub(super) fn hears(&mut self, node: usize, event: Event) {
        self.tell(node, event);
    }

    /// After everything has been quiet for long enough.
    pub(super) fn check_rest(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            if node.state != Up::Runs {
                continue;
            }
            assert!(
                node.tickets.is_empty(),
                "a push at node {number} waits for ever"
            );
            for (id, link) in &node.links {
                assert!(link.is_served, "link {id} of node {number} is not served");
                let own = node.machine.members.own().expect("it lives");
                let claim = ClaimId {
                    incarnation: own,
                    link: *id,
                };
                assert!(
                    self.store
                        .record
                        .claims
                        .iter()
                        .any(|found| found.id == claim),
                    "link {id} of node {number} is not in the store"
                );
            }
        }
        let links = self.nodes.iter().filter(|node| node.state == Up::Runs);
        let mut devices = BTreeMap::<_, usize>::new();
        for link in links.flat_map(|node| node.links.values()) {
            *devices.entry(link.device).or_default() += 1;
        }
        assert!(
            devices.values().all(|links| *links <= 1),
            "a device has several links: {devices:?}"
        );
        let _ = &self.settings;
    }

    /// All faults end, and enough time passes for everything to end.
    pub(super) fn rest(&mut self) {
        self.budget = Budget::default();
        self.take(&Choice::Join);
        for number in 0..self.nodes.len() {
            if self.nodes[number].store_cut {
                self.take(&Choice::CutStore(number));
            }
            if self.nodes[number].registry_cut {
                self.take(&Choice::CutRegistry(number));
            }
            if self.nodes[number].state == Up::Frozen {
                self.take(&Choice::Thaw(number));
            }
        }
        self.pass(Duration::from_secs(150));
    }
}

impl Node {
    fn waits_for_registry(&self) -> bool {
        let first = self.to_registry.front();
        matches!(first, Some(ToRegistry::Boot(_) | ToRegistry::Register(..)))
    }
}
