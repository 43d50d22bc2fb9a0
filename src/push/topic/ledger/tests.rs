use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn partition() -> Partition {
    Partition {
        topic: "t".into(),
        number: 0,
    }
}

fn ledger(records: usize) -> Ledger {
    let mut ledger = Ledger::new(Bounds {
        records,
        bytes: 1 << 20,
    });
    ledger.assign(partition());
    ledger
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
                open.insert(ledger.take(&partition(), offset, None).unwrap());
                continue;
            }
            let place = *open.iter().nth(which.index(open.len())).unwrap();
            open.remove(&place);
            let (_, now) = ledger.finish(place).unwrap();
            let first = open.first().map_or(next, |place| place.offset);
            // A record in the middle moves nothing.
            let expected = (place.offset < first).then_some(first);
            prop_assert_eq!(now, expected);
            prop_assert!(now.is_none_or(|now| now > done));
            done = now.unwrap_or(done);
        }
        prop_assert_eq!(ledger.unsettled(None), open.len());
    }
}

#[test]
fn what_is_said_of_a_partition_that_was_taken_away_does_not_meet_its_successor() {
    let mut ledger = ledger(10);
    let before = ledger.take(&partition(), 5, None).unwrap();
    ledger.assign(partition());
    assert!(ledger.finish(before).is_none());
    let after = ledger.take(&partition(), 5, None).unwrap();
    assert_ne!(before, after);
    assert!(ledger.finish(before).is_none());
    assert_eq!(ledger.finish(after).map(|(_, done)| done), Some(Some(6)));
    ledger.forget(after.assignment);
    assert!(ledger.take(&partition(), 6, None).is_none());
}

#[test]
fn a_full_partition_opens_again_when_a_quarter_is_free() {
    let mut ledger = ledger(8);
    let places: Vec<_> = (0..8)
        .map(|offset| ledger.take(&partition(), offset, None).unwrap())
        .collect();
    let assignment = places[0].assignment;
    assert!(ledger.pause_if_full(assignment));
    assert!(!ledger.pause_if_full(assignment), "it is paused already");
    ledger.finish(places[3]);
    assert!(!ledger.resume_if_room(assignment));
    ledger.finish(places[4]);
    assert!(ledger.resume_if_room(assignment));
    assert!(!ledger.resume_if_room(assignment), "it is open already");
}
