//! How much each client address, or each network of them, holds.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// A limit for each address, or for each group of them. The table has an entry per group that holds something, so it is
/// bounded by whatever bounds the permits.
#[derive(Debug)]
pub(crate) struct PerIp(Mutex<Table>);

#[derive(Debug)]
struct Table {
    limit: Option<u32>,
    /// The group of an address, named by the first address in it.
    group: fn(IpAddr) -> IpAddr,
    held: HashMap<IpAddr, u32>,
}

impl PerIp {
    pub(crate) fn new(limit: Option<u32>, group: fn(IpAddr) -> IpAddr) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Table {
            limit,
            group,
            held: HashMap::new(),
        })))
    }

    pub(crate) fn set_limit(&self, limit: Option<u32>) {
        self.0.lock().limit = limit;
    }

    /// Takes one for this address, if it does not hold as much as it may. Without a limit nothing is counted.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<IpPermit> {
        let mut table = self.0.lock();
        let client = (table.group)(address);
        let Some(limit) = table.limit else {
            return Some(IpPermit(None));
        };
        let held = table.held.get(&client).copied().unwrap_or_default();
        if held >= limit {
            return None;
        }
        table.held.insert(client, held + 1);
        Some(IpPermit(Some((Arc::clone(self), client))))
    }

    #[cfg(test)]
    pub(crate) fn addresses(&self) -> usize {
        self.0.lock().held.len()
    }
}

/// What counts as one client: an IPv6 client has a whole /64 to take addresses from.
pub(crate) fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// The network of an address, whose addresses may all be one person's: an IPv4 /24, an IPv6 /48.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() >> 8 << 8)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 80 << 80)),
    }
}

/// One of what an address may hold.
#[derive(Debug)]
pub(crate) struct IpPermit(Option<(Arc<PerIp>, IpAddr)>);

impl Drop for IpPermit {
    fn drop(&mut self) {
        let Some((table, client)) = &self.0 else {
            return;
        };
        let mut table = table.0.lock();
        if let Some(held) = table.held.get_mut(client) {
            *held -= 1;
            if *held == 0 {
                table.held.remove(client);
            }
        }
    }
}
