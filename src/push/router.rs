//! Finds a push's links, sends, and gathers the outcome for each receiver.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use linkgate_filter::{Clock, Command, Fault, Message, Outcome, Receipt};

use super::config::PushLimits;
use super::flight::{Admitted, Begin, Begun, Bounds, Flight, FlightKey, Flights, Landing, Load};
use super::links::Links;
use super::message::Push;
use super::metrics::PushMetrics;
use super::outcome::{ReceiverOutcome, has_left, is_retired, judge};
use super::settled::Memory;
use crate::link::Arrivals;
use crate::pipeline::Standing;

/// The code of a push for a business that nothing serves.
pub(super) const UNKNOWN_BIZ: &str = "push.unknown_biz";

/// The code of a push for a business whose configuration is refused.
pub(super) const BIZ_NOT_READY: &str = "push.biz_not_ready";

/// Says how a business stands with this node.
pub type Businesses = Arc<dyn Fn(&str) -> Standing + Send + Sync>;

/// Sends pushes to the links of this node. Clones are the same router.
#[derive(Clone)]
pub struct Router {
    links: Arc<dyn Links>,
    businesses: Businesses,
    clock: Arc<dyn Clock>,
    flights: Arc<Flights>,
    max_wait: Arc<ArcSwap<Duration>>,
    metrics: PushMetrics,
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
        memory: Memory {
            most: limits.remembered as usize,
            keep: *limits.remember_for,
        },
    }
}

impl Router {
    /// How often a push goes looking for newer links of a user whose links are gone.
    const REROUTES: u32 = 4;

    /// How soon to try again what is for a business that cannot be served yet: somebody has to mend its document first.
    const NOT_READY: Duration = Duration::from_secs(1);

    /// A router to these links. All businesses count as served.
    pub fn new(
        links: Arc<dyn Links>,
        clock: Arc<dyn Clock>,
        limits: &PushLimits,
        metrics: PushMetrics,
    ) -> Self {
        Self {
            links,
            businesses: Arc::new(|_| Standing::Served),
            clock,
            flights: Arc::new(Flights::new(bounds(limits, HashMap::new()))),
            max_wait: Arc::new(ArcSwap::from_pointee(*limits.max_wait)),
            metrics,
        }
    }

    /// Serves these businesses alone.
    #[must_use]
    pub fn for_businesses(self, businesses: Businesses) -> Self {
        Self { businesses, ..self }
    }

    /// Bounds what comes from now on; `own` has the businesses whose number of unsettled pushes is bounded otherwise.
    pub fn set_limits(&self, limits: &PushLimits, own: HashMap<Arc<str>, usize>) {
        self.flights.set_bounds(bounds(limits, own));
        self.max_wait.store(Arc::new(*limits.max_wait));
    }

    /// Pushes under way, by receiver.
    pub fn unsettled(&self) -> usize {
        self.flights.load().flights
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(super) fn metrics(&self) -> &PushMetrics {
        &self.metrics
    }

    /// Where one may wait for users to come.
    pub(super) fn arrivals(&self) -> &Arc<Arrivals> {
        self.links.arrivals()
    }

    /// Whether a link is here that the push would be sent to.
    pub(super) fn has_link(&self, push: &Push, user_id: &str) -> bool {
        let links = self
            .links
            .find(&push.biz_id, user_id, push.device_id.as_deref());
        !links.is_empty()
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
    pub fn admit(&self, push: Push) -> Result<Sending, Fault> {
        self.check(&push.biz_id)?;
        let push = self.flights.admit(push)?;
        let router = self.clone();
        Ok(Sending { push, router })
    }

    fn send(&self, push: &Arc<Admitted>, user_id: &str) -> Pending {
        Pending {
            known: self.begin(push, user_id),
            clock: Arc::clone(&self.clock),
            metrics: self.metrics.clone(),
        }
    }

    /// Whoever sent this push to this user will ask again later: it goes on, and counts for no limit meanwhile.
    pub(super) fn park(&self, push: &Push, user_id: &str) {
        self.flights.park(&FlightKey::of(push, user_id));
    }

    fn begin(&self, push: &Arc<Admitted>, user_id: &str) -> Known {
        let now = self.clock.now();
        let expires_at = match push.expires_at {
            None => None,
            Some(at) => match at.duration_since(self.clock.wall()) {
                Ok(left) if !left.is_zero() => now.checked_add(left),
                _ => return Known::Now(ReceiverOutcome::expired(false)),
            },
        };
        let key = FlightKey::of(push, user_id);
        let begun = match self.flights.begin(key, push, now) {
            Begin::Begun(begun) => begun,
            Begin::Joined(landing) => {
                self.metrics.joined.inc();
                return Known::Later(landing);
            }
            Begin::Refused(fault) => return Known::Now(ReceiverOutcome::rejected(fault)),
        };
        let landing = begun.landing();
        let give_up_at = now + **self.max_wait.load();
        let mut course = Course {
            begun,
            links: Arc::clone(&self.links),
            clock: Arc::clone(&self.clock),
            metrics: self.metrics.clone(),
            sent: Vec::new(),
            reroutes: Self::REROUTES,
            expires_at,
            give_up_at,
        };
        if course.route() == 0 {
            let outcome = ReceiverOutcome::offline();
            course.flight().land(outcome.clone());
            return Known::Now(outcome);
        }
        // Links that have no room say so at once.
        course.note();
        let refused = course.sent.iter().all(|sent| {
            let outcome = sent.outcome.as_ref();
            outcome.is_some_and(|outcome| !has_left(outcome, push.ack))
        });
        if let (true, Some(outcome)) = (refused, course.judge()) {
            course.flight().land(outcome.clone());
            return Known::Now(outcome);
        }
        self.metrics.unsettled.inc();
        tokio::spawn(course.run());
        Known::Later(landing)
    }
}

/// A push that has been taken in.
pub struct Sending {
    push: Arc<Admitted>,
    router: Router,
}

impl Sending {
    /// Sends the push to one receiver. When this returns it stands in the queues of the user's links, so pushes sent one
    /// after another arrive in that order. Call it within a runtime: what is to be waited for, a task waits for, even if
    /// the caller does not.
    pub fn to(&self, user_id: &str) -> Pending {
        self.router.send(&self.push, user_id)
    }
}

/// What is to become of a push for one receiver.
pub struct Pending {
    known: Known,
    clock: Arc<dyn Clock>,
    metrics: PushMetrics,
}

enum Known {
    Now(ReceiverOutcome),
    Later(Landing),
}

impl Pending {
    /// What became of it, if that was known at once: the user is not connected, or there was no room.
    pub(super) fn known(&self) -> Option<&ReceiverOutcome> {
        match &self.known {
            Known::Now(outcome) => Some(outcome),
            Known::Later(_) => None,
        }
    }

    /// The outcome, if it was known at once: there is nothing to wait for.
    pub(super) fn end_at_once(&self) -> Option<ReceiverOutcome> {
        let outcome = self.known()?;
        self.metrics.ended(outcome.status);
        Some(outcome.clone())
    }

    /// What became of it; what is known at `until`, when the caller's patience ends, if that comes first.
    pub async fn outcome(self, until: Option<Instant>) -> ReceiverOutcome {
        let mut landing = match self.known {
            Known::Now(outcome) => {
                self.metrics.ended(outcome.status);
                return outcome;
            }
            Known::Later(landing) => landing,
        };
        let landed = async {
            let outcome = landing.wait_for(Option::is_some).await.ok();
            outcome.and_then(|outcome| outcome.clone())
        };
        let outcome = match until {
            None => landed.await,
            Some(until) => tokio::select! {
                biased;
                outcome = landed => outcome,
                () = self.clock.sleep_until(until) => None,
            },
        };
        outcome.unwrap_or_else(ReceiverOutcome::unsettled)
    }
}

/// A flight from its first link to its end.
struct Course {
    begun: Begun,
    links: Arc<dyn Links>,
    clock: Arc<dyn Clock>,
    metrics: PushMetrics,
    /// The links it was sent to; their indexes are the numbers of the receipts.
    sent: Vec<Sent>,
    reroutes: u32,
    expires_at: Option<Instant>,
    give_up_at: Instant,
}

struct Sent {
    link: u64,
    outcome: Option<Outcome>,
    /// A newer link has it now: what this one said counts no more.
    moved: bool,
}

impl Course {
    fn flight(&self) -> &Arc<Flight> {
        &self.begun.flight
    }

    /// Sends to every link of the receiver that has not been tried yet, or not by its present pipeline. To how many.
    fn route(&mut self) -> usize {
        let flight = Arc::clone(self.flight());
        let push = &flight.push;
        let links = self
            .links
            .find(&push.biz_id, flight.user_id(), push.device_id.as_deref());
        let known = |id| {
            let mut sent = self.sent.iter();
            sent.any(|sent| sent.link == id && !sent.outcome.as_ref().is_some_and(is_retired))
        };
        let fresh: Vec<_> = links
            .into_iter()
            .filter(|link| !known(link.info().id))
            .collect();
        flight.reserve(fresh.len());
        for link in &fresh {
            let number = self.sent.len() as u64;
            self.sent.push(Sent {
                link: link.info().id,
                outcome: None,
                moved: false,
            });
            let mut message = Message::new(
                Arc::clone(link.info()),
                Command::DownstreamMessage,
                &*push.key,
                push.body.clone(),
            );
            message.ack = push.ack;
            message.expires_at = self.expires_at;
            let receipt = Receipt::new(Arc::clone(&flight) as _, number);
            if let Err((message, fault)) = link.push(message.with_receipt(receipt)) {
                message.settle(Outcome::from_fault(fault));
            }
        }
        fresh.len()
    }

    async fn run(mut self) {
        let outcome = loop {
            self.hear();
            if let Some(outcome) = self.judge() {
                break outcome;
            }
            let (until, expires) = match self.expires_at {
                Some(at) if at <= self.give_up_at => (at, true),
                _ => (self.give_up_at, false),
            };
            let over = self.clock.sleep_until(until);
            tokio::select! {
                biased;
                () = self.flight().arrived() => {}
                () = self.flight().given_up() => break ReceiverOutcome::unsettled(),
                () = over => break self.overdue(expires),
            }
        };
        self.metrics.unsettled.dec();
        self.metrics.ended(outcome.status);
        let flight = Arc::clone(self.flight());
        if outcome.may_have_arrived() {
            self.begun.keep_key(self.clock.now());
        }
        // Out of the table first: who asks again from here on begins anew.
        drop(self);
        flight.land(outcome);
    }

    /// Notes what links have said.
    fn note(&mut self) {
        for (number, outcome) in self.flight().news() {
            if let Some(sent) = self.sent.get_mut(number as usize) {
                sent.outcome = Some(outcome);
            }
        }
    }

    /// Notes what links have said, and goes on to newer links in place of those that are gone.
    fn hear(&mut self) {
        let ack = self.flight().push.ack;
        loop {
            self.note();
            let left = |sent: &Sent| {
                !sent.moved && sent.outcome.as_ref().is_some_and(|o| has_left(o, ack))
            };
            if self.reroutes == 0 || !self.sent.iter().any(left) {
                return;
            }
            self.reroutes -= 1;
            let before = self.sent.len();
            if self.route() == 0 {
                return;
            }
            self.metrics.rerouted.inc();
            for sent in &mut self.sent[..before] {
                sent.moved |= left(sent);
            }
        }
    }

    fn judge(&self) -> Option<ReceiverOutcome> {
        let push = &self.flight().push;
        let counting = self.sent.iter().filter(|sent| !sent.moved);
        let outcome = judge(
            counting.map(|sent| sent.outcome.as_ref()),
            push.ack,
            push.all,
        )?;
        // A link that is gone may have sent it before.
        let unknown = |sent: &Sent| matches!(sent.outcome, Some(Outcome::Unknown(_)));
        let sent_before = self.sent.iter().any(|sent| sent.moved && unknown(sent));
        Some(outcome.after(sent_before))
    }

    /// The outcome when the time is over and some links have said nothing.
    fn overdue(&self, expired: bool) -> ReceiverOutcome {
        let push = &self.flight().push;
        let said = self
            .sent
            .iter()
            .filter(|sent| !sent.moved && sent.outcome.is_some());
        let said = judge(said.map(|sent| sent.outcome.as_ref()), push.ack, push.all);
        match said {
            Some(said) if said.reason.is_none() && !push.all => said,
            _ if expired => ReceiverOutcome::expired(true),
            _ => ReceiverOutcome::unsettled(),
        }
    }
}

#[cfg(test)]
mod tests;
