use proptest::prelude::*;

use super::*;
use crate::config::etcd::EtcdSource;
use crate::edges::etcd::{Change, Listing, Origin};

/// What a writer did to some keys at once: texts of documents, and the head.
type Step = Vec<(usize, Option<u8>)>;

fn log() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![1 => Just(None), 3 => (0_u8..3).prop_map(Some)];
    let at_once = prop::collection::btree_map(0_usize..5, value, 1..4);
    let at_once = at_once.prop_map(|keys| keys.into_iter().collect());
    prop::collection::vec(at_once, 1..20)
}

fn change(etcd: &Etcd, (key, value): (usize, Option<u8>), revision: i64) -> Change<Said> {
    let key = match key {
        4 => etcd.keys.head(),
        n => etcd.keys.document(&n.to_string()),
    };
    let said = value.and_then(|value| etcd.keys.read(&key, &[b'0' + value]));
    Change {
        key,
        value: said.map(|said| (said, 1)),
        revision,
    }
}

proptest! {
    /// Others are told anew exactly when texts or head have changed.
    #[test]
    fn what_is_told_changes_with_the_content_alone(log in log()) {
        let etcd = Etcd::new(EtcdSource::parse_url("etcd://127.0.0.1:2379/p").unwrap());
        let sink = watch::Sender::new(State::default());
        let follower = Follower { etcd: &etcd, sink: &sink };
        let nothing = Listing { origin: Origin::default(), entries: Vec::new() };
        let mut mirror = Mirror::new(&nothing, |_, _| None);
        follower.knows(&mirror);
        for (step, revision) in log.into_iter().zip(1..) {
            let before = sink.borrow().snapshot.clone().unwrap();
            mirror.apply(step.into_iter().map(|one| change(&etcd, one, revision)));
            follower.knows(&mirror);
            let told = sink.borrow().snapshot.clone().unwrap();
            prop_assert!(told.is_same(&Snapshot::of(&mirror, &etcd.keys)));
            prop_assert_eq!(Arc::ptr_eq(&before, &told), before.is_same(&told));
        }
    }
}
