//! Whether this node alone reads what it is to read alone: unless it finds users wherever they are, its group has no other
//! member.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;

use crate::push::config::{Routing, TopicSource};
use crate::readiness::Reason;

/// Watches for other members of the group.
pub(super) struct Alone {
    /// Others may read too, as each finds all users.
    may_share: bool,
    /// Whom they read with, and what is to be done about it.
    said: String,
    /// How long others may be there before it is a trouble: whoever is just leaving needs a while.
    patience: Duration,
    /// The partitions that others have.
    elsewhere: i64,
    tell_at: Option<Instant>,
    /// They were told of.
    is_told: bool,
    metric: Gauge,
    reason: Option<Arc<Reason>>,
}

impl Alone {
    /// Beside the time that whoever leaves takes to release its partitions.
    const PATIENCE: Duration = Duration::from_secs(15);

    /// Nobody else has been heard of in this group.
    pub(super) fn new(
        (config, routing): (&TopicSource, Routing),
        group: &str,
        metric: Gauge,
    ) -> Self {
        let mend = match routing {
            Routing::Broadcast => "give each node an id of its own (`node.id`)",
            Routing::Local | Routing::Directory => {
                "run one node only, give each a `group` of its own, or write `routing: broadcast`"
            }
        };
        let topic = &config.topic;
        let said = format!(
            "another member of the group `{group}` reads part of the topic `{topic}`, or of its parked pushes, and finds \
             none of the users who are here: {mend}"
        );
        Self {
            may_share: routing == Routing::Directory,
            said,
            patience: Self::PATIENCE + *config.release_within * 2,
            elsewhere: 0,
            tell_at: None,
            is_told: false,
            metric,
            reason: None,
        }
    }

    pub(super) fn tell(&mut self, reason: Arc<Reason>) {
        self.reason = Some(reason);
    }

    /// Others have so many partitions now.
    pub(super) fn heard(&mut self, partitions: usize, now: Instant) {
        if self.may_share {
            return;
        }
        self.count(i64::try_from(partitions).unwrap_or(i64::MAX));
        if partitions == 0 {
            self.tell_at = None;
            if std::mem::take(&mut self.is_told) {
                tracing::info!("no longer so: {}", self.said);
            }
            if let Some(reason) = &self.reason {
                reason.is_over();
            }
        } else if !self.is_told {
            self.tell_at.get_or_insert(now + self.patience);
        }
    }

    /// When to wake it.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.tell_at
    }

    /// Tells of others who have been there for long enough.
    pub(super) fn wake(&mut self, now: Instant) {
        if self.tell_at.is_some_and(|at| at <= now) {
            self.tell_at = None;
            tracing::error!(partitions = self.elsewhere, "{}", self.said);
            self.is_told = true;
            if let Some(reason) = &self.reason {
                reason.holds(self.said.clone());
            }
        }
    }

    /// Sources of one topic count together.
    fn count(&mut self, elsewhere: i64) {
        self.metric.inc_by(elsewhere - self.elsewhere);
        self.elsewhere = elsewhere;
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.count(0);
    }
}
