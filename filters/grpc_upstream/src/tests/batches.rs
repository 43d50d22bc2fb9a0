//! What a call with many messages comes to. In virtual time.

use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::testkit::Pushed;
use linkgate_filter::{Blame, Effect, Fault, Message, Outcome};
use linkgate_proto::v1::batch_result::Outcome as Said;
use linkgate_proto::v1::{BatchOnReceiveResponse, BatchResult};
use parking_lot::Mutex;
use serde_json::json;

use super::calls::one;
use super::memory::{Backend, Memory, answer, caller, message};

fn result(position: u32, key: &str) -> BatchResult {
    BatchResult {
        position,
        key: key.to_owned(),
        outcome: Some(Said::Accepted(answer(format!("re {key}")))),
    }
}

fn batch_of(keys: &[&'static str]) -> (Message, Vec<Pushed>, Pushed) {
    let bodies: Vec<_> = keys.iter().map(|key| (*key, "x")).collect();
    batch(&bodies)
}

fn batch(messages: &[(&'static str, &'static str)]) -> (Message, Vec<Pushed>, Pushed) {
    let (outcomes, parts) = messages
        .iter()
        .map(|(key, body)| {
            let (outcome, receipt) = Pushed::new();
            (outcome, message(key, body).with_receipt(receipt))
        })
        .unzip();
    let (shell, receipt) = Pushed::new();
    let joined = Message::joined(parts).unwrap().with_receipt(receipt);
    (joined, outcomes, shell)
}

#[tokio::test(start_paused = true)]
async fn each_part_of_a_batch_settles_by_its_own_result() {
    let backend = Backend::echo().with_batch(|request| async move {
        assert_eq!(request.items.len(), 3);
        BatchOnReceiveResponse {
            results: vec![result(2, "c"), result(0, "a"), result(1, "other")],
        }
    });
    let (_memory, caller) = one(&backend, json!({}));
    let (joined, outcomes, shell) = batch_of(&["a", "b", "c"]);
    caller.deliver(joined, 1).await;
    assert_eq!(outcomes[0].outcome(), Some(Outcome::accepted("re a")));
    assert_eq!(outcomes[2].outcome(), Some(Outcome::accepted("re c")));
    let Some(Outcome::Unknown(fault)) = outcomes[1].outcome() else {
        panic!("{:?}", outcomes[1].outcome());
    };
    assert_eq!(fault.code, "grpc.no_result");
    assert!(shell.outcome().is_some());
    assert_eq!(caller.events.mismatched.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_call_fails_fails_as_a_whole() {
    let memory = Arc::new(Memory::default());
    let caller = caller(&memory, &["a:1"], json!({}));
    let (joined, outcomes, shell) = batch_of(&["a", "b"]);
    caller.deliver(joined, 1).await;
    for outcome in outcomes.iter().chain([&shell]) {
        assert!(matches!(outcome.outcome(), Some(Outcome::Failed(_))));
    }
}

type Batches = Arc<Mutex<Vec<String>>>;

/// A backend that reads two messages of one letter at the most, takes so long for a batch, and the batches that it has read.
fn narrow(takes: Duration) -> (Backend, Batches) {
    const TWO: usize = 150;
    let batches = Batches::default();
    let seen = Arc::clone(&batches);
    let backend = Backend::echo().with_batch(move |request| {
        let keys = request.items.iter().map(|item| item.key.as_str());
        seen.lock().push(keys.collect());
        async move {
            tokio::time::sleep(takes).await;
            let results = (0..).zip(&request.items);
            let results = results.map(|(position, item)| result(position, &item.key));
            BatchOnReceiveResponse {
                results: results.collect(),
            }
        }
    });
    (backend.reading(TWO), batches)
}

fn failed(outcome: &Pushed) -> Fault {
    match outcome.outcome() {
        Some(Outcome::Failed(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_large_is_sent_in_parts() {
    const LARGE: &str = match str::from_utf8(&[b'x'; 500]) {
        Ok(large) => large,
        Err(_) => "",
    };
    let (backend, batches) = narrow(Duration::ZERO);
    let (_memory, caller) = one(&backend, json!({}));
    let mut bodies = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|key| (key, "x"));
    bodies[5].1 = LARGE;
    let (joined, outcomes, shell) = batch(&bodies);
    caller.deliver(joined, 1).await;
    assert_eq!(*batches.lock(), ["ab", "cd", "e", "gh"], "in order");
    for (n, ((key, _), outcome)) in bodies.iter().zip(&outcomes).enumerate() {
        if n != 5 {
            let accepted = Outcome::accepted(format!("re {key}"));
            assert_eq!(outcome.outcome(), Some(accepted));
        }
    }
    let fault = failed(&outcomes[5]);
    assert_eq!(
        (&*fault.code, fault.blame),
        ("grpc.too_large", Blame::Client)
    );
    assert_eq!(fault.retry_after, None);
    assert!(shell.outcome().is_some());
    assert_eq!(caller.events.calls.get(), 9);
}

#[tokio::test(start_paused = true)]
async fn the_parts_of_a_batch_have_its_deadline() {
    let (backend, batches) = narrow(Duration::from_secs(2));
    let config = json!({ "try_timeout": "3s", "retry": { "max_attempts": 1 } });
    let (_memory, caller) = one(&backend, config);
    let (joined, outcomes, _shell) = batch_of(&["a", "b", "c", "d", "e", "f", "g", "h"]);
    caller.deliver(joined, 1).await;
    assert_eq!(*batches.lock(), ["ab", "cd"]);
    for outcome in &outcomes[..2] {
        assert!(matches!(outcome.outcome(), Some(Outcome::Accepted(_))));
    }
    for outcome in &outcomes[2..4] {
        assert!(matches!(outcome.outcome(), Some(Outcome::Unknown(_))));
    }
    for outcome in &outcomes[4..] {
        let fault = failed(outcome);
        assert_eq!(
            (&*fault.code, fault.blame),
            ("grpc.too_large", Blame::Gateway)
        );
        assert!(fault.retry_after.is_some(), "it is not, by itself");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_may_have_had_an_effect_is_not_sent_in_parts() {
    let (backend, batches) = narrow(Duration::ZERO);
    let memory = Arc::new(Memory::default());
    memory.serve_nothing("a:1");
    memory.serve("b:1", &backend);
    let caller = caller(&memory, &["a:1", "b:1"], json!({}));
    let (joined, outcomes, _shell) = batch_of(&["a", "b", "c"]);
    caller.deliver(joined, 1).await;
    assert!(batches.lock().is_empty());
    for outcome in outcomes {
        let Some(Outcome::Unknown(fault)) = outcome.outcome() else {
            panic!("{:?}", outcome.outcome());
        };
        assert_eq!(
            (&*fault.code, fault.effect),
            ("grpc.too_large", Effect::Unknown)
        );
        assert!(fault.retry_after.is_some());
    }
}
