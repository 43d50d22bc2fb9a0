use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

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

    // Those that were woken have gone for good; still nobody is forgotten.
    while entrance.receive(&reader).is_some() {}
    assert_eq!(
        woken(&links[Entrance::WOKEN..]),
        links.len() - Entrance::WOKEN
    );
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
    struct Outcomes(parking_lot::Mutex<Vec<Outcome>>);
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
