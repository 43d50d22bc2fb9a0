use super::*;
use crate::testkit::virtual_clock;

const KEEP: Duration = Duration::from_secs(10);

fn store(entries: usize, bytes: usize) -> MemoryStore {
    MemoryStore::new(virtual_clock(), MemoryStoreLimits { entries, bytes })
}

fn ann() -> Identity {
    Identity::new("chat", "ann")
}

async fn insert(store: &MemoryStore, key: &str, value: &'static str) -> Option<Bytes> {
    let inserted = store.insert(&ann(), key.to_owned(), value.into(), KEEP);
    inserted.await.unwrap()
}

/// Inserts keys until one is refused, and says how many there were.
async fn fill(store: &MemoryStore, owner: &Identity) -> usize {
    for n in 0.. {
        let key = format!("{owner}:{}:{n}", store.len());
        let inserted = store.insert(owner, key, "value".into(), KEEP).await;
        if let Err(error) = inserted {
            assert_eq!(error.failure, EdgeFailure::Full);
            return n;
        }
    }
    unreachable!("the store is bounded")
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
    assert_eq!(store.table.lock().shares.held(), Room::default());
}

#[tokio::test(start_paused = true)]
async fn a_full_store_refuses_new_keys_and_keeps_the_old() {
    let full = |store: &MemoryStore| {
        let refused = store.insert(&ann(), "new".into(), "x".into(), KEEP);
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

#[tokio::test(start_paused = true)]
async fn a_user_that_takes_all_it_can_leaves_room_for_others() {
    for store in [store(1_000, usize::MAX), store(usize::MAX, 160_000)] {
        let taken = fill(&store, &ann()).await;
        assert!((450..=550).contains(&taken), "{taken}: half of the store");
        let device = ann().at_device("phone");
        assert_eq!(fill(&store, &device).await, 0, "a device has no share");
        let colleague = fill(&store, &Identity::new("chat", "bob")).await;
        assert!(colleague >= 100, "{colleague} of the same business");
        let stranger = fill(&store, &Identity::new("mail", "ann")).await;
        assert!(stranger >= 100, "{stranger} of another business");
    }
}

#[tokio::test(start_paused = true)]
async fn a_business_of_many_users_leaves_room_for_others() {
    let store = store(1_000, usize::MAX);
    for user in 0..2_000 {
        fill(&store, &Identity::new("chat", &user.to_string())).await;
    }
    assert!(store.len() <= 667, "{}: two thirds", store.len());
    for biz_id in ["mail", "game", "shop"] {
        let taken = fill(&store, &Identity::new(biz_id, "ann")).await;
        assert!(taken >= 5, "{taken} of {biz_id}");
    }
    tokio::time::advance(KEEP).await;
    assert!(store.is_empty());
    assert!(fill(&store, &Identity::new("chat", "0")).await >= 450);
}

#[tokio::test(start_paused = true)]
async fn what_is_replaced_or_removed_stays_on_the_account_of_its_owner() {
    let store = store(1_000, usize::MAX);
    let taken = fill(&store, &ann()).await;
    let keys: Vec<_> = store.table.lock().entries.keys().cloned().collect();
    for key in &keys {
        let same = store.replace(key.to_string(), "value".into(), "more".into(), KEEP);
        assert!(same.await.unwrap());
    }
    assert_eq!(fill(&store, &ann()).await, 0);
    for key in &keys {
        assert!(store.remove(key.to_string(), "more".into()).await.unwrap());
    }
    assert_eq!(store.table.lock().shares.held(), Room::default());
    assert_eq!(fill(&store, &ann()).await, taken);
}
