//! Some nodes with their machines, one store, one registry, and what is under way between them.
//!
//! What a node asks of the store, of the registry, or of another node stands in a line of its own until a step takes it
//! there. A step is one [`Choice`]; faults are choices too, as many as the world has left.

mod actions;
mod choices;
mod seen;
mod services;
mod time;
mod works;

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
    to_peers: BTreeMap<usize, VecDeque<Said>>,
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
enum Said {
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

    /// Tells a node's machine something, and has done what it wants done.
    fn tell(&mut self, number: usize, event: Event) {
        let actions = self.nodes[number].machine.step(event, self.now);
        for action in actions {
            self.act(number, action);
        }
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
