//! What a call comes to, by what its tries came to. In virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use linkgate_filter::{Effect, Outcome};
use serde_json::json;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::memory::{Backend, Memory, answer, caller, deliver, fault};
use crate::call::Caller;

/// A backend that does `first` at the first try and then answers.
fn at_first(first: Status) -> Backend {
    let tries = AtomicU32::new(0);
    Backend::new(move |request| {
        let failed = tries.fetch_add(1, Ordering::Relaxed) == 0;
        let result = if failed {
            Err(first.clone())
        } else {
            Ok(answer(request.body))
        };
        async move { result }
    })
}

pub(super) fn one(backend: &Backend, config: serde_json::Value) -> (Arc<Memory>, Arc<Caller>) {
    let memory = Arc::new(Memory::default());
    memory.serve("a:1", backend);
    let caller = caller(&memory, &["a:1"], config);
    (memory, caller)
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_accepted_with_its_body() {
    let backend = Backend::echo();
    let (_memory, caller) = one(
        &backend,
        json!({ "trace_sampling": 1.0, "metadata": ["biz_id", "user_id", "device_id", "link_id", "key"] }),
    );
    assert_eq!(deliver(&caller, "k 1").await, Outcome::accepted("hello"));

    let got = backend.got.lock();
    let (request, metadata) = &got[0];
    assert_eq!(
        (
            request.biz_id.as_str(),
            request.user_id.as_str(),
            request.device_id.as_str()
        ),
        ("chat", "alice", "phone 1")
    );
    assert_eq!((request.key.as_str(), request.attempt), ("k 1", 1));
    assert!(request.link_id.ends_with("-7"));
    let text = |name| metadata.get(name).unwrap().to_str().unwrap();
    assert_eq!(text("linkgate-biz-id"), "chat");
    assert_eq!(text("linkgate-user-id"), "alice");
    assert_eq!(text("linkgate-device-id"), "phone%201");
    assert_eq!(text("linkgate-key"), "k%201");
    assert_eq!(text("linkgate-link-id"), request.link_id);
    assert!(text("traceparent").ends_with("-01"));
    assert!(metadata.contains_key("grpc-timeout"));
}

#[tokio::test(start_paused = true)]
async fn metadata_say_no_more_than_is_asked_for() {
    let backend = Backend::echo();
    let (_memory, caller) = one(&backend, json!({ "trace_sampling": 0.0 }));
    assert_eq!(deliver(&caller, "k").await, Outcome::accepted("hello"));
    let got = backend.got.lock();
    let (_, metadata) = &got[0];
    let keys = metadata.keys().map(|key| format!("{key:?}"));
    let own: Vec<_> = keys
        .filter(|key| key.contains("linkgate") || key.contains("trace"))
        .collect();
    assert_eq!(own.len(), 2, "{own:?}");
    assert_eq!(metadata.get("linkgate-user-id").unwrap(), "alice");
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_the_same_trace_and_the_next_attempt() {
    let backend = at_first(Status::unavailable("restarting"));
    let (_memory, caller) = one(&backend, json!({ "trace_sampling": 1.0 }));
    assert_eq!(deliver(&caller, "k").await, Outcome::accepted("hello"));
    let got = backend.got.lock();
    let parents: Vec<_> = got
        .iter()
        .map(|(_, metadata)| metadata.get("traceparent").unwrap().to_str().unwrap())
        .collect();
    assert_eq!(parents.len(), 2);
    assert_eq!(parents[0][..36], parents[1][..36]);
    assert_ne!(parents[0], parents[1]);
    assert_eq!(got[1].0.attempt, 2);
    assert_eq!(caller.events.retries.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_codes_worth_it_are_retried() {
    for code in [
        Code::InvalidArgument,
        Code::Internal,
        Code::Aborted,
        Code::ResourceExhausted,
    ] {
        let backend = at_first(Status::new(code, "no"));
        let (_memory, caller) = one(&backend, json!({}));
        fault(&caller).await;
        assert_eq!(backend.keys().len(), 1, "{code:?}");
    }
    let backend = at_first(Status::aborted("no"));
    let (_memory, caller) = one(&backend, json!({ "retry": { "codes": ["aborted"] } }));
    assert_eq!(deliver(&caller, "k").await, Outcome::accepted("hello"));
}

#[tokio::test(start_paused = true)]
async fn a_failing_backend_is_never_an_acceptance() {
    for code in (1..=16).map(Code::from_i32) {
        let backend = Backend::failing(Status::new(code, "table users is locked"));
        let (_memory, caller) = one(&backend, json!({}));
        let fault = fault(&caller).await;
        assert!(fault.code.starts_with("grpc."), "{fault:?}");
        assert!(!fault.to_string().contains("table"), "{fault:?}");
        let tries = if matches!(code, Code::Unavailable | Code::DeadlineExceeded) {
            3
        } else {
            1
        };
        assert_eq!(backend.keys().len(), tries, "{code:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_holds_over_all_tries() {
    let backend = Backend::slow(Duration::from_secs(60));
    let config =
        json!({ "try_timeout": "1s", "deadline": "2500ms", "retry": { "max_attempts": 10 } });
    let (_memory, caller) = one(&backend, config);
    let start = Instant::now();
    let fault = fault(&caller).await;
    assert!(
        start.elapsed() <= Duration::from_millis(2501),
        "{:?}",
        start.elapsed()
    );
    assert!(start.elapsed() > Duration::from_secs(2));
    assert_eq!(fault.code, "grpc.deadline_exceeded");
    assert_eq!(fault.effect, Effect::Unknown);
    assert_eq!(backend.keys().len(), 3);
    assert_eq!(caller.events.timeouts.get(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_dead_backend_has_no_effect_and_a_revived_one_is_used() {
    let memory = Arc::new(Memory::default());
    let caller = caller(&memory, &["a:1"], json!({}));
    let fault = fault(&caller).await;
    assert_eq!(
        (fault.code.as_ref(), fault.effect),
        ("grpc.unreachable", Effect::None)
    );
    assert!(fault.retry_after.is_some());
    memory.serve("a:1", &Backend::echo());
    assert_eq!(deliver(&caller, "k").await, Outcome::accepted("hello"));
    memory.stop("a:1");
    // The connection hears that it is cut.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(super::memory::fault(&caller).await.effect, Effect::None);
    memory.serve("a:1", &Backend::echo());
    assert_eq!(deliver(&caller, "k").await, Outcome::accepted("hello"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_lost_in_the_middle_leaves_the_effect_unknown() {
    let backend = Backend::slow(Duration::from_secs(60));
    let (memory, caller) = one(&backend, json!({ "retry": { "max_attempts": 1 } }));
    let (fault, ()) = tokio::join!(fault(&caller), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        memory.cut("a:1");
    });
    assert_eq!(
        (fault.code.as_ref(), fault.effect),
        ("grpc.unavailable", Effect::Unknown)
    );
}

#[tokio::test(start_paused = true)]
async fn one_uncertain_try_makes_the_call_uncertain() {
    let backend = Backend::slow(Duration::from_secs(60));
    let (memory, caller) = one(&backend, json!({}));
    let (fault, ()) = tokio::join!(fault(&caller), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        memory.stop("a:1");
    });
    assert_eq!(
        (fault.code.as_ref(), fault.effect),
        ("grpc.unreachable", Effect::Unknown)
    );
    assert_eq!(backend.keys().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_says_nothing_may_have_had_an_effect() {
    let memory = Arc::new(Memory::default());
    memory.serve_nothing("a:1");
    let caller = caller(&memory, &["a:1"], json!({ "retry": { "max_attempts": 1 } }));
    let fault = fault(&caller).await;
    assert_eq!(fault.code, "grpc.deadline_exceeded");
    assert_eq!(fault.effect, Effect::Unknown);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_large_is_not_confirmed() {
    let backend = Backend::new(|_| async { Ok(answer(vec![0; 2000])) });
    let (_memory, caller) = one(&backend, json!({ "max_answer": "1KiB" }));
    let fault = fault(&caller).await;
    assert_eq!(
        (fault.code.as_ref(), fault.effect),
        ("grpc.internal", Effect::Unknown)
    );
}

#[tokio::test(start_paused = true)]
async fn a_backend_says_when_to_come_again() {
    let pushback = |ms: &str| {
        let mut status = Status::unavailable("later");
        let ms = ms.parse().unwrap();
        status.metadata_mut().insert("grpc-retry-pushback-ms", ms);
        status
    };
    let (_memory, caller) = one(&at_first(pushback("700")), json!({}));
    let start = Instant::now();
    assert_eq!(deliver(&caller, "k").await, Outcome::accepted("hello"));
    assert_eq!(start.elapsed().as_millis(), 700);

    // Longer than the deadline: the client is told, within the bound.
    let config = json!({ "retry": { "max_pushback": "20s" } });
    let (_memory, caller) = one(&at_first(pushback("30000")), config);
    let start = Instant::now();
    assert_eq!(
        fault(&caller).await.retry_after,
        Some(Duration::from_secs(20))
    );
    assert!(start.elapsed() < Duration::from_millis(10));

    let (_memory, caller) = one(&at_first(pushback("-1")), json!({}));
    assert_eq!(fault(&caller).await.retry_after, None);
}

#[tokio::test(start_paused = true)]
async fn the_budget_stops_a_storm_of_retries() {
    let backend = Backend::failing(Status::unavailable("overloaded"));
    let config = json!({
        "retry": { "max_attempts": 10, "initial": "1ms", "max": "1ms" },
        "retry_budget": { "ratio": 0.125, "min_per_second": 8 },
        "breaker": { "failures": 100000, "min_calls": 100000 },
    });
    let (_memory, caller) = one(&backend, config);
    let calls = (0..400).map(|_| fault(&caller));
    futures_util::future::join_all(calls).await;
    let tries = backend.keys().len();
    assert!(
        (458..=470).contains(&tries),
        "400 calls, 8 + 50 retries: {tries}"
    );
    assert!(caller.events.budget_exhausted.get() >= 390);
}
