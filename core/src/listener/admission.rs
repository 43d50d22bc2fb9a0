//! How many links are let in, and how fast. Everything held here is held by a permit and given back when that is
//! dropped. No lock is held across an await, and no table grows beyond the permits that are out.

mod pace;
mod per_ip;
mod quota;
mod shares;

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;

use self::pace::Pace;
pub(super) use self::per_ip::client_of;
use self::per_ip::{IpPermit, PerIp};
pub use self::quota::{Quota, QuotaPermit};
pub(super) use self::shares::{Shared, Shares};
use super::config::{AdmissionConfig, LinksPerSecond};
use super::refusal::Refusal;

/// The limits of one listener and what is used of them. Changed limits apply to what comes; nothing is taken back.
#[derive(Debug)]
pub(super) struct Admission {
    links: Arc<Quota>,
    per_ip: Arc<PerIp>,
    pace: Mutex<Option<Pace>>,
    open: Gauge,
}

impl Admission {
    pub(super) fn new(config: &AdmissionConfig, open: Gauge) -> Self {
        Self {
            links: Quota::new(config.max_links),
            per_ip: PerIp::new(config.per_ip, client_of),
            pace: Mutex::new(config.links_per_second.map(Pace::new)),
            open,
        }
    }

    /// Takes changed limits over. An unchanged pace goes on where it is.
    pub(super) fn change(&self, config: &AdmissionConfig) {
        self.links.set_limit(config.max_links);
        self.per_ip.set_limit(config.per_ip);
        let mut pace = self.pace.lock();
        let now: Option<LinksPerSecond> = pace.as_ref().map(Pace::config);
        if now != config.links_per_second {
            *pace = config.links_per_second.map(Pace::new);
        }
    }

    /// A seat for a connection from `client`, before anything expensive is done for it. `None`: from a trusted proxy
    /// that does not say for whom, which may be many.
    pub(super) fn seat(&self, client: Option<IpAddr>) -> Result<Seat, Refusal> {
        let link = self.links.take().ok_or(Refusal::MaxLinks)?;
        let of_client = |client| self.per_ip.take(client).ok_or(Refusal::PerIp);
        let ip = client.map(of_client).transpose()?;
        Ok(Seat {
            _link: link,
            _ip: ip,
        })
    }

    /// Turns the seat of an authenticated client into a permit for a link, if its business has room and the pace
    /// allows one now. Checked last, so that strangers do not use up the pace of users.
    pub(super) fn open(&self, seat: Seat, business: &Arc<Quota>) -> Result<Permit, Refusal> {
        let business = business.take().ok_or(Refusal::BizLinks)?;
        if !self.pace.lock().as_mut().is_none_or(Pace::take) {
            return Err(Refusal::Pace);
        }
        self.open.inc();
        Ok(Permit {
            _seat: seat,
            _business: business,
            open: self.open.clone(),
        })
    }
}

/// Room for a connection that may become a link.
#[derive(Debug)]
pub(super) struct Seat {
    _link: QuotaPermit,
    _ip: Option<IpPermit>,
}

/// Leave for one link to be open. To be kept as long as the link's socket, then dropped.
#[derive(Debug)]
pub struct Permit {
    _seat: Seat,
    _business: QuotaPermit,
    open: Gauge,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.open.dec();
    }
}

#[cfg(test)]
mod tests;
