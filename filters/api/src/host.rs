//! The parts of a node that chains work with.

use std::sync::Arc;

use crate::clock::Clock;
use crate::edges::Edges;
use crate::state::States;

/// The parts of a node that chains work with.
pub struct Host {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Shared state.
    pub states: States,
    /// The way to outside systems.
    pub edges: Edges,
}
