use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// What a writer did: at each revision, some keys at once.
type Log = Vec<Vec<(usize, Option<u8>)>>;

fn log() -> impl Strategy<Value = Log> {
    let value = prop_oneof![1 => Just(None), 3 => (0_u8..3).prop_map(Some)];
    let at_once = prop::collection::btree_map(0_usize..5, value, 1..4);
    let at_once = at_once.prop_map(|keys: BTreeMap<_, _>| keys.into_iter().collect::<Vec<_>>());
    prop::collection::vec(at_once, 1..20)
}

fn revision(index: usize) -> i64 {
    i64::try_from(index).unwrap() + 1
}

fn changes(log: &Log, from: usize, to: usize) -> Vec<Change<u8>> {
    let steps = log.iter().enumerate().take(to).skip(from);
    let keys = steps.flat_map(|(index, step)| {
        step.iter().map(move |(key, value)| Change {
            key: KEYS[*key].to_owned(),
            value: value.map(|value| (value, 1)),
            revision: revision(index),
        })
    });
    keys.collect()
}

fn at(revision: i64) -> Origin {
    Origin {
        cluster: 1,
        term: 1,
        revision,
    }
}

fn nothing(origin: Origin) -> Mirror<u8> {
    let entries = Vec::new();
    Mirror::new(&Listing { origin, entries }, |_, _| None)
}

/// What a reader finds after the first `steps` of the log.
fn read(log: &Log, steps: usize) -> Mirror<u8> {
    let mut mirror = nothing(at(0));
    for step in 0..steps {
        mirror.apply(changes(log, step, step + 1));
    }
    mirror
}

proptest! {
    /// Pieces of the log that overlap, repeat and come late lead to what is there.
    #[test]
    fn changes_that_come_late_or_twice_change_nothing(
        log in log(),
        start in 0_usize..20,
        pieces in prop::collection::vec((0_usize..20, 1_usize..8), 0..12),
    ) {
        let start = start.min(log.len());
        let mut mirror = read(&log, start);
        let mut done = start;
        for (back, length) in pieces {
            let from = done.saturating_sub(back);
            let to = (from + length).min(log.len());
            let is_change = mirror.apply(changes(&log, from, to));
            prop_assert_eq!(is_change, to > done);
            done = done.max(to);
        }
        mirror.apply(changes(&log, done, log.len()));
        prop_assert_eq!(&mirror, &read(&log, log.len()));
        prop_assert_eq!(mirror.bytes(), mirror.entries().len());
    }

    /// An audit finds nothing wrong with what is right, whether it is ahead or not; what has not come yet, it finds.
    #[test]
    fn an_audit_blames_what_is_missing_alone(
        log in log(), own in 0_usize..20, theirs in 0_usize..20, lost in 0_usize..20,
    ) {
        let (own, theirs) = (own.min(log.len()), theirs.min(log.len()));
        if own >= theirs {
            let differences = read(&log, own).differences(&read(&log, theirs));
            prop_assert_eq!(differences, Vec::<String>::new());
        }
        // A change that never came, with all others after it.
        let lost = lost % log.len();
        let mut mirror = read(&log, lost);
        mirror.apply(changes(&log, lost + 1, log.len()));
        mirror.progress(revision(log.len()));
        let mut end = read(&log, log.len());
        end.progress(revision(log.len()));
        let is_right = mirror == end;
        prop_assert_eq!(mirror.differences(&end).is_empty(), is_right);
    }
}

#[test]
fn what_was_read_anew_is_followed_from_there_even_if_it_is_older() {
    let log: Log = vec![vec![(0, Some(1))], vec![(0, Some(2)), (1, Some(1))]];
    let mut mirror = read(&log, 2);
    assert!(mirror.doubts(at(1)));
    let mut mirror = read(&log, 1);
    assert_eq!(mirror.revision(), 1);
    assert!(!mirror.doubts(at(1)));
    // A change of the restored cluster, under a revision that was known before.
    mirror.apply([Change {
        key: "b".to_owned(),
        value: Some((7, 1)),
        revision: 2,
    }]);
    assert_eq!(mirror.entries()["b"].value, 7);
}

#[test]
fn an_older_term_or_another_cluster_is_doubtful() {
    let mut mirror = nothing(at(3));
    let newer = Origin { term: 2, ..at(3) };
    assert!(!mirror.doubts(newer));
    assert!(mirror.doubts(at(9)));
    assert!(mirror.doubts(Origin {
        cluster: 2,
        ..newer
    }));
}
