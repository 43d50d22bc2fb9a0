//! Which endpoint a try goes to. In virtual time.

use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::{Effect, Outcome};
use serde_json::json;
use tokio::time::Instant;
use tonic::Status;

use super::memory::{Backend, Memory, caller, deliver, deliver_of, fault, fault_of, pool};
use crate::call::Caller;
use linkgate_grpc::{BreakerRules, Directory};

fn accepted() -> Outcome {
    Outcome::accepted("hello")
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

async fn seconds(n: u64) {
    tokio::time::sleep(Duration::from_secs(n)).await;
}

#[tokio::test(start_paused = true)]
async fn calls_go_to_the_endpoint_with_the_fewest_in_flight() {
    let memory = Arc::new(Memory::default());
    let (busy, idle) = (Backend::slow(Duration::from_secs(50)), Backend::echo());
    memory.serve("busy:1", &busy);
    memory.serve("idle:1", &idle);
    let config = json!({ "try_timeout": "60s", "deadline": "60s" });
    let caller = caller(&memory, &["busy:1", "idle:1"], config);
    let calls = async {
        for _ in 0..10 {
            assert_eq!(deliver(&caller, "later").await, accepted());
        }
    };
    let (first, ()) = tokio::join!(deliver(&caller, "first"), calls);
    assert_eq!(first, accepted());
    assert_eq!(busy.keys(), ["first"]);
    assert_eq!(idle.keys().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn idle_endpoints_take_turns() {
    let memory = Arc::new(Memory::default());
    let backends = ["a:1", "b:1", "c:1"].map(|at| {
        let backend = Backend::echo();
        memory.serve(at, &backend);
        backend
    });
    let caller = caller(&memory, &["a:1", "b:1", "c:1"], json!({}));
    for _ in 0..9 {
        deliver(&caller, "k").await;
    }
    assert_eq!(backends.map(|backend| backend.keys().len()), [3, 3, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_goes_elsewhere() {
    let memory = Arc::new(Memory::default());
    let backend = Backend::echo();
    memory.serve("b:1", &backend);
    let caller = caller(&memory, &["a:1", "b:1"], json!({}));
    for _ in 0..4 {
        assert_eq!(deliver(&caller, "k").await, accepted());
    }
    assert!(caller.events.retries.get() >= 2);
    assert_eq!(backend.keys().len(), 4);
}

/// Fails a message of each of so many users; what they are told.
async fn faults(caller: &Arc<Caller>, users: usize) -> Vec<String> {
    let mut codes = Vec::new();
    for user in 0..users {
        let fault = fault_of(caller, &format!("user-{user}")).await;
        codes.push(fault.code.into_owned());
    }
    codes
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_spares_the_backend_and_a_probe_closes_it() {
    let memory = Arc::new(Memory::default());
    let backend = Backend::failing(Status::unavailable("down"));
    memory.serve("a:1", &backend);
    let config = json!({
        "retry": { "max_attempts": 1 },
        "breaker": { "failures": 3, "first_open_for": "5s" },
    });
    let caller = caller(&memory, &["a:1"], config);
    assert_eq!(faults(&caller, 3).await, ["grpc.unavailable"; 3]);
    seconds(1).await;
    let refused = fault(&caller).await;
    assert_eq!(
        refused.code, "grpc.breaker_open",
        "the deadline is too short to wait"
    );
    assert_eq!(refused.effect, Effect::None);
    assert_eq!(refused.retry_after, Some(Duration::from_secs(4)));
    assert_eq!(backend.keys().len(), 3);

    seconds(2).await;
    let begun = Instant::now();
    assert_eq!(fault(&caller).await.code, "grpc.unavailable", "the probe");
    assert_eq!(begun.elapsed(), Duration::from_secs(2), "it waited");
    assert_eq!(fault(&caller).await.code, "grpc.breaker_open");
    assert_eq!(backend.keys().len(), 4);

    backend.becomes(&Backend::echo());
    seconds(5).await;
    for _ in 0..3 {
        assert_eq!(deliver(&caller, "k").await, accepted());
    }
    assert_eq!(caller.events.breaker_opened.get(), 2);
    assert_eq!(caller.events.breaker_open.get(), 2);
    assert_eq!(caller.events.limited.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn messages_wait_for_a_probe_and_go_through_in_growing_numbers() {
    let memory = Arc::new(Memory::default());
    let backend = Backend::failing(Status::unavailable("down"));
    memory.serve("a:1", &backend);
    let config = json!({ "retry": { "max_attempts": 1 }, "breaker": { "failures": 1 } });
    let caller = caller(&memory, &["a:1"], config);
    fault(&caller).await;
    backend.becomes(&Backend::slow(Duration::from_millis(100)));
    let calls = futures_util::future::join_all((0..20).map(|_| deliver(&caller, "k")));
    let growing = async {
        let mut got = Vec::new();
        tokio::time::sleep(Duration::from_millis(150)).await;
        for _ in 0..5 {
            got.push(backend.keys().len() - 1);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        got
    };
    let (outcomes, got) = tokio::join!(calls, growing);
    assert!(outcomes.iter().all(|outcome| *outcome == accepted()));
    assert_eq!(got[..3], [1, 2, 4], "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_is_left_alone_while_another_serves() {
    let memory = Arc::new(Memory::default());
    let (bad, good) = (
        Backend::failing(Status::internal("broken")),
        Backend::echo(),
    );
    memory.serve("a:1", &bad);
    memory.serve("b:1", &good);
    let caller = caller(
        &memory,
        &["a:1", "b:1"],
        json!({ "retry": { "max_attempts": 1 } }),
    );
    let mut refused = 0;
    for user in 0..1000 {
        let outcome = deliver_of(&caller, &format!("user-{user}"), "k").await;
        refused += usize::from(outcome != accepted());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(refused < 30, "5, and a probe now and then: {refused}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_lost_under_many_calls_is_one_failure() {
    let memory = Arc::new(Memory::default());
    let backend = Backend::slow(Duration::from_millis(500));
    memory.serve("a:1", &backend);
    let caller = caller(&memory, &["a:1"], json!({ "retry": { "max_attempts": 1 } }));
    let calls = futures_util::future::join_all((0..20).map(|_| deliver(&caller, "k")));
    let (outcomes, ()) = tokio::join!(calls, async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        memory.cut("a:1");
    });
    assert!(outcomes.iter().all(|o| matches!(o, Outcome::Unknown(_))));
    assert_eq!(deliver(&caller, "k").await, accepted());
    assert_eq!(caller.events.breaker_opened.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_cannot_be_reached_opens_the_breaker_for_longer_each_time() {
    let memory = Arc::new(Memory::default());
    let caller = caller(&memory, &["a:1"], json!({ "retry": { "max_attempts": 1 } }));
    let begun = Instant::now();
    // Five open it; five wait for a rest of 100 ms to 1.6 s and are probes.
    for _ in 0..10 {
        assert_eq!(fault(&caller).await.code, "grpc.unreachable");
    }
    assert_eq!(begun.elapsed().as_millis(), 100 + 200 + 400 + 800 + 1600);
    let fault = fault(&caller).await;
    assert_eq!(fault.code, "grpc.breaker_open", "no longer in time");
    assert_eq!(fault.retry_after, Some(Duration::from_millis(3200)));
}

#[tokio::test(start_paused = true)]
async fn refusals_open_no_breaker() {
    let memory = Arc::new(Memory::default());
    let backend = Backend::failing(Status::permission_denied("not you"));
    memory.serve("a:1", &backend);
    let caller = caller(&memory, &["a:1"], json!({ "breaker": { "failures": 1 } }));
    for _ in 0..30 {
        assert_eq!(fault(&caller).await.code, "grpc.permission_denied");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_went_dead_in_silence_is_replaced() {
    let memory = Arc::new(Memory::default());
    memory.serve_nothing("a:1");
    let config = json!({ "retry": { "max_attempts": 1 }, "breaker": { "failures": 2 } });
    let caller = caller(&memory, &["a:1"], config);
    for _ in 0..2 {
        assert_eq!(fault(&caller).await.code, "grpc.deadline_exceeded");
    }
    memory.serve("a:1", &Backend::echo());
    seconds(5).await;
    assert_eq!(deliver(&caller, "k").await, accepted());
}

#[tokio::test(start_paused = true)]
async fn a_changed_pipeline_finds_connections_and_breakers_again() {
    let memory = Arc::new(Memory::default());
    memory.serve("a:1", &Backend::echo());
    let directory = Arc::<Directory>::default();
    let rules = BreakerRules::default();
    let old = pool(&memory, &["a:1"], &directory);
    let lease = old.lease(&[], rules, soon()).await.unwrap().lease;
    let new = pool(&memory, &["b:1", "a:1"], &directory);
    let same = new.lease(&[], rules, soon()).await.unwrap().lease;
    assert_eq!(same.endpoint().address.uri, "http://b:1/", "`a` is busy");
    let same = new
        .lease(&[Arc::clone(same.endpoint())], rules, soon())
        .await
        .unwrap()
        .lease;
    assert!(Arc::ptr_eq(same.endpoint(), lease.endpoint()));
    let elsewhere = pool(&memory, &["a:1"], &Arc::default());
    let other = elsewhere.lease(&[], rules, soon()).await.unwrap().lease;
    assert!(!Arc::ptr_eq(other.endpoint(), lease.endpoint()));
}

#[tokio::test(start_paused = true)]
async fn all_calls_share_a_connection() {
    let memory = Arc::new(Memory::default());
    memory.serve("a:1", &Backend::echo());
    let caller = caller(&memory, &["a:1"], json!({}));
    assert_eq!(memory.connections("a:1"), 0, "none before the first call");
    let calls = (0..20).map(|_| deliver(&caller, "k"));
    futures_util::future::join_all(calls).await;
    assert_eq!(memory.connections("a:1"), 1);
    memory.cut("a:1");
    tokio::task::yield_now().await;
    assert_eq!(deliver(&caller, "k").await, accepted());
    assert_eq!(memory.connections("a:1"), 1);
}
