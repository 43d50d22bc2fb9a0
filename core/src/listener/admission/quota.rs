//! A number of things that may be held at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A limit, and how much of it is held. For instance the links of one business, across listeners and reloads.
#[derive(Debug)]
pub struct Quota {
    limit: AtomicU32,
    held: AtomicU32,
}

impl Quota {
    /// Up to `limit` at once.
    pub fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicU32::new(limit),
            held: AtomicU32::new(0),
        })
    }

    /// No limit.
    pub fn unlimited() -> Arc<Self> {
        Self::new(u32::MAX)
    }

    /// Changes the limit for what comes; what is held beyond it stays.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// How many are held now.
    pub fn held(&self) -> u32 {
        self.held.load(Ordering::Relaxed)
    }

    /// Takes one, if there is room. It is given back when the permit is dropped.
    pub fn take(self: &Arc<Self>) -> Option<QuotaPermit> {
        let limit = self.limit.load(Ordering::Relaxed);
        let one_more = |held| (held < limit).then_some(held + 1);
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(QuotaPermit(Arc::clone(self)))
    }
}

/// One of a quota.
#[derive(Debug)]
pub struct QuotaPermit(Arc<Quota>);

impl Drop for QuotaPermit {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}
