use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use parking_lot::Mutex;

use crate::fault::Fault;
use crate::link::{Identity, LinkInfo};
use crate::message::{Command, Message};
use crate::receipt::{Outcome, Receipt, Settler};

use super::{Entrance, Stage, Ticket, Trunk};

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

fn message() -> Message {
    let link = Arc::new(LinkInfo::new(1, Identity::new("chat", "alice")));
    Message::new(link, Command::UpstreamMessage, "", "")
}

/// A shard with room for so many messages.
fn full(messages: usize) -> (Trunk, Arc<Entrance>) {
    let trunk = Trunk::new(1, messages * message().weight());
    for _ in 0..messages {
        assert!(trunk.ticket(1).send(message()).is_ok());
    }
    let entrance = Arc::clone(&trunk.entrances()[0]);
    (trunk, entrance)
}

#[test]
fn thousands_that_wait_are_woken_in_turn_a_few_for_each_place() {
    let (trunk, entrance) = full(100);
    let mut links: Vec<(Ticket, Arc<Wakes>)> = (0..20_000)
        .map(|link| (trunk.ticket(link), Arc::default()))
        .collect();
    for _ in 0..3 {
        for (ticket, wakes) in &mut links {
            let waker = Waker::from(Arc::clone(wakes));
            assert!(!ticket.has_room(&Context::from_waker(&waker)));
        }
    }
    let reader = Context::from_waker(Waker::noop());
    assert!(entrance.receive(&reader).is_some());
    let woken =
        |links: &[(Ticket, Arc<Wakes>)]| links.iter().map(|(_, wakes)| wakes.take()).sum::<usize>();
    assert_eq!(
        woken(&links[..Entrance::WOKEN]),
        Entrance::WOKEN,
        "each once, however often it asked"
    );
    assert_eq!(woken(&links), 0);

    // Those that are woken go for good; still nobody is forgotten, once there is room.
    while entrance.receive(&reader).is_some() {}
    drop(links.drain(..Entrance::WOKEN));
    while !links.is_empty() {
        let before = links.len();
        links.retain(|(_, wakes)| wakes.take() == 0);
        assert!(links.len() < before, "{before} are forgotten");
    }
}

/// A link with messages for the trunk, and how often its task has looked after them.
struct Sender {
    ticket: Ticket,
    left: usize,
    looks: usize,
}

/// Links, each a task of its own.
struct Senders {
    links: Vec<Option<Sender>>,
    woken: Arc<Mutex<VecDeque<usize>>>,
    sent: Vec<usize>,
}

/// Puts a link's task among those that are to run.
struct Runs(usize, Arc<Mutex<VecDeque<usize>>>);

impl Wake for Runs {
    fn wake(self: Arc<Self>) {
        self.1.lock().push_back(self.0);
    }
}

impl Senders {
    fn new(trunk: &Trunk, links: usize, messages: usize) -> Self {
        let sender = |link| Sender {
            ticket: trunk.ticket(link),
            left: messages,
            looks: 0,
        };
        Self {
            links: (0..links as u64).map(|link| Some(sender(link))).collect(),
            woken: Arc::new(Mutex::new((0..links).collect())),
            sent: Vec::new(),
        }
    }

    /// Runs the next task as a chain does: it asks for room until it has none, or wants none.
    fn run(&mut self) -> bool {
        let Some(link) = self.woken.lock().pop_front() else {
            return false;
        };
        let Some(Some(sender)) = self.links.get_mut(link) else {
            return true;
        };
        sender.looks += 1;
        let waker = Waker::from(Arc::new(Runs(link, Arc::clone(&self.woken))));
        let cx = Context::from_waker(&waker);
        while sender.left > 0 && sender.ticket.has_room(&cx) {
            if sender.ticket.send(message()).is_ok() {
                sender.left -= 1;
                self.sent.push(link);
            }
        }
        if sender.left == 0 {
            sender.ticket.leave();
        }
        true
    }

    fn looks(&self) -> usize {
        self.links.iter().flatten().map(|link| link.looks).sum()
    }
}

#[test]
fn a_message_costs_a_few_wakes_however_many_links_wait() {
    let cost = |links| {
        let trunk = Trunk::new(1, message().weight());
        let entrance = Arc::clone(&trunk.entrances()[0]);
        let reader = Context::from_waker(Waker::noop());
        let mut senders = Senders::new(&trunk, links, 2);
        while senders.run() {}
        assert_eq!(senders.sent.len(), 1);
        let before = senders.looks();
        for _ in 0..100 {
            let mut received = false;
            let work = allocation_counter::measure(|| {
                received = entrance.receive(&reader).is_some();
            });
            assert!(received && work.bytes_total == 0, "{work:?}");
            while senders.run() {}
        }
        assert_eq!(senders.sent.len(), 101, "all room is used");
        let woken = senders.looks() - before;
        let first: Vec<_> = senders.sent[2..12].to_vec();
        (woken, first)
    };
    let (few, in_turn) = cost(200);
    assert!(few <= 100 * (Entrance::WOKEN + 1), "{few}");
    assert_eq!(cost(20_000), (few, in_turn));
}

#[test]
fn all_get_their_turn_whoever_gives_up_or_goes() {
    for seed in 0..500 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let trunk = Trunk::new(1, dice.usize(1..5) * message().weight());
        let entrance = Arc::clone(&trunk.entrances()[0]);
        let reader = Context::from_waker(Waker::noop());
        let mut senders = Senders::new(&trunk, 30, 3);
        for _ in 0..200 {
            let link = dice.usize(0..30);
            match dice.u8(0..20) {
                0 => drop(senders.links[link].take()),
                // What it has is refused: it finds that when it runs.
                1 => {
                    if let Some(sender) = &mut senders.links[link] {
                        sender.left = 0;
                        senders.woken.lock().push_back(link);
                    }
                }
                2..6 => senders.woken.lock().push_back(link),
                6..10 => drop(entrance.receive(&reader)),
                _ => drop(senders.run()),
            }
        }
        while senders.run() || entrance.receive(&reader).is_some() {}
        let left: usize = senders.links.iter().flatten().map(|link| link.left).sum();
        assert_eq!(left, 0, "seed {seed}");
        assert!(entrance.inner.lock().waiting.wakers.is_empty());
    }
}

#[test]
fn one_that_moves_to_another_task_is_woken_there() {
    let (trunk, entrance) = full(1);
    let mut ticket = trunk.ticket(1);
    let wakes: [Arc<Wakes>; 2] = Default::default();
    for wakes in &wakes {
        let waker = Waker::from(Arc::clone(wakes));
        assert!(!ticket.has_room(&Context::from_waker(&waker)));
    }
    entrance.receive(&Context::from_waker(Waker::noop()));
    assert_eq!(wakes.map(|wakes| wakes.take()), [0, 1]);
}

#[test]
fn the_reader_is_woken_for_the_first_message_and_by_the_end() {
    let trunk = Trunk::new(1, 1000);
    let entrance = Arc::clone(&trunk.entrances()[0]);
    let wakes = Arc::<Wakes>::default();
    let waker = Waker::from(Arc::clone(&wakes));
    let reader = Context::from_waker(&waker);
    assert!(entrance.receive(&reader).is_none());
    let ticket = trunk.ticket(1);
    assert!(ticket.send(message()).is_ok() && ticket.send(message()).is_ok());
    assert_eq!(wakes.take(), 1);
    while entrance.receive(&reader).is_some() {}
    assert_eq!(entrance.stage(&reader), Stage::Open);
    trunk.retire();
    assert_eq!(wakes.take(), 1);
    assert_eq!(entrance.stage(&reader), Stage::Retired);
    drop(trunk);
    assert_eq!(wakes.take(), 1);
    assert_eq!(entrance.stage(&reader), Stage::Finished);
}

#[test]
fn what_comes_to_a_shard_that_is_gone_is_refused() {
    #[derive(Default)]
    struct Outcomes(Mutex<Vec<Outcome>>);
    impl Settler for Outcomes {
        fn settle(&self, _: u64, outcome: Outcome) {
            self.0.lock().push(outcome);
        }
    }
    let outcomes = Arc::<Outcomes>::default();
    let tracked = || message().with_receipt(Receipt::new(Arc::clone(&outcomes) as _, 0));
    let trunk = Trunk::new(1, 1);
    let mut ticket = trunk.ticket(1);
    assert!(ticket.send(tracked()).is_ok());
    trunk.entrances()[0].abandon();
    assert!(ticket.has_room(&Context::from_waker(Waker::noop())));
    assert!(ticket.send(tracked()).is_ok());
    let outcomes = outcomes.0.lock();
    let codes: Vec<_> = outcomes
        .iter()
        .filter_map(Outcome::fault)
        .map(Fault::to_string)
        .collect();
    assert_eq!(codes.len(), 2);
    assert!(codes[0].starts_with("trunk.gone") && codes[1].starts_with("trunk.gone"));
}
