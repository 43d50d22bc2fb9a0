//! A steady stream of pushes, each of which is made again under its key as long as its answer says that this can help.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use linkgate_proto::v1::ReceiverOutcome;
use linkgate_proto::v1::receiver_outcome::Status;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::users::Users;
use super::world::eventually;
use crate::common::push::{Caller, push};

/// Pushes under way at each node.
const AT_ONCE: usize = 8;

/// A push may be made again for so long.
const PATIENCE: Duration = Duration::from_secs(90);

/// What has become of pushes.
#[derive(Default, Debug)]
pub(super) struct Tally {
    /// The keys of those that were delivered.
    delivered: Vec<String>,
    /// What was answered otherwise, by what it says and how often.
    pub(super) otherwise: BTreeMap<String, usize>,
    /// What must not be: another answer than that it was delivered, or may be made again.
    wrong: Vec<String>,
    /// The longest time that a push took.
    longest: Duration,
}

pub(super) struct Stream {
    ends: Arc<AtomicBool>,
    settled: Arc<AtomicUsize>,
    tally: Arc<Mutex<Tally>>,
    tasks: JoinSet<()>,
}

impl Stream {
    /// Pushes by all of these nodes to all of these users in turn. `name` begins the keys.
    pub(super) fn start(name: &str, callers: &[Caller], users: &[String]) -> Self {
        let mut stream = Self {
            ends: Arc::default(),
            settled: Arc::default(),
            tally: Arc::default(),
            tasks: JoinSet::new(),
        };
        let users: Arc<[String]> = users.into();
        for (at, caller) in callers.iter().enumerate() {
            for lane in 0..AT_ONCE {
                let lane = at * AT_ONCE + lane;
                let (name, users) = (format!("{name}-{lane}"), Arc::clone(&users));
                let work = work(caller.clone(), name, users, stream.shared());
                stream.tasks.spawn(work);
            }
        }
        stream
    }

    fn shared(&self) -> (Arc<AtomicBool>, Arc<AtomicUsize>, Arc<Mutex<Tally>>) {
        (
            Arc::clone(&self.ends),
            Arc::clone(&self.settled),
            Arc::clone(&self.tally),
        )
    }

    /// Waits until so many more are settled.
    pub(super) async fn goes_on(&self, number: usize) {
        let before = self.settled.load(Ordering::SeqCst);
        eventually("pushes are settled", async || {
            let now = self.settled.load(Ordering::SeqCst);
            (now >= before + number)
                .then_some(())
                .ok_or_else(|| format!("{now} of {}", before + number))
        })
        .await;
    }

    /// Waits until so many are settled in all, or as many as the environment says.
    pub(super) async fn reaches(&self, number: usize) {
        let number = std::env::var("LINKGATE_CLUSTER_PUSHES")
            .map_or(number, |number| number.parse().unwrap());
        loop {
            let left = number.saturating_sub(self.settled.load(Ordering::SeqCst));
            if left == 0 {
                return;
            }
            self.goes_on(left.min(1000)).await;
        }
    }

    /// Ends it when what is under way is settled: each push was delivered, has come to its user, and none was offline.
    pub(super) async fn reconcile(mut self, users: &Users) -> Tally {
        self.ends.store(true, Ordering::SeqCst);
        while let Some(done) = self.tasks.join_next().await {
            done.unwrap();
        }
        let tally = std::mem::take(&mut *self.tally.lock());
        assert!(tally.wrong.is_empty(), "{:#?}", tally.wrong);
        let lost = tally.delivered.iter().filter(|key| !users.has(key));
        let lost: Vec<_> = lost.collect();
        assert!(lost.is_empty(), "delivered, and never seen: {lost:?}");
        println!(
            "{} pushes delivered, {} came twice; the longest took {:?}; otherwise: {:?}",
            tally.delivered.len(),
            users.twice(),
            tally.longest,
            tally.otherwise
        );
        tally
    }
}

async fn work(
    caller: Caller,
    name: String,
    users: Arc<[String]>,
    (ends, settled, tally): (Arc<AtomicBool>, Arc<AtomicUsize>, Arc<Mutex<Tally>>),
) {
    let mut number = fastrand::usize(..users.len());
    while !ends.load(Ordering::SeqCst) {
        number += 1;
        let (key, user) = (format!("{name}-{number}"), &users[number % users.len()]);
        let begun = Instant::now();
        loop {
            let outcome = caller.push_one(push(&key, &[user])).await;
            let to = (key.as_str(), user.as_str());
            let again = tally.lock().takes(to, begun.elapsed(), &outcome);
            match again {
                // As a caller does that is told to try again.
                Some(pause) => sleep(pause).await,
                None => break,
            }
        }
        settled.fetch_add(1, Ordering::SeqCst);
    }
}

impl Tally {
    /// Takes in an answer; gives after how long the push is made again, if that can help.
    fn takes(
        &mut self,
        (key, user): (&str, &str),
        took: Duration,
        outcome: &ReceiverOutcome,
    ) -> Option<Duration> {
        if outcome.status() == Status::Delivered {
            self.longest = self.longest.max(took);
            self.delivered.push(key.to_owned());
            return None;
        }
        let reason = outcome.reason.clone().unwrap_or_default();
        let said = format!("{:?} {}", outcome.status(), reason.code);
        *self.otherwise.entry(said).or_default() += 1;
        if outcome.status() == Status::Rejected && reason.retryable && took < PATIENCE {
            return Some(Duration::from_millis(
                u64::from(reason.retry_after_ms).max(50),
            ));
        }
        self.wrong
            .push(format!("{key} to {user} after {took:?}: {outcome:?}"));
        None
    }
}
