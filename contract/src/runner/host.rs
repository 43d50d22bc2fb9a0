//! The parts of a node that chains work with.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Clock;
use crate::edges::Edges;
use crate::runner::panics::OnPanic;
use crate::state::States;

/// The parts of a node that chains work with.
#[derive(Clone)]
pub struct Host {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Shared state.
    pub states: Arc<States>,
    /// The way to outside systems.
    pub edges: Edges,
    /// Randomness.
    pub seeds: Arc<Seeds>,
    /// Who hears of filters that panic.
    pub on_panic: OnPanic,
}

/// Seeds for random numbers: no two chains have one, and no two nodes, so what is made of them tells owners apart.
pub struct Seeds(AtomicU64);

impl Seeds {
    /// Seeds that are the same each time, for tests.
    pub fn fixed(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Seeds from the system's randomness.
    pub fn from_system() -> Self {
        Self::fixed(RandomState::new().build_hasher().finish())
    }

    /// The next seed.
    pub(crate) fn next(&self) -> u64 {
        // Neighbouring seeds make numbers that are far apart.
        self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
    }
}
