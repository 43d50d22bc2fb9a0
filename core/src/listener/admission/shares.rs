//! The shares of the handshakes in progress: few addresses, or one network of them, cannot have all.

use std::net::IpAddr;
use std::sync::Arc;

use super::per_ip::{IpPermit, PerIp, client_of, network_of};
use crate::listener::config::AdmissionConfig;
use crate::listener::refusal::Refusal;

/// What each address and each network has of them.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    per_ip: Arc<PerIp>,
    per_network: Arc<PerIp>,
}

/// One handshake of an address and of its network.
#[derive(Debug)]
pub(crate) struct Shared {
    _ip: IpPermit,
    _network: IpPermit,
}

impl Shares {
    pub(crate) fn new(config: &AdmissionConfig) -> Self {
        Self {
            per_ip: PerIp::new(Some(config.handshakes_of_one()), client_of),
            per_network: PerIp::new(Some(config.handshakes_of_network()), network_of),
        }
    }

    /// Takes changed limits over.
    pub(crate) fn change(&self, config: &AdmissionConfig) {
        self.per_ip.set_limit(Some(config.handshakes_of_one()));
        self.per_network
            .set_limit(Some(config.handshakes_of_network()));
    }

    /// One more handshake from this address, if it and its network have room.
    pub(crate) fn take(&self, address: IpAddr) -> Result<Shared, Refusal> {
        let ip = self.per_ip.take(address);
        let ip = ip.ok_or(Refusal::HandshakesPerIp)?;
        let network = self.per_network.take(address);
        let network = network.ok_or(Refusal::HandshakesPerNetwork)?;
        Ok(Shared {
            _ip: ip,
            _network: network,
        })
    }
}
