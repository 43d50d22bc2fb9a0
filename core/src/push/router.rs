//! Takes pushes in, and sends them to their receivers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use linkgate_filter::{Clock, Fault};

use super::config::PushLimits;
use super::ear::Ear;
use super::flights::{Bounds, Flight, Known, Limits, Listener, Load, Reach, Table, Weighed};
use super::message::Push;
use super::metrics::PushMetrics;
use super::outcome::ReceiverOutcome;
use super::receivers::Receivers;
use super::settled::{Memories, Memory, Print, Prints};
use crate::link::{Journal, User};
use crate::pipeline::Standing;

/// The code of a push for a business that nothing serves.
pub(super) const UNKNOWN_BIZ: &str = "push.unknown_biz";

/// The code of a push for a business whose configuration is refused.
pub(super) const BIZ_NOT_READY: &str = "push.biz_not_ready";

/// Says how a business stands with this node.
pub type Businesses = Arc<dyn Fn(&str) -> Standing + Send + Sync>;

/// Sends pushes to their receivers. Clones are the same router.
#[derive(Clone)]
pub struct Router {
    known: Arc<Known>,
    businesses: Businesses,
    prints: Prints,
    reach: Reach,
    limits: Arc<Limits>,
    max_wait: Arc<ArcSwap<Duration>>,
}

fn bounds(limits: &PushLimits, own: HashMap<Arc<str>, usize>) -> Bounds {
    Bounds {
        most: Load {
            flights: limits.unsettled as usize,
            bytes: limits.unsettled_bytes.as_usize(),
        },
        most_of_biz: Load {
            flights: limits.unsettled_per_biz as usize,
            bytes: limits.unsettled_bytes_per_biz.as_usize(),
        },
        own,
    }
}

fn memories(limits: &PushLimits) -> Memories {
    Memories {
        settled: Memory {
            most: limits.remembered as usize,
            keep: *limits.remember_for,
        },
        had: Memory {
            most: limits.remembered_forwarded as usize,
            keep: PushLimits::REMEMBER_FORWARDED_FOR,
        },
    }
}

impl Router {
    /// How soon to try again what is for a business that cannot be served yet: somebody has to mend its document first.
    const NOT_READY: Duration = Duration::from_secs(1);

    /// A router to these receivers. All businesses count as served.
    pub fn new(
        receivers: Arc<dyn Receivers>,
        clock: Arc<dyn Clock>,
        limits: &PushLimits,
        metrics: PushMetrics,
    ) -> Self {
        let known = Known {
            receivers,
            table: Table::new(clock, memories(limits)),
            metrics,
        };
        Self {
            known: Arc::new(known),
            businesses: Arc::new(|_| Standing::Served),
            prints: Prints::default(),
            reach: Reach::Here,
            limits: Arc::new(Limits::new(bounds(limits, HashMap::new()))),
            max_wait: Arc::new(ArcSwap::from_pointee(*limits.max_wait)),
        }
    }

    /// Serves these businesses alone.
    #[must_use]
    pub fn for_businesses(self, businesses: Businesses) -> Self {
        Self { businesses, ..self }
    }

    /// Sends as far as this.
    #[must_use]
    pub fn reaching(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    /// Bounds what comes from now on; `own` has the businesses whose number of unsettled pushes is bounded otherwise.
    pub fn set_limits(&self, limits: &PushLimits, own: HashMap<Arc<str>, usize>) {
        self.limits.set_bounds(bounds(limits, own));
        self.known.table.remember(memories(limits));
        self.max_wait.store(Arc::new(*limits.max_wait));
    }

    /// Pushes under way, by receiver.
    pub fn unsettled(&self) -> usize {
        self.limits.load().flights
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        self.known.table.clock()
    }

    pub(super) fn metrics(&self) -> &PushMetrics {
        &self.known.metrics
    }

    /// Where one may wait for users to come.
    pub(super) fn journal(&self) -> &Arc<Journal> {
        self.known.receivers.journal()
    }

    /// Whether a link of this node is a way by which the push would be sent. A user who has come to another node just before
    /// somebody waits for them is told of all the same: who waits is looked for once more by whoever looks elsewhere.
    pub(super) fn has_way(&self, push: &Push, user: &User) -> bool {
        let ways = self.known.receivers.find(user, push.device_id.as_deref());
        !ways.is_empty()
    }

    /// Whether pushes for a business can be sent.
    ///
    /// # Errors
    /// Nothing serves it (`push.unknown_biz`), or nothing does so yet (`push.biz_not_ready`).
    pub(super) fn check(&self, biz_id: &str) -> Result<(), Fault> {
        match (self.businesses)(biz_id) {
            Standing::Served => Ok(()),
            Standing::NotReady => {
                let fault = Fault::gateway(BIZ_NOT_READY).retry_after(Self::NOT_READY);
                Err(fault.detail("the configuration of this `biz_id` is refused on this node"))
            }
            Standing::Unknown => {
                let fault = Fault::backend(UNKNOWN_BIZ);
                Err(fault.detail("no pipeline serves this `biz_id`"))
            }
        }
    }

    /// Takes a push in, to send it to one receiver after another.
    ///
    /// # Errors
    /// Nothing was sent: see [`Router::check`]; or the pushes under way have too many bytes (`push.overloaded`).
    pub fn admit(&self, push: Push) -> Result<Arc<Weighed>, Fault> {
        self.check(&push.biz_id)?;
        let print = self.prints.of(&push.body);
        Weighed::new(push, print, &self.limits).map(Arc::new)
    }

    /// Sends a push to one receiver. When this returns it stands in the queues of the user's links here, so pushes sent one
    /// after another arrive in that order; links elsewhere are looked for. What is known at once is given, and counts for no
    /// metric; otherwise `ear` hears of it, even if the caller asks no more. Call it within a runtime.
    pub(super) fn send(
        &self,
        push: &Arc<Weighed>,
        user: &User,
        ear: Ear,
    ) -> Option<ReceiverOutcome> {
        let expires_at = match push.expires_at {
            None => None,
            Some(at) => match at.duration_since(self.clock().wall()) {
                Ok(left) if !left.is_zero() => self.clock().now().checked_add(left),
                _ => return Some(ReceiverOutcome::expired(false)),
            },
        };
        let listener = Listener {
            ear,
            reach: self.reach,
            may_repeat: false,
        };
        self.begin(push, user, expires_at, listener)
    }

    /// Sends what another node has taken in to the user's links here, as [`Router::send`] does; whatever their outcome is, it
    /// is theirs alone. `expires_at` is by this node's clock. One that comes again joins the first, or is told once more what
    /// became of it. What is given counts for metrics already.
    pub fn forwarded(
        &self,
        push: &Arc<Weighed>,
        user: &User,
        expires_at: Option<Instant>,
        ear: Ear,
    ) -> Option<ReceiverOutcome> {
        let listener = Listener {
            ear,
            reach: Reach::Here,
            may_repeat: true,
        };
        let is_late = expires_at.is_some_and(|at| at <= self.clock().now());
        let known = match is_late {
            true => Some(ReceiverOutcome::expired(false)),
            false => self.begin(push, user, expires_at, listener),
        };
        known.inspect(|known| self.metrics().ended(known.status))
    }

    fn begin(
        &self,
        push: &Arc<Weighed>,
        user: &User,
        expires_at: Option<Instant>,
        listener: Listener,
    ) -> Option<ReceiverOutcome> {
        let give_up_at = self.clock().now() + **self.max_wait.load();
        let name = self.name(push, &user.1);
        let times = (expires_at, give_up_at);
        Flight::begin(&self.known, (name, push, user), times, listener)
    }

    fn name(&self, push: &Push, user_id: &str) -> Print {
        let of = (
            &*push.biz_id,
            user_id,
            push.device_id.as_deref(),
            &*push.key,
        );
        self.prints.of(&of)
    }

    /// Whoever sent this push to this user will ask again later: it goes on, and counts for no limit meanwhile.
    pub fn park(&self, push: &Push, user_id: &str) {
        if let Some(flight) = self.known.table.get(self.name(push, user_id)) {
            flight.park();
        }
    }
}

#[cfg(test)]
mod tests;
