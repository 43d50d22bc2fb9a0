//! The shards of the directory: in which lives they are, and whether all links of this node stand in them.
//!
//! A shard in a new life has lost what it had, for all that is known. So this node first has it taken from the registry
//! that its links stand there, then claims them all, and has it written there again once they stand and the life is still
//! the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::event::{Action, Failed, Note, Tag, Time};
use super::links::Links;
use super::{Machine, Settings};
use crate::edges::directory::{Incarnation, Life, Operation, Shard, User};

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Shards {
    shards: Vec<State>,
    /// Lives of shards that are not any more, as long as they may be listed.
    former: BTreeSet<Life>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    /// The life in which it answers.
    life: Option<Life>,
    /// Counts the times its life was asked for.
    asked: u64,
    is_asked: bool,
    /// It is to be asked once more.
    again: bool,
    /// The last answer, and to which question.
    answered: (u64, Option<Life>),
    failures: u32,
    /// When to ask again after a failure.
    retry_at: Time,
    /// The life in which all links stand.
    asserted: Option<Life>,
    /// The life for which links were last queued.
    queued_for: Option<Life>,
    /// The life is asked for once more, as all links stand in it now. By which question.
    checking: Option<u64>,
    /// Lives that may be listed.
    listed: BTreeSet<Life>,
    /// Links without a claim.
    new: BTreeSet<u64>,
    /// Links whose claims are to be confirmed.
    old: BTreeSet<u64>,
    /// New links that are not served yet.
    unserved: BTreeSet<u64>,
    /// It was told that all links stand.
    is_told: bool,
    in_flight: BTreeMap<(u64, Incarnation), User>,
    /// As many claims are confirmed at once.
    window: Window,
    errands: VecDeque<Operation>,
    audit_at: Time,
    /// The link that was looked at last.
    audited: u64,
}

/// How many claims are confirmed at once: more as long as the shard is quick.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Window {
    size: usize,
    /// Answers until it may shrink again.
    rest: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { size: 64, rest: 0 }
    }
}

impl Window {
    const LEAST: usize = 8;
    const MOST: usize = 2048;
    /// A shard that takes longer is busy.
    const QUICK: Duration = Duration::from_millis(20);

    fn took(&mut self, took: Duration) {
        self.rest = self.rest.saturating_sub(1);
        if took <= Self::QUICK {
            self.size = (self.size + 1).min(Self::MOST);
        } else if self.rest == 0 {
            self.size = (self.size * 7 / 10).max(Self::LEAST);
            self.rest = self.size;
        }
    }
}

impl State {
    /// Claims of new links under way at once.
    const MOST_NEW: usize = 4096;

    /// Something failed, and nothing has answered since.
    fn is_failing(&self) -> bool {
        self.failures > 0
    }

    fn ask(&mut self, shard: Shard) -> Option<Action> {
        if self.is_asked {
            self.again = true;
            return None;
        }
        self.is_asked = true;
        self.asked += 1;
        Some(Action::ReadLife(shard))
    }

    fn fails(&mut self, failed: Failed, now: Time) {
        self.life = None;
        self.checking = None;
        match failed {
            Failed::OtherLife => self.retry_at = now,
            Failed::Unknown => self.is_silent(now),
        }
    }

    fn is_silent(&mut self, now: Time) {
        let pause = Settings::RETRY * (1 << self.failures.min(4));
        self.failures += 1;
        self.retry_at = now + pause;
    }

    /// All links are to be claimed in this life.
    fn queue(&mut self, shard: Shard, links: &Links) {
        self.asserted = None;
        self.checking = None;
        self.queued_for = self.life;
        for (id, link) in links.of(shard) {
            match link.epoch {
                Some(_) => self.old.insert(id),
                None => self.new.insert(id),
            };
            if !link.is_served {
                self.unserved.insert(id);
            }
        }
    }

    fn is_at_rest(&self) -> bool {
        self.new.is_empty() && self.old.is_empty() && self.in_flight.is_empty()
    }
}

impl Shards {
    /// Errands of a shard that wait for it. Whoever finds what they would have mended does so.
    const MOST_ERRANDS: usize = 100_000;

    fn at(&mut self, shard: Shard) -> Option<&mut State> {
        self.shards.get_mut(usize::from(shard.0))
    }

    /// The lives in which all links of this node stand.
    pub(super) fn listed(&self) -> BTreeSet<Life> {
        self.shards
            .iter()
            .filter_map(|state| state.asserted)
            .collect()
    }

    /// There are so many, and links stand elsewhere in them.
    pub(super) fn spread(&mut self, shards: u16, links: &Links) {
        for state in &mut self.shards {
            self.former.append(&mut state.listed);
        }
        self.shards = vec![State::default(); usize::from(shards)];
        for number in 0..shards {
            let shard = Shard(number);
            if let Some(state) = self.at(shard) {
                state.queue(shard, links);
            }
        }
    }

    /// The node begins a life: nothing is claimed or listed in it.
    pub(super) fn begin(&mut self, links: &Links) {
        self.former.clear();
        for (number, state) in (0..).zip(&mut self.shards) {
            state.listed.clear();
            state.queue(Shard(number), links);
        }
    }

    /// A link has come.
    pub(super) fn enter(&mut self, shard: Shard, id: u64) {
        if let Some(state) = self.at(shard) {
            state.new.insert(id);
            state.unserved.insert(id);
        }
    }

    /// A link is served from now on.
    pub(super) fn is_served(&mut self, shard: Shard, id: u64) {
        if let Some(state) = self.at(shard) {
            state.unserved.remove(&id);
        }
    }

    /// A claim has to be entered once more, or confirmed.
    pub(super) fn enter_again(&mut self, shard: Shard, id: u64, is_claimed: bool) {
        let Some(state) = self.at(shard) else {
            return;
        };
        match is_claimed {
            true => state.old.insert(id),
            false => state.new.insert(id),
        };
    }

    /// A link needs no claim any more.
    pub(super) fn forget(&mut self, shard: Shard, id: u64) {
        if let Some(state) = self.at(shard) {
            state.new.remove(&id);
            state.old.remove(&id);
            state.unserved.remove(&id);
        }
    }

    /// Whether the claim of a link is to be entered or confirmed.
    pub(super) fn is_waiting(&self, shard: Shard, id: u64) -> bool {
        let Some(state) = self.shards.get(usize::from(shard.0)) else {
            return true;
        };
        let mut in_flight = state.in_flight.keys();
        state.new.contains(&id) || state.old.contains(&id) || in_flight.any(|(link, _)| *link == id)
    }

    /// An operation that nobody waits for; one too many is dropped.
    pub(super) fn errand(&mut self, shard: Shard, operation: Operation) {
        if let Some(state) = self.at(shard)
            && state.errands.len() < Self::MOST_ERRANDS
        {
            state.errands.push_back(operation);
        }
    }

    /// A claim has been answered; gives the user if it was under way.
    pub(super) fn landed(
        &mut self,
        shard: Shard,
        claim: (u64, Incarnation),
        took: Duration,
    ) -> Option<User> {
        let state = self.at(shard)?;
        state.window.took(took);
        state.in_flight.remove(&claim)
    }

    pub(super) fn fails(&mut self, shard: Shard, failed: Failed, now: Time) {
        if let Some(state) = self.at(shard) {
            state.fails(failed, now);
        }
    }

    pub(super) fn answers(&mut self, shard: Shard) {
        if let Some(state) = self.at(shard) {
            state.failures = 0;
        }
    }

    /// What should stand in a shard does not.
    pub(super) fn doubt(&mut self, shard: Shard, links: &Links) {
        if let Some(state) = self.at(shard) {
            state.queue(shard, links);
        }
    }

    /// The life in which a shard answers.
    pub(super) fn life(&self, shard: Shard) -> Option<Life> {
        self.shards.get(usize::from(shard.0))?.life
    }

    /// Those of all shards.
    pub(super) fn lives(&self) -> Vec<Option<Life>> {
        self.shards.iter().map(|state| state.life).collect()
    }

    /// Whether the life of a shard is asked for.
    pub(super) fn is_asked(&self, shard: Shard) -> bool {
        let state = self.shards.get(usize::from(shard.0));
        state.is_some_and(|state| state.is_asked)
    }

    /// The number of the question whose answer says in which life a shard is from now on.
    pub(super) fn next_question(&self, shard: Shard) -> u64 {
        let state = self.shards.get(usize::from(shard.0));
        state.map_or(0, |state| state.asked + 1)
    }

    /// The life that a shard was in when this question was asked, or a later one; `None` until that is answered.
    pub(super) fn answer(&self, shard: Shard, question: u64) -> Option<Option<Life>> {
        let (answered, life) = self.shards.get(usize::from(shard.0))?.answered;
        (answered >= question).then_some(life)
    }
}

impl Machine {
    /// Has the life of a shard read, by a question that is asked from now on.
    pub(super) fn ask_life(&mut self, shard: Shard) {
        let action = self.shards.at(shard).and_then(|state| state.ask(shard));
        self.out.extend(action);
    }

    /// The answer to the question for a shard's life.
    pub(super) fn life_is(&mut self, shard: Shard, life: Option<Life>) {
        let now = self.now;
        let Some(state) = self.shards.at(shard).filter(|state| state.is_asked) else {
            return;
        };
        self.lookups.stir();
        state.is_asked = false;
        state.answered = (state.asked, life);
        let is_check = state
            .checking
            .take_if(|question| *question <= state.asked)
            .is_some();
        let Some(life) = life else {
            state.life = None;
            state.is_silent(now);
            return;
        };
        state.failures = 0;
        let is_other = state.queued_for != Some(life);
        state.life = Some(life);
        if is_other {
            state.queue(shard, &self.links);
            self.look_for_all();
        } else if is_check && state.is_at_rest() {
            state.asserted = Some(life);
            state.listed.insert(life);
            state.is_told = true;
            state.audit_at = now + Settings::AUDIT;
            self.note(Note::Asserted(shard, life));
        }
        if let Some(state) = self.shards.at(shard)
            && std::mem::take(&mut state.again)
        {
            self.ask_life(shard);
        }
    }

    /// Takes to the shards what can go there now.
    pub(super) fn move_shards(&mut self) {
        while let Some((id, shard)) = self.links.due(self.now) {
            if let Some(state) = self.shards.at(shard) {
                state.old.insert(id);
            }
        }
        let is_alive = self.members.own().is_some();
        for number in 0..self.shards.shards.len() {
            let shard = Shard(u16::try_from(number).unwrap_or(u16::MAX));
            if is_alive {
                self.notice_behind(shard);
                self.move_shard(shard);
            }
        }
        if is_alive {
            self.register();
            self.serve_unclaimed();
        }
    }

    /// Links that cannot be claimed now are missing: what is listed of this shard has to go.
    fn notice_behind(&mut self, shard: Shard) {
        let Some(state) = self.shards.at(shard) else {
            return;
        };
        let is_missing = state.is_failing() && !state.new.is_empty();
        if is_missing || state.queued_for != state.asserted {
            state.asserted = None;
        }
        if state.asserted.is_none() && std::mem::take(&mut state.is_told) {
            self.note(Note::Behind(shard));
        }
    }

    fn move_shard(&mut self, shard: Shard) {
        let (Some(own), now) = (self.members.own(), self.now) else {
            return;
        };
        let may_claim = self.members.may_claim() && !self.is_listed_elsewhere(shard);
        let Some(state) = self.shards.at(shard) else {
            return;
        };
        let Some(life) = state.life else {
            if !state.is_asked && now >= state.retry_at {
                self.ask_life(shard);
            }
            return;
        };
        let errands = std::mem::take(&mut state.errands);
        let errands = errands.into_iter();
        let run = |operation| Action::Run(shard, life, operation, Tag::Nobody);
        self.out.extend(errands.map(run));
        if may_claim {
            self.claim_all(shard, life, own);
        }
        let Some(state) = self.shards.at(shard) else {
            return;
        };
        if state.asserted.is_none() && state.is_at_rest() && state.checking.is_none() && may_claim {
            state.checking = Some(state.asked + 1);
            self.ask_life(shard);
        } else if state.asserted.is_some() && now >= state.audit_at {
            self.audit(shard, life);
        }
    }

    /// Whether others may read that this node's links stand in another life of a shard than the one it is in.
    fn is_listed_elsewhere(&mut self, shard: Shard) -> bool {
        let (members, settings, now) = (&self.members, &self.settings, self.now);
        let is_listed = |life: &Life| members.may_be_listed(*life, settings, now);
        self.shards.former.retain(is_listed);
        let is_former = !self.shards.former.is_empty();
        let Some(state) = self.shards.at(shard) else {
            return is_former;
        };
        let asserted = state.asserted;
        state
            .listed
            .retain(|life| Some(*life) == asserted || is_listed(life));
        is_former || state.listed.iter().any(|life| Some(*life) != state.life)
    }

    fn claim_all(&mut self, shard: Shard, life: Life, own: Incarnation) {
        let raise = match self.members.is_complete(life) {
            true => 1,
            false => Settings::JUMP,
        };
        loop {
            let Some(state) = self.shards.at(shard) else {
                return;
            };
            let in_flight = state.in_flight.len();
            let next = match state.new.first() {
                Some(id) if in_flight < State::MOST_NEW => Some(*id),
                _ => state
                    .old
                    .first()
                    .filter(|_| in_flight < state.window.size)
                    .copied(),
            };
            let Some(id) = next else {
                return;
            };
            state.new.remove(&id);
            state.old.remove(&id);
            let Some(claim) = self.claim(id, own, raise) else {
                continue;
            };
            let Operation::Claim(of) = &claim else {
                continue;
            };
            let user = of.user.clone();
            if let Some(state) = self.shards.at(shard) {
                state.in_flight.insert((id, own), user);
            }
            self.act(Action::Run(shard, life, claim, Tag::Claim(id, own)));
        }
    }

    /// Looks whether a claim still stands, and whether the shard is still in the same life.
    fn audit(&mut self, shard: Shard, life: Life) {
        let at = self.now + Settings::AUDIT;
        let Some(state) = self.shards.at(shard) else {
            return;
        };
        state.audit_at = at;
        let last = state.audited;
        self.ask_life(shard);
        if let Some(id) = self.links.after(last, shard)
            && let Some(link) = self.links.get(id)
        {
            let find = Operation::Find(link.user.clone());
            if let Some(state) = self.shards.at(shard) {
                state.audited = id;
            }
            self.act(Action::Run(shard, life, find, Tag::Audit(id)));
        }
    }

    /// Serves the links whose claims have to wait, once nobody can read that they stand; or refuses them.
    fn serve_unclaimed(&mut self) {
        for number in 0..self.shards.shards.len() {
            let shard = Shard(u16::try_from(number).unwrap_or(u16::MAX));
            let Some(state) = self.shards.at(shard).filter(|state| state.is_failing()) else {
                continue;
            };
            if state.unserved.is_empty() {
                continue;
            }
            let waiting: Vec<u64> = state.unserved.iter().copied().collect();
            if !self.settings.admits {
                for id in waiting {
                    self.refuse(id);
                }
            } else if !self.may_be_thought_complete(shard) {
                for id in waiting {
                    self.serve(id);
                }
            }
        }
    }

    /// Whether others may read that all of this node's links stand in a shard, in whatever life.
    fn may_be_thought_complete(&mut self, shard: Shard) -> bool {
        let is_listed_elsewhere = self.is_listed_elsewhere(shard);
        let (members, settings, now) = (&self.members, &self.settings, self.now);
        let state = self.shards.shards.get(usize::from(shard.0));
        let mut listed = state.into_iter().flat_map(|state| &state.listed);
        is_listed_elsewhere || listed.any(|life| members.may_be_listed(*life, settings, now))
    }

    pub(super) fn shards_timer(&self) -> Option<Time> {
        self.members.own()?;
        let state = |state: &State| match state.life {
            None => (!state.is_asked).then_some(state.retry_at),
            Some(_) => state.asserted.map(|_| state.audit_at),
        };
        let timers = self.shards.shards.iter().filter_map(state);
        let is_waiting = |state: &State| !state.new.is_empty() || state.asserted.is_none();
        let waits = self.shards.shards.iter().any(is_waiting);
        let lease = self.members.lease_is_over_at(&self.settings);
        let lease = lease.filter(|at| waits && *at > self.now);
        timers.chain(lease).chain(self.links.next_touch()).min()
    }
}
