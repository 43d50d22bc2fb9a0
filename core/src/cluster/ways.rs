//! The ways to users: this node's links, and the nodes that have others of a user.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use linkgate_filter::{Fault, Receipt};
use parking_lot::Mutex;

use super::inbox::{Inbox, News};
use super::machine::{self, Holder, Why};
use super::peers::{DeliveryId, Peers};
use super::registry::Incarnation;
use crate::edges::directory::{Claim, ClaimId};
use crate::link::{Journal, LinkManager, User};
use crate::push::{Need, Receivers, Search, Seeker, Verdict, Way, WayId, Ways, Weighed};

/// The users of all nodes.
pub(super) struct Everywhere {
    pub(super) links: Arc<LinkManager>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) seekers: Arc<Seekers>,
}

impl Receivers for Everywhere {
    fn find(&self, user: &User, device_id: Option<&str>) -> Ways {
        Receivers::find(&*self.links, user, device_id)
    }

    fn journal(&self) -> &Arc<Journal> {
        self.links.journal()
    }

    fn look(
        &self,
        user: &User,
        device_id: Option<&str>,
        need: Need,
        seeker: Seeker,
    ) -> Option<Box<dyn Search>> {
        let need = match need {
            Need::Found => machine::Need::Found,
            Need::CertainIfNone => machine::Need::CertainIfNone,
            Need::Certain => machine::Need::Certain,
        };
        let ticket = self.seekers.add(Seeking {
            seeker: Mutex::new(Some(seeker)),
            user: user.clone(),
            device_id: device_id.map(Into::into),
        })?;
        self.inbox.put(News::Look(ticket, user.clone(), need));
        Some(Box::new(Looking {
            ticket,
            inbox: Arc::clone(&self.inbox),
            seekers: Arc::clone(&self.seekers),
        }))
    }
}

/// A search under way.
struct Looking {
    ticket: u64,
    inbox: Arc<Inbox>,
    seekers: Arc<Seekers>,
}

impl Search for Looking {}

impl Drop for Looking {
    fn drop(&mut self) {
        if self.seekers.remove(self.ticket).is_some() {
            self.inbox.put(News::Forget(self.ticket));
        }
    }
}

struct Seeking {
    seeker: Mutex<Option<Seeker>>,
    user: User,
    device_id: Option<Arc<str>>,
}

/// Those who look, by their tickets: as many as there are pushes under way.
#[derive(Default)]
pub(super) struct Seekers {
    /// `None`: nobody answers any more.
    all: Mutex<Option<HashMap<u64, Arc<Seeking>>>>,
    tickets: AtomicU64,
}

impl Seekers {
    pub(super) fn new() -> Self {
        Self {
            all: Mutex::new(Some(HashMap::new())),
            tickets: AtomicU64::new(0),
        }
    }

    fn add(&self, seeking: Seeking) -> Option<u64> {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        self.all.lock().as_mut()?.insert(ticket, Arc::new(seeking));
        Some(ticket)
    }

    fn remove(&self, ticket: u64) -> Option<Arc<Seeking>> {
        self.all.lock().as_mut()?.remove(&ticket)
    }

    /// Nobody is told anything any more.
    pub(super) fn clear(&self) {
        let all = self.all.lock().take();
        drop(all);
    }

    /// Tells a ticket of nodes that hold links, and how much is known if that is all.
    pub(super) fn found(
        &self,
        ticket: u64,
        (holders, own): (&[Holder], Option<Incarnation>),
        peers: &Peers,
        verdict: Option<machine::Verdict>,
    ) {
        let seeking = match verdict {
            Some(_) => self.remove(ticket),
            None => self
                .all
                .lock()
                .as_ref()
                .and_then(|all| all.get(&ticket).cloned()),
        };
        let Some(seeking) = seeking else {
            return;
        };
        // This node's own links are found by whoever sends to them.
        let others = holders
            .iter()
            .filter(|holder| Some(holder.incarnation) != own);
        let ways: Ways = others
            .filter_map(|holder| Elsewhere::new(holder, &seeking, peers))
            .map(|way| Arc::new(way) as Arc<dyn Way>)
            .collect();
        let mut seeker = seeking.seeker.lock();
        if let Some(seeker) = seeker.as_ref().filter(|_| !ways.is_empty()) {
            seeker.found(ways);
        }
        if let Some((verdict, seeker)) = verdict.zip(seeker.take_if(|_| verdict.is_some())) {
            seeker.end(verdict_of(verdict));
        }
    }
}

fn verdict_of(verdict: machine::Verdict) -> Verdict {
    let why = match verdict {
        machine::Verdict::Enough => return Verdict::Enough,
        machine::Verdict::Certain => return Verdict::Certain,
        machine::Verdict::Unknown(why) => why,
    };
    let detail = match why {
        Why::Directory => "the directory does not answer",
        Why::Registry => "the registry does not answer, or this node is behind it",
        Why::Nodes => "links of some nodes are not all in the directory yet",
        Why::Unreadable => "an entry of the directory is of a newer version",
    };
    Verdict::Unknown(
        Fault::gateway("push.whereabouts_unknown")
            .retryable()
            .detail(detail),
    )
}

/// The links of a user at another node.
struct Elsewhere {
    incarnation: Incarnation,
    claims: Vec<ClaimId>,
    newest: u64,
    user: User,
    peers: Peers,
    delivery: Mutex<Option<DeliveryId>>,
}

impl Elsewhere {
    fn new(holder: &Holder, seeking: &Seeking, peers: &Peers) -> Option<Self> {
        let device = &seeking.device_id;
        let is_meant = |claim: &&Claim| device.is_none() || claim.device == *device;
        let claims: Vec<&Claim> = holder.claims.iter().filter(is_meant).collect();
        let newest = claims.iter().map(|claim| claim.id.link).max()?;
        Some(Self {
            incarnation: holder.incarnation,
            claims: claims.iter().map(|claim| claim.id).collect(),
            newest,
            user: seeking.user.clone(),
            peers: peers.clone(),
            delivery: Mutex::new(None),
        })
    }
}

impl Way for Elsewhere {
    fn id(&self) -> WayId {
        let Incarnation { registry, revision } = self.incarnation;
        WayId::Elsewhere {
            incarnation: (registry, revision),
            newest: self.newest,
        }
    }

    fn send(&self, push: &Arc<Weighed>, expires_at: Option<Instant>, receipt: Receipt) {
        let to = (&self.user, &*self.claims);
        let delivery = self
            .peers
            .deliver(self.incarnation, push, expires_at, to, receipt);
        *self.delivery.lock() = Some(delivery);
    }

    fn park(&self, _: &Arc<Weighed>) {
        if let Some(delivery) = *self.delivery.lock() {
            self.peers.park(self.incarnation, delivery);
        }
    }
}
