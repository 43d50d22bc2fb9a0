//! One push on its way to one receiver.

use std::sync::{Arc, Weak};
use std::time::Instant;

use linkgate_filter::runner::Settler;
use linkgate_filter::{Fault, Outcome, Receipt};
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::limits::{InFlight, Weighed};
use super::table::{Found, Table, Timed};
use crate::link::User;
use crate::push::ear::Ear;
use crate::push::metrics::PushMetrics;
use crate::push::outcome::{ReceiverOutcome, has_left, is_retired, judge};
use crate::push::receivers::Receivers;
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
pub(in crate::push) struct Flight {
    me: Weak<Self>,
    name: Print,
    user: User,
    push: Arc<Weighed>,
    known: Arc<Known>,
    /// When its time is over.
    until: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    news: SmallVec<[(u64, Outcome); 1]>,
    /// Somebody moves it on as long as this is not here.
    course: Option<Course>,
    ears: SmallVec<[Ear; 1]>,
    /// Until it has landed.
    counted: Option<InFlight>,
    /// Nobody waits for it any longer.
    over: Option<Over>,
    landed: bool,
}

/// Why a flight ends before its ways have said all.
#[derive(Clone, Copy)]
enum Over {
    /// Its time is over.
    Late,
    /// More is parked than may be.
    GivenUp,
}

/// How far it is.
struct Course {
    /// The ways it was sent by; their indexes are the numbers of the receipts.
    sent: SmallVec<[Sent; 1]>,
    reroutes: u32,
    expires_at: Option<Instant>,
}

struct Sent {
    way: u64,
    outcome: Option<Outcome>,
    /// A newer way has it now: what this one said counts no more.
    moved: bool,
}

impl Flight {
    /// How often a push goes looking for newer ways to a user whose links are gone.
    pub(in crate::push) const REROUTES: u32 = 4;

    /// Sends a push to a user, or joins the flight that is under way; it ends at `give_up_at` at the latest. What is known at
    /// once is given; otherwise `ear` hears of it.
    pub(in crate::push) fn begin(
        known: &Arc<Known>,
        (name, push, user): (Print, &Arc<Weighed>, &User),
        (expires_at, give_up_at): (Option<Instant>, Instant),
        mut ear: Ear,
    ) -> Option<ReceiverOutcome> {
        let until = expires_at.map_or(give_up_at, |at| at.min(give_up_at));
        let begun = loop {
            let mut begun = None;
            let make = || {
                let counted = push.flight()?;
                let flight = Self::new(known, (name, push, user), until, counted);
                Ok(Arc::clone(begun.insert(flight)))
            };
            match known.table.enter(name, (push.print, until), make) {
                Err(fault) => return Some(ReceiverOutcome::rejected(fault)),
                Ok(Found::Used) => return Some(key_reused("has gone to this receiver lately")),
                Ok(Found::UnderWay(flight)) => match flight.join(push, ear) {
                    Ok(refused) => return refused,
                    // It has left the table since.
                    Err(own) => ear = own,
                },
                Ok(Found::Free) => break begun?,
            }
        };
        let mut course = Course {
            sent: SmallVec::new(),
            reroutes: Self::REROUTES,
            expires_at,
        };
        if begun.route(&mut course) == 0 {
            return Some(begun.land(ReceiverOutcome::offline()));
        }
        let ended = begun.move_on(course, Some(ear));
        if ended.is_none() {
            known.metrics.unsettled.inc();
        }
        ended
    }

    fn new(
        known: &Arc<Known>,
        (name, push, user): (Print, &Arc<Weighed>, &User),
        until: Instant,
        counted: InFlight,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            name,
            user: user.clone(),
            push: Arc::clone(push),
            known: Arc::clone(known),
            until,
            state: Mutex::new(State {
                counted: Some(counted),
                ..State::default()
            }),
        })
    }

    /// Has `ear` hear of the outcome too; gives it back if there is one already. A key names one push: the outcome of another
    /// body would mislead the caller.
    fn join(&self, push: &Weighed, ear: Ear) -> Result<Option<ReceiverOutcome>, Ear> {
        if self.push.print != push.print {
            return Ok(Some(key_reused("is under way to this receiver")));
        }
        let mut state = self.state.lock();
        if state.landed {
            return Err(ear);
        }
        state.ears.push(ear);
        self.known.metrics.joined.inc();
        Ok(None)
    }

    /// Sends by every way to the receiver that has not been tried yet, or not by what it leads to now. By how many.
    fn route(self: &Arc<Self>, course: &mut Course) -> usize {
        let push = &self.push;
        let ways = self
            .known
            .receivers
            .find(&self.user, push.device_id.as_deref());
        let before = course.sent.len();
        self.state.lock().news.reserve(ways.len());
        for way in ways {
            let id = way.id();
            let is_known =
                |sent: &Sent| sent.way == id && !sent.outcome.as_ref().is_some_and(is_retired);
            if course.sent[..before].iter().any(is_known) {
                continue;
            }
            let number = course.sent.len() as u64;
            course.sent.push(Sent {
                way: id,
                outcome: None,
                moved: false,
            });
            let receipt = Receipt::new(Arc::clone(self) as _, number);
            way.send(push, course.expires_at, receipt);
        }
        course.sent.len() - before
    }

    /// Hears all news and goes on to newer ways in place of those that are gone. Gives the outcome if that ends it; otherwise
    /// `ear` is there when it does.
    fn move_on(
        self: &Arc<Self>,
        mut course: Course,
        mut ear: Option<Ear>,
    ) -> Option<ReceiverOutcome> {
        loop {
            let (news, over) = {
                let mut state = self.state.lock();
                (std::mem::take(&mut state.news), state.over)
            };
            course.note(news);
            self.follow(&mut course);
            let push = &self.push;
            if let Some(outcome) = course.judge(push) {
                return Some(self.land(outcome));
            }
            if let Some(over) = over {
                return Some(self.land(course.overdue(push, over, self.until)));
            }
            let mut state = self.state.lock();
            if state.news.is_empty() && state.over.is_none() {
                state.ears.extend(ear.take());
                state.course = Some(course);
                return None;
            }
        }
    }

    /// Goes on to newer ways, as long as that is worth while.
    fn follow(self: &Arc<Self>, course: &mut Course) {
        let ack = self.push.ack;
        let has_left = |sent: &Sent| {
            !sent.moved
                && sent
                    .outcome
                    .as_ref()
                    .is_some_and(|said| has_left(said, ack))
        };
        while course.reroutes > 0 && course.sent.iter().any(has_left) {
            course.reroutes -= 1;
            let before = course.sent.len();
            if self.route(course) == 0 {
                return;
            }
            self.known.metrics.rerouted.inc();
            for sent in &mut course.sent[..before] {
                sent.moved |= has_left(sent);
            }
            let news = std::mem::take(&mut self.state.lock().news);
            course.note(news);
        }
    }

    /// It has ended. Out of the table first: who asks again from here on begins anew.
    fn land(&self, outcome: ReceiverOutcome) -> ReceiverOutcome {
        let reached = outcome.may_have_arrived().then_some(self.push.print);
        self.known.table.leave(self.name, self.until, reached);
        let (ears, counted) = {
            let mut state = self.state.lock();
            state.landed = true;
            (std::mem::take(&mut state.ears), state.counted.take())
        };
        drop(counted);
        for ear in ears {
            ear.tell(outcome.clone());
        }
        outcome
    }

    /// Counts for no limit meanwhile, as whoever sent it will ask again later. What is parked beyond that is given up.
    pub(in crate::push) fn park(&self) {
        let is_parked = self.state.lock().counted.as_ref().map(InFlight::park);
        match is_parked {
            Some(true) => self.push.park(),
            Some(false) => self.end(Over::GivenUp),
            None => {}
        }
    }

    fn end(&self, over: Over) {
        self.tell(|state| {
            state.over.get_or_insert(over);
        });
    }

    /// Notes something, and moves on unless somebody else is at it.
    fn tell(&self, note: impl FnOnce(&mut State)) {
        let course = {
            let mut state = self.state.lock();
            note(&mut state);
            state.course.take()
        };
        let Some((course, me)) = course.zip(self.me.upgrade()) else {
            return;
        };
        if let Some(outcome) = me.move_on(course, None) {
            self.known.metrics.unsettled.dec();
            self.known.metrics.ended(outcome.status);
        }
    }
}

impl Timed for Flight {
    fn is_late(&self) {
        self.end(Over::Late);
    }
}

impl Settler for Flight {
    fn settle(&self, number: u64, outcome: Outcome) {
        self.tell(|state| {
            if !state.landed {
                state.news.push((number, outcome));
            }
        });
    }
}

impl Course {
    fn note(&mut self, news: SmallVec<[(u64, Outcome); 1]>) {
        for (number, outcome) in news {
            let sent = usize::try_from(number)
                .ok()
                .and_then(|at| self.sent.get_mut(at));
            if let Some(sent) = sent {
                sent.outcome = Some(outcome);
            }
        }
    }

    fn judge(&self, push: &Weighed) -> Option<ReceiverOutcome> {
        let counting = self.sent.iter().filter(|sent| !sent.moved);
        let said = counting.map(|sent| sent.outcome.as_ref());
        let outcome = judge(said, push.ack, push.all)?;
        // A way that is gone may have led to the receiver before.
        let unknown = |sent: &Sent| matches!(sent.outcome, Some(Outcome::Unknown(_)));
        let sent_before = self.sent.iter().any(|sent| sent.moved && unknown(sent));
        Some(outcome.after(sent_before))
    }

    /// The outcome when some ways have said nothing.
    fn overdue(&self, push: &Weighed, over: Over, until: Instant) -> ReceiverOutcome {
        if matches!(over, Over::GivenUp) {
            return ReceiverOutcome::unsettled();
        }
        let said = self
            .sent
            .iter()
            .filter(|sent| !sent.moved && sent.outcome.is_some());
        let said = judge(said.map(|sent| sent.outcome.as_ref()), push.ack, push.all);
        match said {
            Some(said) if said.reason.is_none() && !push.all => said,
            _ if self.expires_at == Some(until) => ReceiverOutcome::expired(true),
            _ => ReceiverOutcome::unsettled(),
        }
    }
}

fn key_reused(what: &str) -> ReceiverOutcome {
    let fault = Fault::backend("push.key_reused");
    ReceiverOutcome::rejected(fault.detail(format!("another push with this key {what}")))
}
