//! What a call says of itself beside the message: who sent it, and which trace it belongs to.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use linkgate_filter::Identity;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

/// The identifiers of this process.
pub(crate) static IDS: LazyLock<Ids> = LazyLock::new(Ids::default);

/// Identifiers that no other node or process gives out.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    /// Seeded by the operating system.
    random: RandomState,
    given: AtomicU64,
}

impl Ids {
    /// Tells this process from all others.
    pub(crate) fn process(&self) -> u64 {
        self.random.hash_one("process")
    }

    /// A random number.
    pub(crate) fn fresh(&self) -> u64 {
        self.random
            .hash_one(self.given.fetch_add(1, Ordering::Relaxed))
    }
}

/// A trace of one call; each try is a span of it. As the W3C writes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceId {
    high: u64,
    low: u64,
    sampled: bool,
}

impl TraceId {
    /// A new trace; a share of `sampling` of them asks to be recorded.
    pub(crate) fn new(sampling: f64) -> Self {
        let (high, low) = (IDS.fresh(), IDS.fresh());
        let sampled = (low as f64 / u64::MAX as f64) < sampling;
        Self { high, low, sampled }
    }

    /// `traceparent` for a new span.
    pub(crate) fn parent(self) -> String {
        let Self { high, low, sampled } = self;
        // All zeros means "none" in both places.
        let (low, span) = (low.max(1), IDS.fresh().max(1));
        format!(
            "00-{high:016x}{low:016x}-{span:016x}-{:02x}",
            u8::from(sampled)
        )
    }
}

/// The metadata that all tries of a call have in common.
pub(crate) fn of(identity: &Identity, link_id: &str, key: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    insert(&mut metadata, "linkgate-biz-id", &identity.biz_id);
    insert(&mut metadata, "linkgate-user-id", &identity.user_id);
    if let Some(device_id) = &identity.device_id {
        insert(&mut metadata, "linkgate-device-id", device_id);
    }
    insert(&mut metadata, "linkgate-link-id", link_id);
    insert(&mut metadata, "linkgate-key", key);
    metadata
}

/// The metadata of a call for messages of several links.
pub(crate) fn of_batch(biz_id: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    insert(&mut metadata, "linkgate-biz-id", biz_id);
    metadata
}

/// Adds a value as [`ascii`] writes it. A very long one is left out: the request has it in full.
pub(crate) fn insert(metadata: &mut MetadataMap, name: &'static str, value: &str) {
    const LONGEST: usize = 512;
    if value.len() > LONGEST {
        return;
    }
    if let Ok(value) = AsciiMetadataValue::try_from(ascii(value)) {
        metadata.insert(name, value);
    }
}

/// Visible ASCII stays, all else and `%` is percent-encoded, byte by byte of the UTF-8.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => out.push_str("%25"),
            0x21..=0x7e => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn values_are_safe_in_a_header() {
        assert_eq!(ascii("user-1.a_b~"), "user-1.a_b~");
        assert_eq!(ascii("50% ü\r\n"), "50%25%20%C3%BC%0D%0A");
        let identity = Identity::new("chat", "jürgen\n").at_device("a b");
        let metadata = of(&identity, "x-1", &"k".repeat(600));
        assert_eq!(metadata.get("linkgate-user-id").unwrap(), "j%C3%BCrgen%0A");
        assert_eq!(metadata.get("linkgate-device-id").unwrap(), "a%20b");
        assert!(metadata.get("linkgate-key").is_none(), "too long");
    }

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
