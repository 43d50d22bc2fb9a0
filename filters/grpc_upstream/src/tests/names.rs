//! What names stand for, and when they are asked. In virtual time.

use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::{Effect, Outcome};
use serde_json::json;
use tokio::time::Instant;

use super::memory::{Backend, Memory, caller, deliver, fault};
use crate::call::Caller;

fn accepted() -> Outcome {
    Outcome::accepted("hello")
}

async fn millis(n: u64) {
    tokio::time::sleep(Duration::from_millis(n)).await;
}

/// A caller of the name `chat`, whose answers take so long.
fn named(takes: Duration, config: serde_json::Value) -> (Arc<Memory>, Arc<Caller>) {
    let memory = Arc::new(Memory::default());
    *memory.names_take.lock() = takes;
    let caller = caller(&memory, &["dns:///chat:7"], config);
    (memory, caller)
}

fn serve<const N: usize>(memory: &Memory, hosts: [&str; N]) -> [Backend; N] {
    hosts.map(|at| {
        let backend = Backend::echo();
        memory.serve(at, &backend);
        backend
    })
}

#[tokio::test(start_paused = true)]
async fn a_slow_resolver_delays_the_first_messages_and_no_more() {
    let (memory, caller) = named(Duration::from_millis(1500), json!({}));
    serve(&memory, ["10.0.0.1:7"]);
    memory.name("chat", &["10.0.0.1:7"]);
    let first = futures_util::future::join_all((0..10).map(|_| deliver(&caller, "k")));
    assert!(first.await.iter().all(|outcome| *outcome == accepted()));
    for _ in 0..20 {
        let begun = Instant::now();
        assert_eq!(deliver(&caller, "k").await, accepted());
        assert!(begun.elapsed() < Duration::from_millis(10));
        millis(5000).await;
    }
    let asked = *memory.asked.lock();
    assert!(
        (9..=11).contains(&asked),
        "each 10s, not for each call: {asked}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_resolver_slower_than_the_deadline_answers_later_messages() {
    let (memory, caller) = named(Duration::from_secs(8), json!({}));
    serve(&memory, ["10.0.0.1:7"]);
    memory.name("chat", &["10.0.0.1:7"]);
    let begun = Instant::now();
    let fault = fault(&caller).await;
    assert_eq!(
        (fault.code.as_ref(), fault.effect),
        ("grpc.unreachable", Effect::None)
    );
    assert_eq!(begun.elapsed(), Duration::from_secs(3), "the deadline");
    millis(6000).await;
    assert_eq!(deliver(&caller, "k").await, accepted());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_takes_longer_than_a_try_serves_the_next_one() {
    let memory = Arc::new(Memory::default());
    *memory.connecting_takes.lock() = Duration::from_millis(1500);
    memory.serve("chat:7", &Backend::echo());
    let caller = caller(&memory, &["chat:7"], json!({}));
    assert_eq!(deliver(&caller, "k").await, accepted());
}

#[tokio::test(start_paused = true)]
async fn the_last_good_answer_is_kept() {
    let (memory, caller) = named(Duration::from_millis(10), json!({}));
    serve(&memory, ["10.0.0.1:7"]);
    memory.name("chat", &["10.0.0.1:7"]);
    assert_eq!(deliver(&caller, "k").await, accepted());
    memory.name("chat", &[]);
    for _ in 0..20 {
        millis(10_000).await;
        assert_eq!(deliver(&caller, "k").await, accepted());
    }
    assert!(*memory.asked.lock() > 10, "it is asked again and again");
}

#[tokio::test(start_paused = true)]
async fn new_addresses_are_taken_in_and_those_gone_finish_their_calls() {
    let config = json!({ "try_timeout": "60s", "deadline": "60s" });
    let (memory, caller) = named(Duration::ZERO, config);
    let slow = Backend::slow(Duration::from_secs(30));
    memory.serve("10.0.0.1:7", &slow);
    memory.name("chat", &["10.0.0.1:7"]);
    let [moved] = serve(&memory, ["10.0.0.2:7"]);
    let first = async {
        let outcome = deliver(&caller, "first").await;
        tokio::task::yield_now().await;
        outcome
    };
    let others = async {
        millis(100).await;
        memory.name("chat", &["10.0.0.2:7"]);
        millis(10_000).await;
        for _ in 0..5 {
            assert_eq!(deliver(&caller, "later").await, accepted());
        }
    };
    let (first, ()) = tokio::join!(first, others);
    assert_eq!(
        first,
        accepted(),
        "its endpoint went while it was under way"
    );
    assert_eq!(slow.keys(), ["first"]);
    assert_eq!(moved.keys().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn all_addresses_of_a_name_are_used() {
    let (memory, caller) = named(Duration::ZERO, json!({}));
    let backends = serve(&memory, ["10.0.0.1:7", "10.0.0.2:7"]);
    memory.name("chat", &["10.0.0.1:7", "10.0.0.2:7"]);
    let calls = (0..4).map(|_| deliver(&caller, "k"));
    futures_util::future::join_all(calls).await;
    assert_eq!(backends.map(|backend| backend.keys().len()), [2, 2]);
    assert_eq!(*memory.asked.lock(), 1, "one question for all");
}

#[tokio::test(start_paused = true)]
async fn a_slow_name_does_not_hold_up_another() {
    let memory = Arc::new(Memory::default());
    serve(&memory, ["10.0.0.1:7"]);
    memory.name("quick", &["10.0.0.1:7"]);
    memory.never_answers("slow");
    let caller = caller(&memory, &["dns:///slow:7", "dns:///quick:7"], json!({}));
    assert_eq!(deliver(&caller, "k").await, accepted());
    let [moved] = serve(&memory, ["10.0.0.2:7"]);
    memory.name("quick", &["10.0.0.2:7"]);
    millis(10_001).await;
    assert_eq!(deliver(&caller, "k").await, accepted());
    assert_eq!(moved.keys().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_gone_is_asked_for_within_a_second() {
    let (memory, caller) = named(Duration::ZERO, json!({ "retry": { "max_attempts": 1 } }));
    serve(&memory, ["10.0.0.2:7"]);
    memory.name("chat", &["10.0.0.1:7"]);
    assert_eq!(fault(&caller).await.code, "grpc.unreachable");
    memory.name("chat", &["10.0.0.2:7"]);
    millis(1001).await;
    assert_eq!(deliver(&caller, "k").await, accepted());
}

#[tokio::test(start_paused = true)]
async fn a_name_without_an_address_has_no_effect_and_is_asked_at_a_pace() {
    let (memory, caller) = named(Duration::ZERO, json!({ "retry": { "max_attempts": 1 } }));
    for _ in 0..10 {
        let fault = fault(&caller).await;
        assert_eq!(
            (fault.code.as_ref(), fault.effect),
            ("grpc.unreachable", Effect::None)
        );
    }
    assert_eq!(*memory.asked.lock(), 1);
    serve(&memory, ["10.0.0.1:7"]);
    memory.name("chat", &["10.0.0.1:7"]);
    millis(1001).await;
    assert_eq!(deliver(&caller, "k").await, accepted());
}

#[tokio::test(start_paused = true)]
async fn while_no_name_has_an_address_each_call_has_it_asked_again() {
    let (memory, caller) = named(Duration::ZERO, json!({ "retry": { "max_attempts": 1 } }));
    // So much has failed by now that nobody would ask for a while.
    fault(&caller).await;
    millis(17_000).await;
    serve(&memory, ["10.0.0.1:7"]);
    memory.name("chat", &["10.0.0.1:7"]);
    fault(&caller).await;
    millis(10).await;
    assert_eq!(deliver(&caller, "k").await, accepted());

    let (memory, caller) = named(Duration::ZERO, json!({ "retry": { "max_attempts": 1 } }));
    for _ in 0..200 {
        fault(&caller).await;
        millis(100).await;
    }
    let asked = *memory.asked.lock();
    assert!(
        (19..=21).contains(&asked),
        "each second, and no more: {asked}"
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_once_the_pool_is_gone() {
    let (memory, caller) = named(Duration::ZERO, json!({}));
    serve(&memory, ["10.0.0.1:7"]);
    memory.name("chat", &["10.0.0.1:7"]);
    assert_eq!(deliver(&caller, "k").await, accepted());
    drop(caller);
    millis(60_000).await;
    assert_eq!(*memory.asked.lock(), 1);
}
