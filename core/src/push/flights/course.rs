//! How far a flight is, and what is to be done next. Calls nobody: whoever moves a flight on asks this under its lock.

mod judging;

use std::sync::Arc;
use std::time::Instant;

use linkgate_filter::{Fault, Outcome};
use smallvec::SmallVec;

use self::judging::Judged;
use super::limits::InFlight;
use crate::push::ear::Ear;
use crate::push::message::Push;
use crate::push::outcome::{ReceiverOutcome, Status, has_left, is_offline, is_retired};
use crate::push::receivers::{Need, Search, Verdict, Way, WayId, Ways};

/// How far a push goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// To this node's own links.
    #[default]
    Here,
    /// To the user's links wherever they are.
    Everywhere,
}

/// Whoever waits for the outcome.
pub(in crate::push) struct Listener {
    pub(in crate::push) ear: Ear,
    pub(in crate::push) reach: Reach,
    /// It may ask once more when it has been told: so the outcome is remembered for a while.
    pub(in crate::push) may_repeat: bool,
}

pub(super) type Listeners = SmallVec<[Listener; 1]>;

/// Ways to send by, and the numbers of their receipts.
pub(super) type Sends = SmallVec<[(Arc<dyn Way>, u64); 2]>;

pub(super) struct Course {
    /// The ways it was sent by; their indexes are the numbers of the receipts.
    sent: SmallVec<[Sent; 1]>,
    /// Ways have said something since somebody looked whether they have left.
    has_news: bool,
    /// Newer links of this node are to be looked for.
    looks_here: bool,
    reroutes: u32,
    /// Links of this node have had the push before.
    had: Option<Outcome>,
    /// Other nodes are asked.
    beyond: Option<Box<Beyond>>,
    pub(super) listeners: Listeners,
    /// Until it has landed.
    pub(super) counted: Option<InFlight>,
    pub(super) is_parked: bool,
    /// Nobody waits for it any longer.
    pub(super) over: Option<Over>,
    /// What links of this node have done, for whoever asks for no more, while it goes on elsewhere.
    done_here: Option<ReceiverOutcome>,
}

/// Why a flight ends before its ways have said all.
#[derive(Clone, Copy)]
pub(super) enum Over {
    /// Its time is over.
    Late,
    /// More is parked than may be.
    GivenUp,
}

struct Sent {
    way: WayId,
    outcome: Option<Outcome>,
    /// A newer way has it now: what this one said counts no more.
    moved: bool,
    /// It has left, and other nodes were asked since.
    asked: bool,
}

/// What is known of ways beyond this node.
#[derive(Default)]
struct Beyond {
    /// The number of the latest search.
    latest: u32,
    /// What it was to find out; `None`: there was none yet, or there has to be another one.
    need: Option<Need>,
    search: Option<Box<dyn Search>>,
    verdict: Option<Verdict>,
    ways: Vec<Arc<dyn Way>>,
    /// The ways that the latest search has found, those that were known included.
    found: SmallVec<[WayId; 1]>,
    /// What was told, while it goes on for others.
    done: Option<ReceiverOutcome>,
}

/// What is to be done next, without the lock.
pub(super) enum Next {
    /// Look for links of this node.
    LookHere,
    /// Look elsewhere. The former search is over.
    Look(Need, u32, Option<Box<dyn Search>>),
    /// Tell those who want to know it of this reach.
    Tell(Reach, ReceiverOutcome),
    /// Nothing, until there is news.
    Rest,
}

/// What a flight is asked about.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) push: &'a Push,
    pub(super) until: Instant,
    pub(super) expires_at: Option<Instant>,
}

impl Sent {
    fn is_here(&self) -> bool {
        matches!(self.way, WayId::Here(_))
    }

    /// Whether the user may have it by this way.
    fn may_have_it(&self) -> bool {
        !matches!(self.outcome, Some(Outcome::Failed(_)))
    }
}

impl Course {
    /// `had`: what links of this node have said of this push before.
    pub(super) fn new(counted: InFlight, reroutes: u32, reach: Reach) -> Self {
        Self {
            sent: SmallVec::new(),
            has_news: false,
            looks_here: true,
            reroutes,
            had: None,
            beyond: (reach == Reach::Everywhere).then(Box::default),
            listeners: SmallVec::new(),
            counted: Some(counted),
            is_parked: false,
            over: None,
            done_here: None,
        }
    }

    pub(super) fn has_landed(&self) -> bool {
        self.counted.is_none()
    }

    /// Links of this node have had the push before: it is not sent to them again.
    pub(super) fn has_had(&mut self, status: Status) {
        self.looks_here = false;
        self.had = Some(match status {
            Status::Delivered => Outcome::accepted(""),
            _ => Outcome::sent(),
        });
    }

    /// Somebody else wants to know. What is known is given, otherwise `listener` waits.
    pub(super) fn join(&mut self, listener: Listener) -> Option<ReceiverOutcome> {
        let reach = listener.reach;
        if !self.listeners.iter().any(|other| other.reach == reach) {
            // Nobody has waited for that, or those who did were told.
            let done = match reach {
                Reach::Here => &self.done_here,
                Reach::Everywhere => match &self.beyond {
                    Some(beyond) => &beyond.done,
                    None => &None,
                },
            };
            if let Some(done) = done.as_ref().filter(|done| done.is_had()) {
                return Some(done.clone());
            }
            self.looks_here = true;
            if reach == Reach::Everywhere {
                let beyond = self.beyond.get_or_insert_default();
                (beyond.need, beyond.verdict) = (None, None);
            }
        }
        self.listeners.push(listener);
        None
    }

    /// A way has said what became of the push.
    pub(super) fn said(&mut self, number: u64, outcome: Outcome) {
        let at = usize::try_from(number).ok();
        if let Some(sent) = at.and_then(|at| self.sent.get_mut(at)) {
            sent.outcome = Some(outcome);
            self.has_news = true;
        }
    }

    /// Takes the ways that have not been tried yet, or not by what they lead to now. Whether others are left for them.
    pub(super) fn found(&mut self, ways: Ways, ack: bool) -> (Sends, bool) {
        let before = self.sent.len();
        let mut sends = Sends::new();
        for way in ways {
            let id = way.id();
            let is_known =
                |sent: &Sent| sent.way == id && !sent.outcome.as_ref().is_some_and(is_retired);
            if self.sent[..before].iter().any(is_known) {
                continue;
            }
            let number = self.sent.len() as u64;
            self.sent.push(Sent {
                way: id,
                outcome: None,
                moved: false,
                asked: false,
            });
            if let (Some(beyond), WayId::Elsewhere { .. }) = (&mut self.beyond, id) {
                beyond.ways.push(Arc::clone(&way));
            }
            sends.push((way, number));
        }
        let (mut follows, is_wide) = (false, self.beyond.is_some());
        if !sends.is_empty() {
            for sent in &mut self.sent[..before] {
                let moves = !sent.moved && left(sent, ack, is_wide);
                sent.moved |= moves;
                follows |= moves;
            }
        }
        (sends, follows)
    }

    /// This search has found ways: as [`Course::found`], if it is still of interest.
    pub(super) fn found_elsewhere(&mut self, search: u32, ways: Ways, ack: bool) -> (Sends, bool) {
        let has_landed = self.has_landed();
        match &mut self.beyond {
            Some(beyond) if beyond.is_open(search) && !has_landed => {
                beyond.found.extend(ways.iter().map(|way| way.id()));
                self.found(ways, ack)
            }
            _ => (Sends::new(), false),
        }
    }

    /// This search is over. It is given, to be dropped.
    pub(super) fn ended(&mut self, search: u32, verdict: Verdict) -> Option<Box<dyn Search>> {
        let beyond = self.beyond.as_mut()?;
        if !beyond.is_open(search) {
            return None;
        }
        beyond.verdict = Some(verdict);
        beyond.search.take()
    }

    /// This search is under way; `None`: there is nothing to be searched. What is not needed is given back.
    pub(super) fn began(
        &mut self,
        latest: u32,
        search: Option<Box<dyn Search>>,
    ) -> Option<Box<dyn Search>> {
        let Some(beyond) = self.beyond.as_mut().filter(|own| own.latest == latest) else {
            return search;
        };
        match search {
            None => beyond.verdict = Some(Verdict::Certain),
            Some(search) if beyond.verdict.is_none() => beyond.search = Some(search),
            over => return over,
        }
        None
    }

    /// The ways to other nodes that it was sent by.
    pub(super) fn ways_elsewhere(&self) -> Vec<Arc<dyn Way>> {
        let beyond = self.beyond.as_ref();
        beyond.map(|beyond| beyond.ways.clone()).unwrap_or_default()
    }

    /// What is to be done next. `own` waits for it beside the listeners.
    pub(super) fn next(&mut self, about: About<'_>, own: Option<Reach>) -> Next {
        let push = about.push;
        if self.looks_here || self.follows(push) {
            self.looks_here = false;
            return Next::LookHere;
        }
        let wants = |reach| {
            let mut reaches = self.listeners.iter().map(|own| own.reach).chain(own);
            reaches.any(|own| own == reach)
        };
        let (here, everywhere) = (wants(Reach::Here), wants(Reach::Everywhere));
        if here && let Some(outcome) = self.judge_here(push) {
            return Next::Tell(Reach::Here, outcome);
        }
        if everywhere {
            match self.judge_everywhere(push) {
                Judged::Open => {}
                Judged::Ended(outcome) => return Next::Tell(Reach::Everywhere, outcome),
                Judged::Lacks(need) => {
                    if let Some(next) = self.look(need) {
                        return next;
                    }
                }
            }
        }
        match self.over {
            Some(over) if here => Next::Tell(Reach::Here, self.overdue(about, over, Reach::Here)),
            Some(over) if everywhere => {
                let outcome = self.overdue(about, over, Reach::Everywhere);
                Next::Tell(Reach::Everywhere, outcome)
            }
            _ => Next::Rest,
        }
    }

    /// Whether ways have left, so that newer ones are to be looked for.
    fn follows(&mut self, push: &Push) -> bool {
        if !std::mem::take(&mut self.has_news) {
            return false;
        }
        let is_wide = self.beyond.is_some();
        let mut is_new = false;
        for sent in &mut self.sent {
            let leaves = !sent.moved && left(sent, push.ack, is_wide);
            is_new |= leaves && !(is_wide && std::mem::replace(&mut sent.asked, true));
        }
        let can = is_new && self.reroutes > 0;
        self.reroutes -= u32::from(can);
        if is_new && let Some(beyond) = &mut self.beyond {
            beyond.need = None;
            beyond.verdict = match can {
                true => None,
                false => Some(Verdict::Unknown(moves_too_often())),
            };
        }
        can
    }

    /// Begins another search, if the latest was not for as much.
    fn look(&mut self, need: Need) -> Option<Next> {
        let beyond = self.beyond.as_mut()?;
        beyond.need = Some(need);
        beyond.verdict = None;
        beyond.found.clear();
        beyond.latest = beyond.latest.wrapping_add(1);
        Some(Next::Look(need, beyond.latest, beyond.search.take()))
    }

    /// Those who want to know of this reach were told of it: they are given, to be told, and the search, if it is over.
    pub(super) fn told(
        &mut self,
        reach: Reach,
        outcome: &ReceiverOutcome,
    ) -> (Listeners, Option<Box<dyn Search>>) {
        let listeners = std::mem::take(&mut self.listeners);
        let (told, others) = listeners.into_iter().partition(|own| own.reach == reach);
        self.listeners = others;
        let done = Some(outcome.clone());
        match reach {
            Reach::Here => {
                self.done_here = done;
                (told, None)
            }
            Reach::Everywhere => {
                let search = self.beyond.as_mut().and_then(|beyond| {
                    beyond.done = done;
                    // What it still finds is of no interest.
                    beyond.latest = beyond.latest.wrapping_add(1);
                    beyond.search.take()
                });
                (told, search)
            }
        }
    }
}

impl Beyond {
    fn is_open(&self, search: u32) -> bool {
        self.latest == search && self.verdict.is_none()
    }
}

/// Whether a way has left; `is_wide`: or has lost its user, who may be found elsewhere.
fn left(sent: &Sent, ack: bool, is_wide: bool) -> bool {
    let has_left = |said: &Outcome| has_left(said, ack) || (is_wide && is_offline(said, ack));
    sent.outcome.as_ref().is_some_and(has_left)
}

fn moves_too_often() -> Fault {
    Fault::gateway("push.moves").detail("the user moved from link to link meanwhile")
}
