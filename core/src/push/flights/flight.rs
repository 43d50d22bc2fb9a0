//! One push on its way to one receiver.

use std::sync::{Arc, Weak};
use std::time::Instant;

use linkgate_filter::runner::Settler;
use linkgate_filter::{Fault, Outcome, Receipt};
use parking_lot::{Mutex, MutexGuard};

use super::course::{About, Course, Listener, Next, Over, Reach, Sends};
use super::limits::Weighed;
use super::table::{Found, Table, Timed};
use crate::link::User;
use crate::push::metrics::PushMetrics;
use crate::push::outcome::ReceiverOutcome;
use crate::push::receivers::{Need, Receivers, Seek, Seeker, Verdict, Ways};
use crate::push::settled::Print;

/// What flights work with.
pub(in crate::push) struct Known {
    pub(in crate::push) receivers: Arc<dyn Receivers>,
    pub(in crate::push) table: Arc<Table<Flight>>,
    pub(in crate::push) metrics: PushMetrics,
}

/// A push under way to one receiver. Hears of its outcomes on the ways to it, each under the number it was sent with.
///
/// Whoever has news moves it on, one at a time: news that comes meanwhile is left for whoever is at it.
///
/// # Two reaches
///
/// Nodes send each other's pushes to their own links, so those who wait for a flight wait for one of two things: what this
/// node's links say ([`Reach::Here`]), or what all do ([`Reach::Everywhere`]). The first never waits for another node. So two
/// nodes that have the same push, and send it to each other, do not wait in a circle.
pub(in crate::push) struct Flight {
    me: Weak<Self>,
    name: Print,
    user: User,
    push: Arc<Weighed>,
    known: Arc<Known>,
    expires_at: Option<Instant>,
    /// When its time is over.
    until: Instant,
    state: Mutex<State>,
}

struct State {
    course: Course,
    /// Somebody moves it on.
    is_moved: bool,
    /// The first who asked was not told at once: it counts as unsettled, and its outcome for a metric.
    waits: bool,
    /// The push may have reached somebody.
    has_reached: bool,
}

impl Flight {
    /// How often a push goes looking for newer ways to a user whose links are gone.
    pub(in crate::push) const REROUTES: u32 = 4;

    /// Sends a push to a user, or joins the flight that is under way; it ends at `give_up_at` at the latest. What is known at
    /// once is given; otherwise the listener hears of it.
    pub(in crate::push) fn begin(
        known: &Arc<Known>,
        (name, push, user): (Print, &Arc<Weighed>, &User),
        (expires_at, give_up_at): (Option<Instant>, Instant),
        mut listener: Listener,
    ) -> Option<ReceiverOutcome> {
        let until = expires_at.map_or(give_up_at, |at| at.min(give_up_at));
        let begun = loop {
            let mut begun = None;
            let (reach, may_repeat) = (listener.reach, listener.may_repeat);
            let make = || {
                let course = Course::new(push.flight()?, Self::REROUTES, reach);
                let flight = Self::new(known, (name, push, user), (expires_at, until), course);
                Ok(Arc::clone(begun.insert(flight)))
            };
            let begin = (push.print, until, may_repeat);
            match known.table.enter(name, begin, make) {
                Err(fault) => return Some(ReceiverOutcome::rejected(fault)),
                Ok(Found::Used) => return Some(key_reused("has gone to this receiver lately")),
                Ok(Found::Had(status)) => return Some(ReceiverOutcome::had(status)),
                Ok(Found::UnderWay(flight)) => match flight.join(push, listener) {
                    Ok(known) => return known,
                    Err(own) => {
                        // It is about to leave the table.
                        listener = own;
                        std::thread::yield_now();
                    }
                },
                Ok(Found::Free) => break begun?,
            }
        };
        if listener.reach == Reach::Everywhere
            && let Some(status) = known.table.had(name, push.print)
        {
            begun.state.lock().course.has_had(status);
        }
        begun.move_on(Some(listener))
    }

    fn new(
        known: &Arc<Known>,
        (name, push, user): (Print, &Arc<Weighed>, &User),
        (expires_at, until): (Option<Instant>, Instant),
        course: Course,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            name,
            user: user.clone(),
            push: Arc::clone(push),
            known: Arc::clone(known),
            expires_at,
            until,
            state: Mutex::new(State {
                course,
                is_moved: true,
                waits: false,
                has_reached: false,
            }),
        })
    }

    /// Has a listener hear of the outcome too, or gives what is known; gives the listener back if the flight has landed. A key
    /// names one push: the outcome of another body would mislead the caller.
    fn join(
        self: &Arc<Self>,
        push: &Weighed,
        listener: Listener,
    ) -> Result<Option<ReceiverOutcome>, Listener> {
        if self.push.print != push.print {
            return Ok(Some(key_reused("is under way to this receiver")));
        }
        let mut state = self.state.lock();
        if state.course.has_landed() {
            return Err(listener);
        }
        let known = state.course.join(listener);
        drop(state);
        if known.is_none() {
            self.known.metrics.joined.inc();
            self.tell(|_| ());
        }
        Ok(known)
    }

    /// Does what is to be done until there is nothing more to do. Gives what `own` waits for, if that is known then;
    /// otherwise it is told.
    fn move_on(self: &Arc<Self>, mut own: Option<Listener>) -> Option<ReceiverOutcome> {
        let mut known = None;
        loop {
            let mut state = self.state.lock();
            let about = About {
                push: &self.push,
                until: self.until,
                expires_at: self.expires_at,
            };
            let own_reach = own.as_ref().map(|own| own.reach);
            match state.course.next(about, own_reach) {
                Next::LookHere => {
                    drop(state);
                    self.look_here();
                }
                Next::Look(need, number, former) => {
                    drop(state);
                    drop(former);
                    self.look(need, number);
                }
                Next::Tell(reach, outcome) => {
                    let answered = own.take_if(|own| own.reach == reach);
                    let to = (answered.as_ref(), own.is_none());
                    let has_landed = self.conclude(state, (reach, &outcome), to);
                    known = answered.map(|_| outcome).or(known);
                    if has_landed {
                        return known;
                    }
                }
                Next::Rest => {
                    if let Some(own) = own.take() {
                        state.course.listeners.push(own);
                        state.waits = true;
                        self.known.metrics.unsettled.inc();
                    }
                    state.is_moved = false;
                    return known;
                }
            }
        }
    }

    /// Tells those who wait for this reach; `answered` is told otherwise. It lands, if nobody waits for the other one and
    /// `may_land`. Says whether it has.
    fn conclude(
        &self,
        mut state: MutexGuard<'_, State>,
        (reach, outcome): (Reach, &ReceiverOutcome),
        (answered, may_land): (Option<&Listener>, bool),
    ) -> bool {
        let (push, table) = (&self.push, &self.known.table);
        state.has_reached |= outcome.may_have_arrived();
        let (listeners, search) = state.course.told(reach, outcome);
        let lands = may_land && state.course.listeners.is_empty();
        let counted = state.course.counted.take_if(|_| lands);
        let reached = state.has_reached.then_some(push.print);
        let mut told = listeners.iter().chain(answered);
        let repeats = outcome.is_whereabouts_unknown() || told.any(|own| own.may_repeat);
        let here = repeats.then(|| state.course.judge_here(push)).flatten();
        let waited = state.waits;
        drop(state);
        drop(search);
        if let Some(here) = here.filter(ReceiverOutcome::is_had) {
            table.note_had(self.name, push.print, here.status);
        }
        if lands {
            // Out of the table first: who asks again from here on begins anew.
            table.leave(self.name, self.until, reached);
            drop(counted);
            if waited {
                self.known.metrics.unsettled.dec();
                self.known.metrics.ended(outcome.status);
            }
        }
        for listener in listeners {
            listener.ear.tell(outcome.clone());
        }
        lands
    }

    /// Sends by the user's links of this node that have not been tried yet.
    fn look_here(self: &Arc<Self>) {
        let device_id = self.push.device_id.as_deref();
        let ways = self.known.receivers.find(&self.user, device_id);
        let (sends, follows) = self.state.lock().course.found(ways, self.push.ack);
        self.send(sends, follows);
    }

    /// Has other nodes looked for.
    fn look(&self, need: Need, number: u32) {
        let seeker = Seeker::new(Weak::clone(&self.me) as _, number);
        let device_id = self.push.device_id.as_deref();
        let receivers = &self.known.receivers;
        let search = receivers.look(&self.user, device_id, need, seeker);
        let needless = self.state.lock().course.began(number, search);
        drop(needless);
    }

    fn send(self: &Arc<Self>, sends: Sends, follows: bool) {
        if follows {
            self.known.metrics.rerouted.inc();
        }
        for (way, number) in sends {
            let receipt = Receipt::new(Arc::clone(self) as _, number);
            way.send(&self.push, self.expires_at, receipt);
        }
    }

    /// Counts for no limit meanwhile, as whoever sent it will ask again later. What is parked beyond that is given up.
    pub(in crate::push) fn park(&self) {
        let ways = {
            let mut state = self.state.lock();
            let course = &mut state.course;
            let Some(counted) = &course.counted else {
                return;
            };
            if !counted.park() {
                None
            } else if std::mem::replace(&mut course.is_parked, true) {
                return;
            } else {
                Some(course.ways_elsewhere())
            }
        };
        let Some(ways) = ways else {
            return self.end(Over::GivenUp);
        };
        self.push.park();
        for way in ways {
            way.park(&self.push);
        }
    }

    fn end(&self, over: Over) {
        self.tell(|course| {
            course.over.get_or_insert(over);
        });
    }

    /// Notes something, and moves on unless somebody else is at it.
    fn tell<T>(&self, note: impl FnOnce(&mut Course) -> T) -> T {
        let mut state = self.state.lock();
        let noted = note(&mut state.course);
        let is_moved = std::mem::replace(&mut state.is_moved, true);
        drop(state);
        if !is_moved && let Some(me) = self.me.upgrade() {
            me.move_on(None);
        }
        noted
    }
}

impl Timed for Flight {
    fn is_late(&self) {
        self.end(Over::Late);
    }
}

impl Settler for Flight {
    fn settle(&self, number: u64, outcome: Outcome) {
        self.tell(|course| course.said(number, outcome));
    }
}

impl Seek for Flight {
    fn found(&self, search: u32, ways: Ways) {
        let Some(me) = self.me.upgrade() else {
            return;
        };
        let (sends, follows, is_parked) = {
            let course = &mut self.state.lock().course;
            let (sends, follows) = course.found_elsewhere(search, ways, self.push.ack);
            (sends, follows, course.is_parked)
        };
        let ways: Vec<_> = match is_parked {
            true => sends.iter().map(|(way, _)| Arc::clone(way)).collect(),
            false => Vec::new(),
        };
        me.send(sends, follows);
        for way in ways {
            way.park(&self.push);
        }
    }

    fn ended(&self, search: u32, verdict: Verdict) {
        let over = self.tell(|course| course.ended(search, verdict));
        drop(over);
    }
}

fn key_reused(what: &str) -> ReceiverOutcome {
    let fault = Fault::backend("push.key_reused");
    ReceiverOutcome::rejected(fault.detail(format!("another push with this key {what}")))
}
