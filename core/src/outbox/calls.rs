//! Notices to a service: one call at a time, with all that has gathered meanwhile.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use linkgate_filter::broker::Delivery;
use linkgate_filter::{EdgeError, EdgeFailure};
use linkgate_grpc::{BreakerRules, Channel, Lease, NoEndpoint, Pool, Sign, chain, is_trouble};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tonic::Status;

/// Something that a backend is told.
pub trait Notice: Serialize + Clone + Send + Sync + 'static {
    /// In a topic, notices of one key stay in order.
    fn key(&self) -> String;

    /// Tells these by a call.
    fn call(channel: Channel, notices: Vec<Self>) -> BoxFuture<'static, Result<(), Status>>;
}

/// The way to a service.
pub(super) struct Calls<N>(Arc<Shared<N>>);

struct Shared<N> {
    pool: Arc<Pool>,
    timeout: Duration,
    most: usize,
    /// Bounded by what those who wait for an answer hold: unsettled pushes, queued events.
    waiting: Mutex<Waiting<N>>,
}

struct Waiting<N> {
    notices: VecDeque<(N, oneshot::Sender<Told>)>,
    calling: bool,
}

type Told = Result<(), EdgeError>;

impl<N> Clone for Calls<N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<N: Notice> Calls<N> {
    pub(super) fn new(pool: Pool, timeout: Duration, most: usize) -> Self {
        Self(Arc::new(Shared {
            pool: Arc::new(pool),
            timeout,
            most,
            waiting: Mutex::new(Waiting {
                notices: VecDeque::new(),
                calling: false,
            }),
        }))
    }

    /// Tells a notice by the next call. The future ends with that call.
    pub(super) fn tell(&self, notice: N) -> Delivery {
        let (telling, told) = oneshot::channel();
        let is_first = {
            let mut waiting = self.0.waiting.lock();
            waiting.notices.push_back((notice, telling));
            !std::mem::replace(&mut waiting.calling, true)
        };
        if is_first {
            tokio::spawn(Arc::clone(&self.0).run());
        }
        Box::pin(async {
            let gone = || EdgeError::new(EdgeFailure::Unreachable, "the node stops");
            told.await.unwrap_or_else(|_| Err(gone().effect_unknown()))
        })
    }
}

impl<N: Notice> Shared<N> {
    async fn run(self: Arc<Self>) {
        while let Some((notices, waiting)) = self.next() {
            let told = self.call(notices).await;
            for telling in waiting {
                let _ = telling.send(told.clone());
            }
        }
    }

    /// What the next call has to say; `None` if there is nothing, and the next notice starts anew.
    fn next(&self) -> Option<(Vec<N>, Vec<oneshot::Sender<Told>>)> {
        let mut waiting = self.waiting.lock();
        // What nobody waits for any more is told by whoever has the partition now.
        waiting.notices.retain(|(_, telling)| !telling.is_closed());
        let count = waiting.notices.len().min(self.most);
        waiting.calling = count > 0;
        (count > 0).then(|| waiting.notices.drain(..count).unzip())
    }

    async fn call(&self, notices: Vec<N>) -> Told {
        let until = Instant::now() + self.timeout;
        let lease = self.pool.lease(&[], BreakerRules::default(), until);
        let why = match lease.await {
            Ok(leased) => return self.call_at(leased.lease, notices).await,
            Err(NoEndpoint::NoAddress(why)) => why,
            Err(NoEndpoint::Resting(_) | NoEndpoint::Full) => {
                "it has failed too often and is left alone for a while".to_owned()
            }
        };
        Err(EdgeError::new(EdgeFailure::Unreachable, why))
    }

    async fn call_at(&self, mut lease: Lease, notices: Vec<N>) -> Told {
        let channel = lease.channel(&self.pool.connector);
        let called = timeout(self.timeout, N::call(channel, notices)).await;
        let is_well = match &called {
            Ok(Ok(())) => true,
            Ok(Err(status)) => !is_trouble(status.code()),
            Err(_) => false,
        };
        // Notices are nobody's messages: it is the service that fails.
        let sign = if is_well {
            Sign::Well
        } else {
            Sign::Failed(BTreeSet::new())
        };
        lease.end(&sign);
        if !is_well {
            // The connection may be dead, or lead to where the service is no more.
            lease.forget_channel();
            self.pool.doubt();
        }
        match called {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => Err(failed(&status)),
            Err(_) => {
                let late = EdgeError::new(EdgeFailure::TimedOut, "no answer in time");
                Err(late.effect_unknown())
            }
        }
    }
}

/// Never [`EdgeFailure::Refused`]: a service that does not take a notice is asked again until it does.
fn failed(status: &Status) -> EdgeError {
    let why = match std::error::Error::source(status) {
        Some(source) => chain(source),
        None => format!("{:?}: {}", status.code(), status.message()),
    };
    EdgeError::new(EdgeFailure::Unreachable, why).effect_unknown()
}
