//! The shards of the directory: in which lives they are, and whether all links of this node stand in them.
//!
//! A shard in a new life has lost what it had, for all that is known. So this node first has it taken from the registry
//! that its links stand there, then claims them all, and has it written there again once they stand and the life is still
//! the same.

mod moves;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::Settings;
use super::event::{Action, Failed, Time};
use super::links::Links;
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
