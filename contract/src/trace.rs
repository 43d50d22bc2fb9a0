//! Identifiers that backends see: of links, and of traces.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::link::LinkInfo;

/// The identifiers of this process.
static IDS: LazyLock<Ids> = LazyLock::new(Ids::default);

/// Identifiers that no other node or process gives out.
#[derive(Debug, Default)]
struct Ids {
    /// Seeded by the operating system.
    random: RandomState,
    given: AtomicU64,
}

impl Ids {
    /// Tells this process from all others.
    fn process(&self) -> u64 {
        self.random.hash_one("process")
    }

    /// A random number.
    fn fresh(&self) -> u64 {
        self.random
            .hash_one(self.given.fetch_add(1, Ordering::Relaxed))
    }
}

/// A trace of one message or batch on its way out; each try is a span of it. As the W3C writes it.
#[derive(Clone, Copy, Debug)]
pub struct TraceId {
    high: u64,
    low: u64,
    sampled: bool,
}

impl TraceId {
    /// A new trace; a share of `sampling` of them asks to be recorded.
    pub fn new(sampling: f64) -> Self {
        let (high, low) = (IDS.fresh(), IDS.fresh());
        let sampled = (low as f64 / u64::MAX as f64) < sampling;
        Self { high, low, sampled }
    }

    /// `traceparent` for a new span, if the trace asks to be recorded.
    pub fn recorded_parent(self) -> Option<String> {
        self.sampled.then(|| self.parent())
    }

    /// `traceparent` for a new span.
    pub fn parent(self) -> String {
        let Self { high, low, sampled } = self;
        // All zeros means "none" in both places.
        let (low, span) = (low.max(1), IDS.fresh().max(1));
        format!(
            "00-{high:016x}{low:016x}-{span:016x}-{:02x}",
            u8::from(sampled)
        )
    }
}

/// The link's number, unique over nodes and restarts.
pub fn link_id(link: &LinkInfo) -> String {
    format!("{:016x}-{}", IDS.process(), link.id)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_traceparent_keeps_its_trace_and_changes_its_span() {
        let trace = TraceId::new(1.0);
        let (one, two) = (trace.parent(), trace.parent());
        assert_eq!(one.len(), 55);
        assert!(one.starts_with("00-") && one.ends_with("-01"));
        assert_eq!(one[..36], two[..36]);
        assert_ne!(one[36..52], two[36..52]);
        assert!(TraceId::new(0.0).parent().ends_with("-00"));
    }

    #[test]
    fn ids_do_not_repeat() {
        let ids = Ids::default();
        let all: HashSet<_> = (0..1000).map(|_| ids.fresh()).collect();
        assert_eq!(all.len(), 1000);
        assert_ne!(ids.process(), Ids::default().process());
    }
}
