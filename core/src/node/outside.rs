//! What a node touches of the world around it. `linkgate test` puts another world in its place.

use std::sync::Arc;

use linkgate_filter::Clock;
use linkgate_filter::runner::Seeds;

use crate::clock::SystemClock;
use crate::cluster::registry::Registry;
use crate::edges::{AsConfigured, Opener};
use crate::network::Network;
use crate::program::Program;

/// What a node touches of the world around it.
pub struct Outside {
    /// The program it runs in.
    pub program: Program,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub seeds: Seeds,
    /// Where addresses are bound.
    pub network: Network,
    /// Opens stores, brokers, and the way to backends.
    pub edges: Arc<dyn Opener>,
    /// The registry of the cluster, in place of the configured one.
    pub registry: Option<Arc<dyn Registry>>,
}

impl Outside {
    /// The world as it is.
    pub fn real(program: Program) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self {
            program,
            edges: Arc::new(AsConfigured::new(&clock)),
            clock,
            seeds: Seeds::from_system(),
            network: Network::System,
            registry: None,
        }
    }
}
