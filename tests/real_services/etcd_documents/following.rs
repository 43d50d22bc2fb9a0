//! Changes as they are seen by a follower.

use std::sync::Arc;

use etcd_client::{Txn, TxnOp};

use super::{Follower, key, open, push, push_now, raw, texts};
use crate::services::Etcd;

#[tokio::test]
async fn changes_are_seen_in_order_and_once() {
    let Some(server) = Etcd::start().await else {
        return;
    };
    let etcd = open(server.address());
    push_now(&etcd, &[("counter", "0")]).await;
    let mut follower = Follower::start(&etcd);
    follower.sees_texts("the start", &[("counter", "0")]).await;

    let writer = etcd.clone();
    let writing = tokio::spawn(async move {
        for number in 1..=100 {
            let text = number.to_string();
            let expected = writer.read().await.unwrap();
            let push = push(&[("counter", &text), ("twin", &text)]);
            writer.push(&expected, &push).await.unwrap();
        }
    });
    let mut seen = vec![0];
    while seen.last() != Some(&100) {
        let last = seen.last().copied().unwrap_or_default();
        let mut is_new = |state: &super::State| {
            let snapshot = state.snapshot.as_ref().unwrap();
            let counter: u32 = texts(snapshot)["counter"].parse().unwrap();
            if counter != 0 {
                assert_eq!(
                    texts(snapshot)["twin"],
                    texts(snapshot)["counter"],
                    "half a push"
                );
                assert!(snapshot.is_whole(), "documents and head come together");
            }
            counter != last
        };
        let state = follower.sees("the next number", &mut is_new).await;
        seen.push(texts(&state.snapshot.unwrap())["counter"].parse().unwrap());
    }
    assert!(seen.is_sorted(), "{seen:?}");
    writing.await.unwrap();
}

#[tokio::test]
async fn a_transaction_is_seen_at_once_and_a_touch_not_at_all() {
    let Some(server) = Etcd::start().await else {
        return;
    };
    let etcd = open(server.address());
    push_now(&etcd, &[("a", "1"), ("b", "1"), ("c", "1")]).await;
    let mut follower = Follower::start(&etcd);
    let start = [("a", "1"), ("b", "1"), ("c", "1")];
    follower.sees_texts("the start", &start).await;
    let ready = follower.sees("a watch", |state| state.connected).await;
    let told = ready.snapshot.unwrap();

    let mut client = raw(server.address()).await;
    client.put(key("a"), "1", None).await.unwrap();
    client
        .put("/linkgate/test/documentation", "no document", None)
        .await
        .unwrap();
    client
        .put("/linkgate/other/documents/a", "of somebody else", None)
        .await
        .unwrap();
    let steps = vec![
        TxnOp::put(key("a"), "2", None),
        TxnOp::put(key("b"), "2", None),
        TxnOp::delete(key("c"), None),
    ];
    client.txn(Txn::new().and_then(steps)).await.unwrap();
    // The first thing that is told after the start is the whole transaction.
    let other = |state: &super::State| {
        let snapshot = state.snapshot.as_ref().unwrap();
        !Arc::ptr_eq(snapshot, &told)
    };
    let state = follower.sees("a change", other).await;
    let snapshot = state.snapshot.unwrap();
    assert_eq!(texts(&snapshot), [("a", "2"), ("b", "2")].into());

    // A head that cannot be read is shown as such, and mended by the next push.
    client.put("/linkgate/test/head", "{", None).await.unwrap();
    follower
        .sees("a broken head", |state| {
            let head = state.snapshot.as_ref().unwrap().head.clone();
            head.is_some_and(|head| head.head.is_err())
        })
        .await;
    assert_eq!(push_now(&etcd, &[("a", "2"), ("b", "2")]).await, 2);
    follower
        .sees("a whole head", |state| {
            state.snapshot.as_ref().unwrap().is_whole()
        })
        .await;
}
