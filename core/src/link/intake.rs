//! The listener's plain limit on what one client sends, whatever it is: heartbeats and acknowledgements too.

use tokio::time::{Duration, Instant};

use super::settings::LinkSettings;

/// What one client may send. Beyond it its socket is not read until it may again.
pub(super) struct Intake {
    frames: Bucket,
    bytes: Bucket,
}

impl Intake {
    pub(super) fn new(settings: &LinkSettings, now: Instant) -> Self {
        Self {
            frames: Bucket::full(settings.frames_per_second, now),
            bytes: Bucket::full(settings.bytes_per_second, now),
        }
    }

    /// The client has sent a frame.
    pub(super) fn charge(&mut self, bytes: usize, now: Instant) {
        self.frames.charge(1.0, now);
        self.bytes.charge(bytes as f64, now);
    }

    /// So many frames have come beside.
    pub(super) fn charge_pieces(&mut self, frames: usize, now: Instant) {
        if frames > 0 {
            self.frames.charge(frames as f64, now);
        }
    }

    /// When the client may be read again; `None`: now.
    pub(super) fn resumes_at(&self, now: Instant) -> Option<Instant> {
        self.frames
            .paid_at()
            .max(self.bytes.paid_at())
            .filter(|at| *at > now)
    }
}

/// Holds one second's worth. May be overdrawn once; then nothing is let through until the debt is paid.
struct Bucket {
    per_second: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    fn full(per_second: f64, at: Instant) -> Self {
        Self {
            per_second,
            level: per_second,
            at,
        }
    }

    fn charge(&mut self, amount: f64, now: Instant) {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.level = (self.level + gained).min(self.per_second) - amount;
        self.at = now;
    }

    /// When what was overdrawn is paid; `None`: it is not overdrawn.
    fn paid_at(&self) -> Option<Instant> {
        (self.level < 0.0).then(|| self.at + Duration::from_secs_f64(-self.level / self.per_second))
    }
}
