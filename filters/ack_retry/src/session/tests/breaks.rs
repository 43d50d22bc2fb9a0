//! Pushes that a client cannot stand, and what comes through beside them.

use super::*;
use crate::session::tests::rig::Number;

/// The client is there again, and breaks as soon as it is sent this push.
fn comes_and_breaks(rig: &mut Rig, poison: Number, within: Duration) {
    rig.connect();
    let before = rig.sent_at(poison).len();
    let until = rig.now() + within;
    while rig.sent_at(poison).len() == before && rig.now() < until {
        rig.advance(SECOND);
    }
    rig.disconnect();
}

#[test]
fn a_push_after_which_each_link_ends_is_rejected_and_the_others_arrive() {
    let mut rig = Rig::default();
    let first = rig.push("first", None);
    let poison = rig.push("poison", None);
    let last = rig.push("last", None);
    // Twice all are on their way, and nobody can tell which it was.
    rig.disconnect();
    comes_and_breaks(&mut rig, poison, SECOND);
    // Now they go one by one, and what the client can stand is acknowledged.
    rig.connect();
    rig.advance(9 * SECOND);
    assert_eq!(rig.sent_at(first).len(), 2, "all else goes before");
    let fresh = rig.push("fresh", None);
    assert_eq!(rig.sent_at(fresh).len(), 1);
    rig.acknowledge("fresh");
    rig.advance(2 * SECOND);
    assert_eq!(
        (rig.sent_at(first).len(), rig.sent_at(poison).len()),
        (3, 2)
    );
    rig.acknowledge("first");
    assert_eq!((rig.sent_at(poison).len(), rig.sent_at(last).len()), (3, 2));
    rig.disconnect();
    // The one that has ended most links goes last.
    rig.connect();
    rig.advance(11 * SECOND);
    assert_eq!((rig.sent_at(poison).len(), rig.sent_at(last).len()), (3, 3));
    rig.acknowledge("last");
    rig.disconnect();
    for _ in 0..2 {
        comes_and_breaks(&mut rig, poison, 100 * SECOND);
    }
    let (_, outcome) = rig.only_outcome(poison);
    assert_eq!(code(&outcome), fault::BREAKS_LINKS);
    assert!(
        matches!(outcome, Outcome::Unknown(_)),
        "it may have arrived"
    );
    for push in [first, last, fresh] {
        assert_eq!(rig.only_outcome(push).1, Outcome::accepted(""));
    }
    assert_eq!(rig.counters.breaks_links.get(), 1);
}

#[test]
fn a_client_that_goes_later_is_sent_everything_at_once() {
    let mut rig = Rig::default();
    rig.config.retry.total = (10_000 * SECOND).into();
    rig.config.retry.max_attempts = 1_000;
    let push = rig.push("k", None);
    for times in 2..9 {
        // A moment after it was sent again, which is no sign.
        rig.advance(31 * SECOND);
        rig.disconnect();
        let before = rig.sent_at(push).len();
        rig.connect();
        assert_eq!(rig.sent_at(push).len(), before + 1, "return {times}");
    }
}

#[test]
fn where_it_is_turned_off_no_link_counts() {
    let mut rig = Rig::default();
    rig.config.retry.max_breaks = 0;
    let push = rig.push("k", None);
    for _ in 0..20 {
        rig.disconnect();
        rig.connect();
    }
    assert_eq!(rig.sent_at(push).len(), 21);
}

#[test]
fn suspects_expire_like_others_and_leave_the_window_as_it_was() {
    let mut rig = Rig::default();
    rig.config.max_unacked = 1;
    let suspect = rig.push("suspect", Some(15 * SECOND));
    for _ in 0..2 {
        rig.disconnect();
        rig.connect();
    }
    let next = rig.push("next", None);
    assert_eq!(
        rig.sent_at(next).len(),
        1,
        "the suspect keeps nobody waiting"
    );
    rig.advance(20 * SECOND);
    assert_eq!(code(&rig.only_outcome(suspect).1), fault::EXPIRED);
    rig.acknowledge("next");
    let other = rig.push("other", None);
    rig.acknowledge("other");
    assert_eq!(rig.only_outcome(other).1, Outcome::accepted(""));
    assert!(rig.session.0.is_none());
}

#[test]
fn what_no_link_can_be_sent_is_rejected_when_it_is_its_turn() {
    let mut rig = Rig::default();
    let push = rig.push("k", None);
    rig.disconnect();
    // The client is back and speaks a form that is larger.
    rig.room = linkgate_filter::Room::of(7);
    rig.connect();
    let (_, outcome) = rig.only_outcome(push);
    assert_eq!(code(&outcome), fault::TOO_BIG);
    assert!(matches!(outcome, Outcome::Unknown(_)), "it was sent before");
    let free = rig.push_with("free", |m| m.ack = false);
    assert_eq!(rig.sends(), [push, free]);
}
