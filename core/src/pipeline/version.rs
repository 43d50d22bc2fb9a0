//! Versions of a business's filters, and who gets which.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use linkgate_filter::Identity;
use linkgate_filter::runner::{Entry, Limits, Pipeline};

use crate::edges::Edge;

/// One version of a business's filters.
#[derive(Clone)]
pub struct Version {
    /// Its name, as a label of metrics.
    pub name: Arc<str>,
    /// Whom it serves, unless it is the first of its business.
    pub share: Share,
    /// The running filters.
    pub pipeline: Arc<Pipeline>,
    /// What they were made of.
    pub made_of: MadeOf,
}

/// What a running pipeline was made of: equal ones do the same.
#[derive(Clone, PartialEq)]
pub struct MadeOf {
    /// Its filters.
    pub entries: Vec<Entry>,
    /// Its bounds.
    pub limits: Limits,
    /// What its filters use of what lies outside.
    pub edges: Vec<Edge>,
}

/// A share of a business's users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// In hundredths of a percent.
    parts: u32,
}

impl Share {
    /// Everybody.
    pub const ALL: Self = Self { parts: Self::WHOLE };
    const WHOLE: u32 = 10_000;

    /// So many percent, from 0 to 100.
    pub fn percent(percent: f64) -> Self {
        let parts = percent.clamp(0.0, 100.0) / 100.0 * f64::from(Self::WHOLE);
        Self {
            parts: parts.round() as u32,
        }
    }

    /// In percent.
    pub fn as_percent(self) -> f64 {
        f64::from(self.parts) / f64::from(Self::WHOLE) * 100.0
    }

    /// Whether a user belongs to it. By name, business and user alone: the same on each node, and a share that grows
    /// keeps whom it has.
    fn covers(self, version: &str, user: &Identity) -> bool {
        let name = format!("{version}\0{}\0{}", user.biz_id, user.user_id);
        let digest = digest(&SHA256, name.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest.as_ref()[..8]);
        u64::from_be_bytes(first) % u64::from(Self::WHOLE) < u64::from(self.parts)
    }
}

impl Version {
    /// What tells it from others.
    pub(super) fn shape(&self) -> (Arc<str>, Share, *const Pipeline) {
        (
            Arc::clone(&self.name),
            self.share,
            Arc::as_ptr(&self.pipeline),
        )
    }

    /// Whether a user's links run through it, if it is on trial.
    pub fn covers(&self, user: &Identity) -> bool {
        self.share.covers(&self.name, user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(share: Share, version: &str) -> Vec<usize> {
        let covers = |n: &usize| share.covers(version, &Identity::new("chat", &format!("u{n}")));
        (0..10_000).filter(covers).collect()
    }

    #[test]
    fn a_share_has_about_as_many_users_as_it_says_and_keeps_them_when_it_grows() {
        let some = users(Share::percent(10.0), "v2");
        assert!((850..1150).contains(&some.len()), "{}", some.len());
        let more = users(Share::percent(25.5), "v2");
        assert!((2400..2700).contains(&more.len()), "{}", more.len());
        assert!(some.iter().all(|user| more.contains(user)));
        let others = users(Share::percent(10.0), "v3");
        assert_ne!(some, others, "each trial has testers of its own");
    }

    #[test]
    fn the_ends_are_nobody_and_everybody() {
        assert_eq!(users(Share::percent(0.0), "v2"), [0; 0]);
        assert_eq!(users(Share::ALL, "v2").len(), 10_000);
    }
}
