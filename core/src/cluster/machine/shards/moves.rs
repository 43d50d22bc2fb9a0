//! What is taken to the shards, and when.

use super::State;
use crate::cluster::machine::event::{Action, Note, Tag, Time};
use crate::cluster::machine::{Machine, Settings};
use crate::edges::directory::{Incarnation, Life, Operation, Shard};

impl Machine {
    /// Has the life of a shard read, by a question that is asked from now on.
    pub(in crate::cluster::machine) fn ask_life(&mut self, shard: Shard) {
        let action = self.shards.at(shard).and_then(|state| state.ask(shard));
        self.out.extend(action);
    }

    /// The answer to the question for a shard's life.
    pub(in crate::cluster::machine) fn life_is(&mut self, shard: Shard, life: Option<Life>) {
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
    pub(in crate::cluster::machine) fn move_shards(&mut self) {
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
    pub(super) fn notice_behind(&mut self, shard: Shard) {
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

    pub(super) fn move_shard(&mut self, shard: Shard) {
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
    pub(super) fn is_listed_elsewhere(&mut self, shard: Shard) -> bool {
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

    pub(super) fn claim_all(&mut self, shard: Shard, life: Life, own: Incarnation) {
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
    pub(super) fn audit(&mut self, shard: Shard, life: Life) {
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
    pub(super) fn serve_unclaimed(&mut self) {
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
    pub(super) fn may_be_thought_complete(&mut self, shard: Shard) -> bool {
        let is_listed_elsewhere = self.is_listed_elsewhere(shard);
        let (members, settings, now) = (&self.members, &self.settings, self.now);
        let state = self.shards.shards.get(usize::from(shard.0));
        let mut listed = state.into_iter().flat_map(|state| &state.listed);
        is_listed_elsewhere || listed.any(|life| members.may_be_listed(*life, settings, now))
    }

    pub(in crate::cluster::machine) fn shards_timer(&self) -> Option<Time> {
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
