//! Accepting in spite of everything.

use std::io;
use std::time::Duration;

use super::door::Door;
use crate::telemetry::limit::Every;

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What to do about errors while a connection is waited for.
#[derive(Debug)]
pub(super) struct Patience {
    pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { pause: FIRST_PAUSE }
    }
}

impl Patience {
    /// Waits until it makes sense to try again. An error of one connection is passed over; where the system has run
    /// out of something (file descriptors, memory) the pauses grow up to a second, and the kernel's queue holds what
    /// comes.
    pub(super) async fn after(&mut self, error: &io::Error, door: &Door) {
        static LINE: Every = Every::new(Duration::from_secs(1));
        if is_of_connection(error) {
            return;
        }
        door.counters.accept_errors.inc();
        if let Some(held_back) = LINE.pass() {
            let listener = &*door.name;
            tracing::error!(listener, %error, held_back, "cannot accept connections: trying again");
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether the error is of the connection that was to be accepted, and the next one may do.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::listener::config::tests::read;
    use crate::listener::metrics::ListenerMetrics;

    const EMFILE: i32 = 24;

    /// How long it takes to get past so many of this error, and how many of them were counted.
    async fn past(error: io::Error, times: u32) -> (Duration, u64) {
        let config = "{ name: test, address: '127.0.0.1:0', auth: insecure_query }";
        let config = read(config).unwrap();
        let door = Door::prepare(
            &config,
            &ListenerMetrics::default(),
            &crate::listener::tests::clock(),
        )
        .unwrap();
        let (start, mut patience) = (Instant::now(), Patience::default());
        for _ in 0..times {
            patience.after(&error, &door).await;
        }
        (start.elapsed(), door.counters.accept_errors.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_failed_is_passed_over() {
        let aborted = io::Error::from(io::ErrorKind::ConnectionAborted);
        assert_eq!(past(aborted, 3).await, (Duration::ZERO, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn without_descriptors_the_pauses_grow_up_to_a_second() {
        let exhausted = || io::Error::from_raw_os_error(EMFILE);
        let (waited, counted) = past(exhausted(), 3).await;
        assert_eq!(counted, 3);
        assert!((70..80).contains(&waited.as_millis()), "{waited:?}");
        let (waited, _) = past(exhausted(), 20).await;
        assert!((13..20).contains(&waited.as_secs()), "{waited:?}");
    }
}
