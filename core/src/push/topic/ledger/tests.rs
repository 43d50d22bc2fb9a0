use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn partition() -> Partition {
    Partition {
        topic: "t".into(),
        number: 0,
    }
}

fn ledger_of(bounds: Bounds) -> Ledger {
    let mut ledger = Ledger::new(bounds);
    ledger.assign(partition(), now());
    ledger
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn ledger(records: usize) -> Ledger {
    ledger_of(Bounds {
        records,
        bytes: 1 << 20,
        remembered: 1000,
        kept: Duration::from_secs(60),
    })
}

/// A record that is new.
fn read(ledger: &mut Ledger, offset: i64) -> Place {
    assert_eq!(met(ledger, offset), Some(Met::New));
    ledger.take(&partition(), offset, None).unwrap()
}

fn met(ledger: &mut Ledger, offset: i64) -> Option<Met> {
    ledger.meet(&partition(), offset, offset as u64)
}

fn hold(now: Instant) -> Hold {
    let push = r#"{"key":"k","biz_id":"chat","receiver_id":"ann","body":"aGk="}"#;
    let (push, receivers) =
        crate::push::requests::read(crate::push::requests::from_json(push.as_bytes()).unwrap())
            .unwrap();
    let receivers = receivers.into_iter();
    Hold {
        push,
        receivers: receivers
            .map(|user| Receiver::new(user, false, (now, Duration::ZERO)))
            .collect(),
        history: History {
            id: "t/0/0".into(),
            parked: 0,
            attempt: 0,
            sent: false,
            first: std::time::SystemTime::UNIX_EPOCH,
            age: Duration::ZERO,
            waited: Duration::ZERO,
            rest: Duration::ZERO,
        },
        taken: now,
        since: now,
        rests: None,
        refused: None,
    }
}

proptest! {
    /// Whatever is finished in whatever order, with holes as compacted topics have them: the offset passes all that is
    /// finished up to the first that is not, and nothing else.
    #[test]
    fn the_offset_passes_what_is_done_and_no_more(
        steps in prop::collection::vec((0_u8..3, 1_i64..4, any::<prop::sample::Index>()), 1..200),
    ) {
        let mut ledger = ledger(1000);
        let (mut next, mut open, mut done) = (0, BTreeSet::new(), -1);
        for (kind, gap, which) in steps {
            if kind > 0 || open.is_empty() {
                let offset = next + gap - 1;
                next = offset + 1;
                open.insert(read(&mut ledger, offset));
            } else {
                let place = *open.iter().nth(which.index(open.len())).unwrap();
                open.remove(&place);
                let first = open.first().map_or(next, |place| place.offset);
                prop_assert_eq!(ledger.finish(place), place.offset < first);
            }
            let now = ledger.done(1).unwrap();
            prop_assert_eq!(now, open.first().map_or(next, |place| place.offset));
            prop_assert!(now >= done);
            done = now;
        }
        prop_assert_eq!(ledger.unsettled(None), open.len());
    }

    /// Whatever is settled, lost, read again from where the group had got to, or begun anew: a record that is settled is
    /// known again, one that is not is taken once, and what is said to be done is done.
    #[test]
    fn what_is_read_again_is_known_and_what_is_new_is_taken(
        steps in prop::collection::vec((0_u8..12, any::<prop::sample::Index>()), 1..300),
    ) {
        let now = now();
        let mut ledger = ledger(1000);
        // Each log has records of its own. What is settled of it, and what is open.
        let (mut log, mut next, mut committed, mut end) = (0_u64, 0_i64, 0_i64, 0_i64);
        let (mut settled, mut open) = (BTreeSet::new(), BTreeSet::new());
        for (kind, which) in steps {
            match kind {
                0..=5 => {
                    let offset = next;
                    next += 1;
                    end = end.max(next);
                    let print = log << 32 | offset as u64;
                    let met = ledger.meet(&partition(), offset, print).unwrap();
                    match met {
                        Met::New => {
                            prop_assert!(!settled.contains(&offset));
                            let hold = hold(now);
                            open.insert(ledger.take(&partition(), offset, Some(hold)).unwrap());
                        }
                        Met::Again(place) => {
                            prop_assert!(open.contains(&place));
                            ledger.go_on(place, now);
                        }
                        Met::Known => prop_assert!(settled.contains(&offset)),
                        Met::Other => prop_assert!(false, "the log is told to begin anew"),
                    }
                }
                6..=8 if !open.is_empty() => {
                    let place = *open.iter().nth(which.index(open.len())).unwrap();
                    // What rests is not settled here.
                    if ledger.hold(place).is_some_and(|hold| hold.rests.is_none()) {
                        ledger.write_off(place);
                        open.remove(&place);
                        ledger.finish(place);
                        let current = ledger.assignment(&partition()) == Some(place.assignment);
                        if current {
                            settled.insert(place.offset);
                        }
                    }
                }
                9 => {
                    let assignment = ledger.assignment(&partition()).unwrap();
                    ledger.leave(assignment, now);
                    prop_assert_eq!(ledger.meet(&partition(), next, 0), None);
                    ledger.assign(partition(), now);
                    next = committed;
                }
                10 => {
                    ledger.begin_anew(&partition());
                    log += 1;
                    (next, committed, end) = (0, 0, 0);
                    settled.clear();
                }
                _ => {}
            }
            let assignment = ledger.assignment(&partition()).unwrap();
            if let Some(done) = ledger.done(assignment) {
                prop_assert!(done <= next);
                prop_assert!((committed..done).all(|offset| settled.contains(&offset)));
                committed = committed.max(done);
            }
        }
        prop_assert!(ledger.unsettled(None) <= open.len());
    }
}

#[test]
fn what_is_said_of_a_log_does_not_meet_the_one_that_took_its_place() {
    let mut ledger = ledger(10);
    let before = read(&mut ledger, 5);
    assert!(!ledger.begin_anew(&partition()));
    let after = read(&mut ledger, 2);
    assert!(!ledger.finish(before));
    assert_eq!(ledger.done(after.assignment), Some(2));
    assert!(ledger.partition(before.assignment).is_none());
    assert!(ledger.finish(after));
    assert_eq!(ledger.done(after.assignment), Some(3), "it has fallen");
}

#[test]
fn another_record_in_the_place_of_a_known_one_is_noticed() {
    let mut ledger = ledger(10);
    let place = read(&mut ledger, 0);
    ledger.finish(place);
    ledger.leave(place.assignment, now());
    ledger.assign(partition(), now());
    assert_eq!(ledger.meet(&partition(), 0, 77), Some(Met::Other));
    ledger.begin_anew(&partition());
    assert_eq!(ledger.meet(&partition(), 0, 77), Some(Met::New));
}

#[test]
fn what_another_node_has_passed_meanwhile_is_dropped() {
    let now = now();
    let mut ledger = ledger(10);
    for offset in 0..3 {
        met(&mut ledger, offset);
        ledger.take(&partition(), offset, Some(hold(now)));
    }
    ledger.leave(1, now);
    assert_eq!((ledger.unsettled(None), ledger.len()), (0, 3));
    ledger.assign(partition(), now);
    let place = Place {
        assignment: 1,
        offset: 2,
    };
    assert_eq!(met(&mut ledger, 2), Some(Met::Again(place)));
    ledger.go_on(place, now);
    assert_eq!((ledger.unsettled(None), ledger.len()), (1, 1));
    assert_eq!(ledger.done(1), Some(2));
}

#[test]
fn a_partition_that_stays_away_is_forgotten_and_memory_is_bounded() {
    let now = now();
    let mut ledger = ledger_of(Bounds {
        records: 10,
        bytes: 1 << 20,
        remembered: 2,
        kept: Duration::from_secs(60),
    });
    for offset in 0..3 {
        let place = read(&mut ledger, offset);
        ledger.finish(place);
    }
    ledger.leave(1, now);
    ledger.sweep(now + Duration::from_secs(59));
    ledger.assign(partition(), now);
    assert_eq!(met(&mut ledger, 0), Some(Met::New), "it is forgotten");
    assert_eq!(met(&mut ledger, 1), Some(Met::Known));
    ledger.leave(1, now);
    assert_eq!(ledger.next_sweep(), Some(now + Duration::from_secs(60)));
    ledger.sweep(now + Duration::from_secs(60));
    assert!(ledger.assignment(&partition()).is_none());
    assert_eq!(ledger.next_sweep(), None);
}

#[test]
fn a_full_partition_opens_again_when_a_quarter_is_free() {
    let mut ledger = ledger(8);
    let places: Vec<_> = (0..8).map(|offset| read(&mut ledger, offset)).collect();
    let assignment = places[0].assignment;
    assert!(ledger.pause_if_full(assignment));
    assert!(!ledger.pause_if_full(assignment), "it is paused already");
    ledger.finish(places[3]);
    assert!(!ledger.resume_if_room(assignment));
    ledger.finish(places[4]);
    assert!(ledger.resume_if_room(assignment));
    assert!(!ledger.resume_if_room(assignment), "it is open already");
}
