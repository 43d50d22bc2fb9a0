//! A session without a chain: plain cases, and random lives of a client against what must hold in all of them.

mod breaks;
mod lives;
mod rig;

use std::time::Duration;

use linkgate_filter::{Message, Outcome};

use self::rig::Rig;
use super::Session;
use crate::fault;

const SECOND: Duration = Duration::from_secs(1);

fn code(outcome: &Outcome) -> &str {
    outcome.fault().map_or("accepted", |fault| &fault.code)
}

#[test]
fn an_empty_session_is_a_null_pointer() {
    assert_eq!(size_of::<Session>(), size_of::<usize>());
    let mut rig = Rig::default();
    rig.push("k", None);
    rig.acknowledge("k");
    assert!(
        rig.session.0.is_none(),
        "nothing is kept when nothing is pending"
    );
}

#[test]
fn the_waits_grow_and_the_last_one_ends_it() {
    let mut rig = Rig::default();
    let push = rig.push("k", None);
    rig.advance(600 * SECOND);
    assert_eq!(rig.sent_at(push), [0, 10, 30, 70, 130, 190]);
    let (at, outcome) = rig.only_outcome(push);
    assert_eq!((at.as_secs(), code(&outcome)), (250, fault::UNACKNOWLEDGED));
    assert!(
        matches!(outcome, Outcome::Unknown(_)),
        "it may have arrived"
    );
}

#[test]
fn the_total_time_ends_it_too() {
    let mut rig = Rig::default();
    rig.config.retry.total = (45 * SECOND).into();
    let push = rig.push("k", None);
    rig.advance(600 * SECOND);
    assert_eq!(rig.sent_at(push), [0, 10, 30]);
    let (at, outcome) = rig.only_outcome(push);
    assert_eq!((at.as_secs(), code(&outcome)), (45, fault::UNACKNOWLEDGED));
}

#[test]
fn a_window_lets_the_next_in_for_each_that_is_acknowledged() {
    let mut rig = Rig::default();
    (rig.config.max_unacked, rig.config.max_waiting) = (2, 2);
    let pushes = ["a", "b", "c", "d", "e"].map(|key| rig.push(key, None));
    assert_eq!(rig.sends(), [pushes[0], pushes[1]]);
    let (_, refused) = rig.only_outcome(pushes[4]);
    assert_eq!(code(&refused), fault::WINDOW_FULL);
    assert!(
        refused
            .fault()
            .is_some_and(|fault| fault.retry_after.is_some())
    );
    rig.acknowledge("b");
    assert_eq!(rig.sends(), [pushes[0], pushes[1], pushes[2]]);
}

#[test]
fn bytes_are_bounded_but_one_push_is_always_taken() {
    let mut rig = Rig::default();
    rig.config.max_bytes = linkgate_filter::units::ByteSize::kib(1);
    let large = rig.push_with("large", |m| {
        m.body = [&m.body[..], &[0; 4_000]].concat().into();
    });
    let small = rig.push("small", None);
    assert_eq!(rig.sends(), [large]);
    assert_eq!(code(&rig.only_outcome(small).1), fault::WINDOW_FULL);
}

#[test]
fn what_is_acknowledged_weighs_nothing_any_more() {
    let mut rig = Rig::default();
    rig.config.max_bytes = linkgate_filter::units::ByteSize::kib(1);
    let heavy = |m: &mut Message| m.body = [&m.body[..], &[0; 600]].concat().into();
    let first = rig.push_with("first", heavy);
    let light = rig.push("light", None);
    rig.acknowledge("first");
    let second = rig.push_with("second", heavy);
    assert_eq!(rig.sends(), [first, light, second]);
}

#[test]
fn the_same_key_shares_one_transmission_one_outcome_and_the_later_expiry() {
    let mut rig = Rig::default();
    let first = rig.push("k", Some(5 * SECOND));
    let second = rig.push("k", Some(15 * SECOND));
    rig.advance(12 * SECOND);
    assert_eq!(rig.sends(), [first, first]);
    rig.acknowledge("k");
    for push in [first, second] {
        assert_eq!(rig.only_outcome(push).1, Outcome::accepted(""));
    }
}

#[test]
fn a_key_is_not_joined_without_end() {
    let mut rig = Rig::default();
    let pushes: Vec<_> = (0..17).map(|_| rig.push("k", None)).collect();
    assert_eq!(code(&rig.only_outcome(pushes[16]).1), fault::WINDOW_FULL);
    rig.acknowledge("k");
    for push in &pushes[..16] {
        assert_eq!(rig.only_outcome(*push).1, Outcome::accepted(""));
    }
}

#[test]
fn what_cannot_be_sent_is_refused_at_once() {
    let mut rig = Rig::default();
    let late = rig.push("late", Some(Duration::ZERO));
    let nameless = rig.push("", None);
    assert!(rig.sends().is_empty());
    assert_eq!(code(&rig.only_outcome(late).1), fault::EXPIRED);
    assert_eq!(code(&rig.only_outcome(nameless).1), fault::NO_KEY);
    assert!(rig.session.0.is_none());
}

#[test]
fn a_push_without_acknowledgement_waits_among_those_before_it_and_no_longer() {
    let mut rig = Rig::default();
    rig.config.max_unacked = 1;
    let free = rig.push_with("free", |m| m.ack = false);
    assert_eq!(rig.sends(), [free]);
    let first = rig.push("a", None);
    let second = rig.push("b", None);
    let third = rig.push_with("c", |m| m.ack = false);
    assert_eq!(rig.sends(), [free, first]);
    rig.acknowledge("a");
    assert_eq!(rig.sends(), [free, first, second, third]);
    let (_, outcome) = rig.only_outcome(third);
    assert_eq!(
        outcome,
        Outcome::sent(),
        "its receipt went to the socket with it"
    );
}

#[test]
fn the_budget_puts_off_and_loses_nothing() {
    let mut rig = Rig::default();
    (
        rig.config.retry.budget.ratio,
        rig.config.retry.budget.min_per_second,
        rig.config.retry.budget.shared_per_second,
    ) = (0.0, 1, 0);
    let pushes: Vec<_> = (0..30).map(|n| rig.push(&n.to_string(), None)).collect();
    rig.advance(10 * SECOND);
    let put_off = rig.counters.put_off.get();
    assert_eq!(put_off, 20, "10 of 30 may be sent again in the first 10 s");
    assert_eq!(rig.counters.retransmitted.get(), 10);
    rig.advance(140 * SECOND);
    assert!(
        pushes.iter().all(|push| rig.sent_at(*push).len() >= 2),
        "each has had its turn"
    );
    assert!(rig.counters.retransmitted.get() <= 10 + 150);
    assert_eq!(rig.counters.unacknowledged.get(), 0);
}

#[test]
fn a_client_that_stays_away_gets_nothing_more() {
    let mut rig = Rig::default();
    rig.config.max_unacked = 1;
    let sent = rig.push("a", None);
    let waiting = rig.push("b", None);
    let brief = rig.push("c", Some(60 * SECOND));
    rig.advance(5 * SECOND);
    rig.disconnect();
    rig.advance(600 * SECOND);
    assert_eq!(rig.sends(), [sent]);
    for (push, at, code_expected) in [
        (sent, 125, fault::OFFLINE),
        (waiting, 125, fault::OFFLINE),
        (brief, 60, fault::EXPIRED),
    ] {
        let (settled_at, outcome) = rig.only_outcome(push);
        assert_eq!((settled_at.as_secs(), code(&outcome)), (at, code_expected));
        let unknown = matches!(outcome, Outcome::Unknown(_));
        assert_eq!(unknown, push == sent, "only what was sent may have arrived");
    }
}

#[test]
fn a_client_that_returns_gets_all_at_once_and_the_waits_start_anew() {
    let mut rig = Rig::default();
    let (old, young) = (rig.push("a", None), rig.push("b", None));
    rig.advance(35 * SECOND);
    rig.disconnect();
    rig.advance(60 * SECOND);
    rig.connect();
    assert_eq!(rig.sends()[6..], [old, young]);
    rig.advance(600 * SECOND);
    assert_eq!(rig.sent_at(old), [0, 10, 30, 95, 105, 125]);
    assert_eq!(code(&rig.only_outcome(old).1), fault::UNACKNOWLEDGED);
}

#[test]
fn a_return_is_granted_one_transmission() {
    let mut rig = Rig::default();
    (rig.config.retry.max_attempts, rig.config.retry.max_breaks) = (1, 0);
    let push = rig.push("a", None);
    for _ in 0..3 {
        rig.disconnect();
        rig.connect();
    }
    rig.advance(600 * SECOND);
    assert_eq!(rig.sent_at(push), [0, 0, 0, 0]);
    assert_eq!(rig.only_outcome(push).0.as_secs(), 10);
}

#[test]
fn an_acknowledgement_counts_on_a_later_link_while_the_push_waits() {
    let mut rig = Rig::default();
    let pushes = ["a", "b"].map(|key| rig.push(key, None));
    rig.disconnect();
    rig.config.max_unacked = 1;
    rig.connect();
    assert_eq!(rig.sends(), [pushes[0], pushes[1], pushes[0]]);
    rig.acknowledge("b");
    assert_eq!(rig.only_outcome(pushes[1]).1, Outcome::accepted(""));
}

#[test]
fn an_acknowledgement_of_nothing_is_counted() {
    let mut rig = Rig::default();
    rig.config.max_unacked = 1;
    rig.push("a", None);
    rig.push("never sent", None);
    for key in ["unknown", "never sent", "a", "a"] {
        rig.acknowledge(key);
    }
    assert_eq!(rig.counters.unknown_acks.get(), 3);
    assert_eq!(rig.counters.acked.get(), 1);
}

#[test]
fn a_change_of_the_pipeline_sends_nothing_and_keeps_the_deadlines() {
    let mut rig = Rig::default();
    let push = rig.push("a", None);
    rig.advance(7 * SECOND);
    rig.reload();
    rig.advance(30 * SECOND);
    assert_eq!(rig.sent_at(push), [0, 10, 30]);
}

#[test]
fn what_is_taken_out_is_all_there_was() {
    let mut rig = Rig::default();
    rig.push("a", None);
    rig.push("b", None);
    let keys: Vec<_> = rig.session.take_all().map(|push| push.key).collect();
    assert_eq!(keys, ["a".into(), "b".into()]);
    assert_eq!(rig.session.deadline(), None);
}
