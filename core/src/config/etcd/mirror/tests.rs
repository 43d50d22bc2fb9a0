use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What a writer did: at each revision, some keys at once. The head is the fifth.
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

fn changes(log: &Log, from: usize, to: usize) -> Vec<(usize, Option<Vec<u8>>, i64)> {
    let steps = log.iter().enumerate().take(to).skip(from);
    let keys = steps.flat_map(|(index, step)| {
        let at = revision(index);
        step.iter()
            .map(move |(key, value)| (*key, value.map(|value| vec![b'0' + value]), at))
    });
    keys.collect()
}

fn feed(mirror: &mut Mirror, changes: &[(usize, Option<Vec<u8>>, i64)]) {
    mirror.apply(changes.iter().map(|(key, bytes, revision)| {
        let (bytes, revision) = (bytes.as_deref(), *revision);
        match NAMES.get(*key) {
            None => Change::Head { bytes, revision },
            Some(name) => Change::Document {
                name: (*name).to_owned(),
                bytes,
                revision,
            },
        }
    }));
}

fn at(revision: i64) -> Origin {
    Origin {
        cluster: 1,
        term: 1,
        revision,
    }
}

/// What a reader finds after the first `steps` of the log.
fn read(log: &Log, steps: usize) -> Snapshot {
    let mut mirror = Mirror::new(Snapshot::default(), at(0));
    for step in 0..steps {
        feed(&mut mirror, &changes(log, step, step + 1));
    }
    mirror.current
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
        let mut mirror = Mirror::new(read(&log, start), at(revision(start) - 1));
        let mut done = start;
        for (back, length) in pieces {
            let from = done.saturating_sub(back);
            let to = (from + length).min(log.len());
            feed(&mut mirror, &changes(&log, from, to));
            done = done.max(to);
        }
        feed(&mut mirror, &changes(&log, done, log.len()));
        let end = read(&log, log.len());
        prop_assert_eq!(&mirror.current, &end);
        prop_assert!(mirror.told().is_same(&end));
    }

    /// Others are told anew exactly when texts or head have changed.
    #[test]
    fn what_is_told_changes_with_the_content_alone(log in log()) {
        let mut mirror = Mirror::new(Snapshot::default(), at(0));
        for step in 0..log.len() {
            let before = Arc::clone(mirror.told());
            feed(&mut mirror, &changes(&log, step, step + 1));
            let same = before.is_same(&read(&log, step + 1));
            prop_assert_eq!(Arc::ptr_eq(&before, mirror.told()), same);
        }
    }

    /// An audit finds nothing wrong with what is right, whether it is ahead or not; what has not come yet, it finds.
    #[test]
    fn an_audit_blames_what_is_missing_alone(
        log in log(), own in 0_usize..20, theirs in 0_usize..20, lost in 0_usize..20,
    ) {
        let (own, theirs) = (own.min(log.len()), theirs.min(log.len()));
        let mirror = Mirror::new(read(&log, own), at(0));
        let snapshot = read(&log, theirs);
        if own >= theirs {
            prop_assert_eq!(mirror.differences(&snapshot), Vec::<String>::new());
        }
        // A change that never came, with all others after it.
        let lost = lost % log.len();
        let mut mirror = Mirror::new(read(&log, lost), at(0));
        feed(&mut mirror, &changes(&log, lost + 1, log.len()));
        mirror.progress(revision(log.len()));
        let end = Snapshot { revision: revision(log.len()), ..read(&log, log.len()) };
        let is_right = mirror.current == end;
        prop_assert_eq!(mirror.differences(&end).is_empty(), is_right);
    }
}

#[test]
fn what_was_read_anew_is_the_truth_even_if_it_is_older() {
    let log: Log = vec![vec![(0, Some(1))], vec![(0, Some(2)), (1, Some(1))]];
    let mut mirror = Mirror::new(read(&log, 2), at(2));
    assert!(mirror.doubts(at(1)));
    mirror.replace(read(&log, 1), at(1));
    assert_eq!(mirror.revision(), 1);
    assert_eq!(mirror.told().documents["a"].text(), Some("1"));
    assert!(!mirror.doubts(at(1)));
    // A change of the restored cluster, under a revision that was known before.
    feed(&mut mirror, &[(1, Some(b"new".to_vec()), 2)]);
    assert_eq!(mirror.told().documents["b"].text(), Some("new"));
}

#[test]
fn an_older_term_or_another_cluster_is_doubtful() {
    let mut mirror = Mirror::new(Snapshot::default(), at(3));
    let newer = Origin { term: 2, ..at(3) };
    assert!(!mirror.doubts(newer));
    assert!(mirror.doubts(at(9)));
    assert!(mirror.doubts(Origin {
        cluster: 2,
        ..newer
    }));
}
