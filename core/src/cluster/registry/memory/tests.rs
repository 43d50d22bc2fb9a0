use std::sync::Arc;

use super::super::suite::{self, Follower, Node, boot, boot_of, record};
use super::*;

fn open(registry: &MemoryRegistry) -> Arc<dyn Registry> {
    Arc::new(registry.handle())
}

#[tokio::test(start_paused = true)]
async fn it_does_what_every_registry_does() {
    let registry = MemoryRegistry::new(7);
    suite::run(&|| open(&registry)).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_cut_off_heals_in_the_same_life() {
    let registry = MemoryRegistry::new(7);
    let (handle, other) = (registry.handle(), open(&registry));
    let own: Arc<dyn Registry> = Arc::new(handle.clone());
    let life = boot(&own, "a").await;
    let mut node = Node::register(&own, "a", life);
    node.stands().await;
    let (mut cut_off, mut follower) = (Follower::start(&own), Follower::start(&other));
    cut_off
        .hears("answers", |told| matches!(told, Told::Answers))
        .await;

    handle.set(Way::Cut);
    let begun = Instant::now();
    cut_off
        .hears("silence", |told| matches!(told, Told::Silent(_)))
        .await;
    node.hears("doubt", |told| matches!(told, Registered::Unknown(_)))
        .await;
    assert!(own.newest().await.is_err());
    follower
        .sees("its lease has run out", |view| view.nodes.is_empty())
        .await;
    assert!(begun.elapsed() < Duration::from_secs(20));

    handle.set(Way::Open);
    cut_off
        .hears("an answer", |told| matches!(told, Told::Answers))
        .await;
    node.stands().await;
    let view = follower
        .sees("its return", |view| view.nodes.contains_key("a"))
        .await;
    assert_eq!(view.nodes["a"].incarnation, Some(life));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_answer_is_lost_may_have_been_taken() {
    let registry = MemoryRegistry::new(7);
    let handle = registry.handle();
    let own: Arc<dyn Registry> = Arc::new(handle.clone());
    handle.set(Way::Unanswered);
    let booted = own.boot("a", &boot_of("a", "x"), None).await;
    assert!(matches!(booted, Err(BootError::Registry(_))), "{booted:?}");
    handle.set(Way::Cut);
    let booted = own.boot("b", &boot_of("b", "y"), None).await;
    assert!(matches!(booted, Err(BootError::Registry(_))), "{booted:?}");
    handle.set(Way::Open);
    let read = own.read().await.unwrap();
    let lives: Vec<_> = read.boots.iter().collect();
    let [(life, a)] = &*lives else {
        panic!("{lives:?}");
    };
    assert_eq!(&*a.node, "a");
    let again = own.boot("a", &boot_of("a", "x"), None).await.unwrap();
    assert_eq!(again, **life);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_stale_is_told_later_and_asks_at_once() {
    let registry = MemoryRegistry::new(7);
    let (handle, other) = (registry.handle(), open(&registry));
    let own: Arc<dyn Registry> = Arc::new(handle.clone());
    let mut follower = Follower::start(&own);
    let before = follower.sees("nothing", |_| true).await;
    handle.set(Way::Stale);
    let life = boot(&other, "a").await;
    let newest = own.newest().await.unwrap();
    assert!(!before.mark.covers(&newest));
    handle.set(Way::Open);
    let after = follower.sees("all", |_| true).await;
    assert!(after.mark.covers(&newest) && after.boots.contains_key(&life));
}

#[tokio::test(start_paused = true)]
async fn a_restored_registry_ends_the_lives_of_the_one_before() {
    let registry = MemoryRegistry::new(7);
    let own = open(&registry);
    let life = boot(&own, "a").await;
    let mut node = Node::register(&own, "a", life);
    node.stands().await;
    let kept = registry.keep();
    let lost = boot(&own, "b").await;
    let mut follower = Follower::start(&own);
    follower
        .sees("both", |view| view.boots.contains_key(&lost))
        .await;

    registry.restore(&kept, 8);
    let view = follower.sees("the restored one", |_| true).await;
    assert_eq!(view.mark.registry, 8);
    assert!(!view.boots.contains_key(&life) && view.boots.len() == 1);
    assert!(view.mark.boots < lost.revision);
    let ended = |told: &Registered| *told == Registered::Ended;
    node.hears("its end", ended).await;
    assert!(own.end("a", life).await.unwrap());
    assert!(own.end("b", lost).await.unwrap());
    // The process is the same, so it may go on with what stands there, as another life.
    let again = boot(&own, "a").await;
    assert_eq!(again.registry, 8);
    let mut node = Node::register(&own, "a", again);
    node.record.send_replace(record("a", again, 3));
    node.stands().await;
}
