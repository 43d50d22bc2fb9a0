use super::*;
use crate::testkit::virtual_clock;

const KEEP: Duration = Duration::from_secs(10);

fn store(entries: usize, bytes: usize) -> MemoryStore {
    MemoryStore::new(virtual_clock(), MemoryStoreLimits { entries, bytes })
}

async fn insert(store: &MemoryStore, key: &str, value: &'static str) -> Option<Bytes> {
    let inserted = store.insert(key.to_owned(), value.into(), KEEP).await;
    inserted.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_first_to_insert_wins() {
    let store = store(10, 10_000);
    assert_eq!(insert(&store, "k", "one").await, None);
    assert_eq!(insert(&store, "k", "two").await.unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn only_who_knows_the_value_changes_it() {
    let store = store(10, 10_000);
    insert(&store, "k", "one").await;
    let replace = |expected: &'static str, value: &'static str| {
        store.replace("k".into(), expected.into(), value.into(), KEEP)
    };
    assert!(!replace("two", "three").await.unwrap());
    assert!(replace("one", "two").await.unwrap());
    assert!(!store.remove("k".into(), "one".into()).await.unwrap());
    assert!(store.remove("k".into(), "two".into()).await.unwrap());
    assert_eq!(insert(&store, "k", "four").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_key_ends_by_itself_and_a_replaced_one_later() {
    let store = store(10, 10_000);
    insert(&store, "k", "one").await;
    insert(&store, "other", "one").await;
    tokio::time::advance(KEEP / 2).await;
    let same = store.replace("k".into(), "one".into(), "one".into(), KEEP);
    assert!(same.await.unwrap());
    tokio::time::advance(KEEP * 3 / 4).await;
    assert_eq!(store.len(), 1);
    assert_eq!(insert(&store, "k", "two").await.unwrap(), "one");
    tokio::time::advance(KEEP).await;
    assert!(store.is_empty());
    assert_eq!(store.table.lock().bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_store_refuses_new_keys_and_keeps_the_old() {
    let full = |store: &MemoryStore| {
        let refused = store.insert("new".into(), "x".into(), KEEP);
        async move { refused.await.unwrap_err().failure == EdgeFailure::Full }
    };
    let few = store(1, 10_000);
    insert(&few, "k", "one").await;
    assert!(full(&few).await);
    assert_eq!(insert(&few, "k", "two").await.unwrap(), "one");
    let small = store(10, 200);
    insert(&small, "k", "one").await;
    assert!(full(&small).await);
    tokio::time::advance(KEEP).await;
    assert_eq!(insert(&small, "new", "x").await, None);
}
