//! Whatever happens to backends and connections, an outcome says no more than is true.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::Outcome;
use parking_lot::Mutex;
use serde_json::json;
use tonic::{Code, Status};

use super::memory::{Backend, Memory, answer, caller, deliver};

/// What backends have done, by key.
#[derive(Default)]
struct Done {
    /// Something may have happened.
    touched: BTreeSet<String>,
    /// It was answered with OK.
    accepted: BTreeSet<String>,
}

/// A backend that does one thing or another, sooner or later.
fn moody(done: &Arc<Mutex<Done>>, rng: &fastrand::Rng) -> Backend {
    let (done, rng) = (Arc::clone(done), Mutex::new(rng.clone()));
    Backend::new(move |request| {
        let (code, wait) = {
            let mut rng = rng.lock();
            let code = if rng.bool() {
                Code::Ok
            } else {
                Code::from_i32(rng.i32(1..=16))
            };
            (code, Duration::from_millis(rng.u64(0..1500)))
        };
        let done = Arc::clone(&done);
        async move {
            // These say that nothing was done, so nothing is.
            let refuses = [3, 5, 6, 7, 8, 9, 10, 11, 12, 16].contains(&(code as i32));
            if !refuses {
                done.lock().touched.insert(request.key.clone());
            }
            tokio::time::sleep(wait).await;
            if code != Code::Ok {
                return Err(Status::new(code, ""));
            }
            done.lock().accepted.insert(request.key);
            Ok(answer(""))
        }
    })
}

/// Cuts, stops and starts backends for a while.
async fn chaos(memory: &Memory, hosts: &[(&str, Backend)], rng: &mut fastrand::Rng) {
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(rng.u64(1..400))).await;
        let (at, backend) = &hosts[rng.usize(..hosts.len())];
        match rng.u8(..6) {
            0..3 => memory.cut(at),
            3 => memory.stop(at),
            4 => memory.serve_nothing(at),
            _ => {}
        }
        if rng.bool() {
            memory.cut(at);
            memory.serve(at, backend);
        }
    }
}

async fn run(seed: u64) -> [usize; 3] {
    let mut rng = fastrand::Rng::with_seed(seed);
    let done = Arc::<Mutex<Done>>::default();
    let memory = Arc::new(Memory::default());
    let hosts = ["a:1", "b:1"].map(|at| (at, moody(&done, &rng.fork())));
    for (at, backend) in &hosts {
        memory.serve(at, backend);
    }
    let config = json!({ "breaker": { "open_for": "200ms" }, "retry_budget": { "ratio": 1.0 } });
    let caller = caller(&memory, &["a:1", "b:1"], config);
    let calls = (0..40).map(|n| {
        let (caller, pause) = (&caller, Duration::from_millis(rng.u64(..6000)));
        async move {
            tokio::time::sleep(pause).await;
            let key = format!("{seed}-{n}");
            (deliver(caller, &key).await, key)
        }
    });
    let calls = futures_util::future::join_all(calls.collect::<Vec<_>>());
    let (outcomes, ()) = tokio::join!(calls, chaos(&memory, &hosts, &mut rng));
    let done = done.lock();
    let mut counts = [0; 3];
    for (outcome, key) in outcomes {
        match outcome {
            Outcome::Accepted(_) => {
                counts[0] += 1;
                assert!(
                    done.accepted.contains(&key),
                    "{key} was never answered with OK"
                );
            }
            Outcome::Failed(fault) => {
                counts[1] += 1;
                assert!(
                    !done.touched.contains(&key),
                    "{key} had an effect: {fault:?}"
                );
            }
            Outcome::Unknown(_) => counts[2] += 1,
        }
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn no_outcome_says_more_than_is_true() {
    let mut all = [0; 3];
    for seed in 0..20 {
        let counts = run(seed).await;
        all = [0, 1, 2].map(|i| all[i] + counts[i]);
    }
    assert!(
        all.iter().all(|count| *count > 20),
        "all kinds came up: {all:?}"
    );
}
