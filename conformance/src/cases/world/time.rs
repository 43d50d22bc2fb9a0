//! Time in a case: it stands still while anything is to be done, and passes when a step says so.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::BoxFuture;
use linkgate_filter::Clock;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

/// The time of day at which every case starts: the first second of 2026.
const MORNING: Duration = Duration::from_secs(1_767_225_600);

/// The clock of a case's node.
pub struct VirtualClock {
    start: tokio::time::Instant,
}

impl VirtualClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self {
            start: tokio::time::Instant::now(),
        }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + MORNING + self.start.elapsed()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(at.into()))
    }
}

/// Tells when nothing is left to be done at this moment.
#[derive(Clone, Default)]
pub struct Quiet(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    waker: Option<Waker>,
    is_quiet: bool,
}

impl Quiet {
    /// A runtime whose time stands still, and what tells when it has nothing to do.
    ///
    /// # Errors
    /// What the system says.
    pub fn runtime() -> std::io::Result<(Runtime, Self)> {
        let quiet = Self::default();
        let parked = quiet.clone();
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            // A thread parks when all its tasks wait: for time, or for the one who asked to be told.
            .on_thread_park(move || parked.parks())
            .build()?;
        Ok((runtime, quiet))
    }

    fn parks(&self) {
        let mut waiting = self.0.lock();
        if let Some(waker) = waiting.waker.take() {
            waiting.is_quiet = true;
            waker.wake();
        }
    }

    /// Ends when everything else waits for time to pass.
    pub async fn settled(&self) {
        self.0.lock().is_quiet = false;
        std::future::poll_fn(|cx| {
            let mut waiting = self.0.lock();
            if waiting.is_quiet {
                return Poll::Ready(());
            }
            waiting.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn what_can_be_done_is_done_before_it_is_quiet_and_no_time_passes() {
        let (runtime, quiet) = Quiet::runtime().unwrap();
        runtime.block_on(async {
            let start = tokio::time::Instant::now();
            let done = Arc::new(AtomicU32::new(0));
            for _ in 0..10 {
                let done = Arc::clone(&done);
                tokio::spawn(async move {
                    for _ in 0..500 {
                        tokio::task::yield_now().await;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }
            quiet.settled().await;
            assert_eq!(done.load(Ordering::Relaxed), 10);
            assert_eq!(start.elapsed(), Duration::ZERO);
            tokio::time::sleep(Duration::from_secs(1)).await;
            quiet.settled().await;
            assert_eq!(done.load(Ordering::Relaxed), 20);
            assert_eq!(start.elapsed(), Duration::from_secs(1));
        });
    }
}
