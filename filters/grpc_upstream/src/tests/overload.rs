//! A backend that is asked for more than it can do, or fails for one user alone. In virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use linkgate_filter::Outcome;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tonic::Status;

use super::memory::{Backend, Memory, answer, caller, deliver_of};
use crate::call::Caller;

/// A machine with so many cores: a message costs one of them 20 ms, whether or not anybody still waits for its answer.
fn busy(cores: usize) -> Backend {
    let cores = Arc::new(Semaphore::new(cores));
    Backend::new(move |request| {
        let cores = Arc::clone(&cores);
        let work = tokio::spawn(async move {
            let _core = cores.acquire_owned().await;
            sleep(Duration::from_millis(20)).await;
        });
        async move {
            work.await.map_err(|_| Status::internal(""))?;
            Ok(answer(request.body))
        }
    })
}

#[derive(Default)]
struct Count {
    acks: AtomicUsize,
    nacks: AtomicUsize,
}

/// A client that sends one message after the other, each again until it is accepted.
async fn client(caller: &Arc<Caller>, user: usize, until: Instant, count: &Count) {
    let user = format!("user-{user}");
    while Instant::now() < until {
        match deliver_of(caller, &user, "k").await {
            Outcome::Accepted(_) => count.acks.fetch_add(1, Ordering::Relaxed),
            Outcome::Failed(fault) | Outcome::Unknown(fault) => {
                let wait = fault.retry_after.unwrap_or_default();
                sleep(wait.max(Duration::from_millis(100))).await;
                count.nacks.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_backend_goes_on_at_what_it_bears() {
    let memory = Arc::new(Memory::default());
    memory.serve("a:1", &busy(4));
    let caller = caller(&memory, &["a:1"], json!({}));
    let (count, begun) = (Count::default(), Instant::now());
    let until = begun + Duration::from_secs(30);
    let clients = (0..400).map(|user| client(&caller, user, until, &count));
    futures_util::future::join_all(clients).await;
    let [acks, nacks] = [&count.acks, &count.nacks].map(|n| n.load(Ordering::Relaxed));
    // It can do 200 a second.
    assert!(acks > 30 * 200 * 7 / 10, "{acks} accepted, {nacks} refused");
    assert!(nacks * 4 < acks, "{acks} accepted, {nacks} refused");
    assert!(caller.events.limit_lowered.get() > 0);
}

#[tokio::test(start_paused = true)]
async fn one_bad_message_shuts_nobody_out() {
    let memory = Arc::new(Memory::default());
    let backend = Backend::new(|request| async move {
        if request.user_id == "mallory" {
            return Err(Status::unavailable("I crash on this"));
        }
        Ok(answer(request.body))
    });
    memory.serve("a:1", &backend);
    let caller = caller(&memory, &["a:1"], json!({}));
    for _ in 0..50 {
        for _ in 0..5 {
            let outcome = deliver_of(&caller, "mallory", "poison").await;
            assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
        }
        let begun = Instant::now();
        let outcome = deliver_of(&caller, "ann", "k").await;
        assert_eq!(outcome, Outcome::accepted("hello"));
        assert!(begun.elapsed() < Duration::from_millis(10));
    }
    assert_eq!(caller.events.breaker_opened.get(), 0);
    assert_eq!(caller.events.limit_lowered.get(), 0);
}
