//! Keeps what happens often from filling the log.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Lets one line a second through.
#[derive(Debug, Default)]
pub(crate) struct LogGate(Mutex<Gate>);

#[derive(Debug, Default)]
struct Gate {
    last: Option<Instant>,
    unsaid: u64,
}

impl LogGate {
    const PAUSE: Duration = Duration::from_secs(1);

    /// Whether a line may be written; if so, how many were not written since the last one.
    pub(crate) fn pass(&self) -> Option<u64> {
        let mut gate = self.0.lock();
        if gate.last.is_some_and(|last| last.elapsed() < Self::PAUSE) {
            gate.unsaid += 1;
            return None;
        }
        gate.last = Some(Instant::now());
        Some(std::mem::take(&mut gate.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_a_second_and_the_rest_is_counted() {
        let gate = LogGate::default();
        let passed: Vec<_> = (0..3).map(|_| gate.pass()).collect();
        assert_eq!(passed, [Some(0), None, None]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(gate.pass(), Some(2));
    }
}
