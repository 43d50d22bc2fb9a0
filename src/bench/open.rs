//! Opens the links of a load at a pace.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use linkgate_client::{Limits, Socket, Target};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::stats::Shared;

/// Handshakes under way at most.
const AT_ONCE: usize = 32;

/// How links are opened.
pub(super) struct Opening {
    /// As whom to connect, without the user.
    pub(super) target: Target,
    pub(super) links: usize,
    /// Link number `i` is the user `{users_prefix}{i}`.
    pub(super) users_prefix: String,
    pub(super) per_second: f64,
    /// Used in turn; empty: the system chooses.
    pub(super) sources: Vec<IpAddr>,
}

/// An open link and its number.
pub(super) struct Link {
    pub(super) number: usize,
    pub(super) socket: Socket,
}

impl Opening {
    /// Opens them all. Those that fail are counted as errors and left out.
    pub(super) async fn open(&self, shared: &Arc<Shared>, bar: &ProgressBar) -> Vec<Link> {
        let (start, slots) = (Instant::now(), Arc::new(Semaphore::new(AT_ONCE)));
        let mut handshakes = JoinSet::new();
        let mut links = Vec::with_capacity(self.links);
        for number in 0..self.links {
            #[allow(clippy::cast_precision_loss, reason = "a pace need not be exact")]
            let due = start + Duration::from_secs_f64(number as f64 / self.per_second);
            if due > Instant::now() {
                sleep_until(due).await;
            }
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                break;
            };
            let (target, shared) = (self.target(number), Arc::clone(shared));
            handshakes.spawn(async move {
                let opened = Socket::connect(&target, small()).await;
                drop(slot);
                opened
                    .map(|socket| Link { number, socket })
                    .map_err(|e| shared.error(format!("connect: {e}")))
            });
            while let Some(done) = handshakes.try_join_next() {
                links.extend(done.ok().and_then(Result::ok));
                bar.inc(1);
            }
        }
        while let Some(done) = handshakes.join_next().await {
            links.extend(done.ok().and_then(Result::ok));
            bar.inc(1);
        }
        links
    }

    fn target(&self, number: usize) -> Target {
        Target {
            user_id: self.target.biz_id.is_some().then(|| self.user(number)),
            source: (!self.sources.is_empty()).then(|| self.sources[number % self.sources.len()]),
            ..self.target.clone()
        }
    }

    /// The user of a link.
    pub(super) fn user(&self, number: usize) -> String {
        format!("{}{number}", self.users_prefix)
    }
}

/// Many links in one process: the buffers are small.
fn small() -> Limits {
    Limits {
        handshake: Duration::from_secs(30),
        read_buffer: 4 * 1024,
        max_message: 16 << 20,
    }
}
