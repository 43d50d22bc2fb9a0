//! Who lives: the view of the registry, this node's own life, and those that others have lost sight of.

mod others;
mod own;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::event::{Action, FromPeer, FromRegistry, Note, Time};
use super::{Machine, Settings};
use crate::cluster::registry::{Mark, View};
use crate::edges::directory::{Incarnation, Life};

/// What is known of the nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Members {
    own: Own,
    view: Option<Arc<View>>,
    /// The registry answers.
    answers: bool,
    /// Nodes that answer at their addresses.
    reached: BTreeSet<Incarnation>,
    suspects: BTreeMap<Incarnation, Suspect>,
    /// Nodes whose links are missing in the directory, since when, and whether that was told.
    lagging: BTreeMap<Incarnation, (Time, bool)>,
    /// Lives that are over, and since when this node knows it. As many as are kept: see `MOST_ENDED`.
    ended: BTreeMap<Incarnation, Time>,
    /// This node has not run for a while, and nobody has said since that it still lives.
    doubt: Option<Doubt>,
    registration: Registration,
    newest: Newest,
    /// Another process has this node's id, and may be dead.
    rival: Option<Rival>,
    /// Numbers questions to the registry.
    reads: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Own {
    Begins,
    Lives(Incarnation),
    /// Another process lives under this node's id.
    Taken,
}

/// A node that is not registered and does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Suspect {
    since: Time,
    next: Time,
    is_told: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Doubt {
    /// The question whose answer ends it.
    asked: u64,
    next: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Rival {
    life: Incarnation,
    since: Time,
}

/// What this node has had written of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Registration {
    /// What may stand there: the first is the last that was confirmed, the others have been asked for since.
    asked: Vec<(u64, BTreeSet<Life>)>,
    number: u64,
    /// When the lease was last asked for, of those that were granted.
    kept: Option<Time>,
}

/// How far the registry was written, asked of a majority, one question at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Newest {
    asked: u64,
    is_open: bool,
    /// Another one is to follow.
    again: bool,
    /// The last answer, and of which question.
    answered: u64,
    said: Option<Mark>,
}

/// How it stands with a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is this node's own.
    Own,
    /// It has begun and not ended.
    Lives,
    /// It has begun after what this node has seen of the registry.
    Newer,
    /// It is over.
    Ended,
}

/// What the registry says of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fresh {
    /// Nothing yet.
    Open,
    /// The view had missed nothing.
    Yes,
    /// The view is behind.
    Behind,
    /// The registry did not answer.
    Unknown,
}

impl Members {
    /// Lives that are remembered as ended. Those of a view are ended once they are not in it, remembered or not.
    const MOST_ENDED: usize = 10_000;

    pub(super) fn new() -> Self {
        Self {
            own: Own::Begins,
            view: None,
            answers: true,
            reached: BTreeSet::new(),
            suspects: BTreeMap::new(),
            lagging: BTreeMap::new(),
            ended: BTreeMap::new(),
            doubt: None,
            registration: Registration::default(),
            newest: Newest::default(),
            rival: None,
            reads: 0,
        }
    }

    /// This node's life; `None` while it has none.
    pub(super) fn own(&self) -> Option<Incarnation> {
        match self.own {
            Own::Lives(own) => Some(own),
            Own::Begins | Own::Taken => None,
        }
    }

    /// What was last asked to be registered.
    #[cfg(test)]
    pub(super) fn last_asked(&self) -> Option<(u64, Incarnation, BTreeSet<Life>)> {
        let (number, lives) = self.registration.asked.last()?;
        Some((*number, self.own()?, lives.clone()))
    }

    /// Whether this node may claim.
    pub(super) fn may_claim(&self) -> bool {
        self.own().is_some() && self.doubt.is_none()
    }

    pub(super) fn standing(&self, life: Incarnation) -> Standing {
        if self.own() == Some(life) {
            return Standing::Own;
        }
        if self.ended.contains_key(&life) {
            return Standing::Ended;
        }
        match &self.view {
            None => Standing::Newer,
            Some(view) if view.boots.contains_key(&life) => Standing::Lives,
            Some(view)
                if view.mark.registry == life.registry && view.mark.boots < life.revision =>
            {
                Standing::Newer
            }
            // The registry may have been restored since it was last heard.
            Some(view) if view.mark.registry != life.registry && !self.answers => Standing::Newer,
            Some(_) => Standing::Ended,
        }
    }

    /// Whether every node has all of its links in a shard in this life, as far as it is known.
    pub(super) fn is_complete(&self, life: Life) -> bool {
        self.view.is_some() && self.behind(life).next().is_none()
    }

    /// The lives of other nodes that do not have all of their links in a shard in this life.
    pub(super) fn behind(&self, life: Life) -> impl Iterator<Item = Incarnation> {
        let view = self.view.as_deref();
        let boots = view.into_iter().flat_map(move |view| {
            view.boots.iter().filter(move |(incarnation, boot)| {
                let record = view.nodes.get(&boot.node);
                !record.is_some_and(|record| {
                    record.incarnation == Some(**incarnation) && record.lives.contains(&life)
                })
            })
        });
        boots
            .map(|(incarnation, _)| *incarnation)
            .filter(|life| self.own() != Some(*life) && !self.ended.contains_key(life))
    }

    /// Whether others may read that all of this node's links stand in this life of a shard.
    pub(super) fn may_be_listed(&self, life: Life, settings: &Settings, now: Time) -> bool {
        let asked = self.registration.asked.iter();
        let last = self.registration.asked.last();
        let is_wanted = last.is_some_and(|(_, lives)| lives.contains(&life));
        let mut asked = asked.map(|(_, lives)| lives);
        // A lease that is over takes with it what stood, but not what is still to be written.
        let is_over = self
            .registration
            .kept
            .is_some_and(|kept| now >= kept + settings.lease_is_over_after());
        is_wanted || !is_over && asked.any(|lives| lives.contains(&life))
    }

    /// When the lease is over by this node's own clock.
    pub(super) fn lease_is_over_at(&self, settings: &Settings) -> Option<Time> {
        Some(self.registration.kept? + settings.lease_is_over_after())
    }

    /// The number of the question whose answer says what was newest at this moment or later.
    pub(super) fn next_newest(&self) -> u64 {
        self.newest.asked + 1
    }

    /// Whether the view had missed nothing when this question was asked, or a later one.
    pub(super) fn is_fresh(&self, question: u64) -> Fresh {
        if self.newest.answered < question {
            return Fresh::Open;
        }
        let (Some(newest), Some(view)) = (self.newest.said, &self.view) else {
            return Fresh::Unknown;
        };
        match view.mark.covers(&newest) {
            true => Fresh::Yes,
            false => Fresh::Behind,
        }
    }

    /// Since when a life is known to be over.
    pub(super) fn ended_at(&mut self, life: Incarnation, now: Time) -> Time {
        if self.ended.len() >= Self::MOST_ENDED
            && !self.ended.contains_key(&life)
            && let Some((&oldest, _)) = self.ended.iter().min_by_key(|(_, at)| **at)
        {
            self.ended.remove(&oldest);
        }
        *self.ended.entry(life).or_insert(now)
    }
}

impl Machine {
    pub(super) fn registry_says(&mut self, event: FromRegistry) {
        match event {
            FromRegistry::View(view) => {
                self.members.answers = true;
                self.sees(&view);
            }
            FromRegistry::Answers => {
                if !std::mem::replace(&mut self.members.answers, true) {
                    self.suspect();
                }
            }
            FromRegistry::Silent => {
                // While it is silent nobody can be seen to be registered.
                self.members.answers = false;
                self.members.suspects.clear();
            }
            FromRegistry::Booted(life) => self.begins(life),
            FromRegistry::Taken(life) => self.meets_rival(life),
            FromRegistry::Stands(number) => {
                let asked = &mut self.members.registration.asked;
                if asked.iter().any(|(asked, _)| *asked == number) {
                    asked.retain(|(asked, _)| *asked >= number);
                }
            }
            FromRegistry::KeptAlive(asked) => {
                let kept = &mut self.members.registration.kept;
                *kept = (*kept).max(Some(asked));
            }
            FromRegistry::Ended(life) => {
                if self.members.own() == Some(life) {
                    self.is_reborn();
                }
            }
            FromRegistry::Newest(number, said) => self.newest_is(number, said),
            FromRegistry::Read(number, view) => {
                let is_awaited = |doubt: &Doubt| doubt.asked == number;
                if let Some(view) = view {
                    self.sees(&view);
                    if self.members.doubt.as_ref().is_some_and(is_awaited) {
                        self.members.doubt = None;
                        self.note(Note::Confirmed);
                    }
                }
            }
        }
    }

    /// What another node says of lives. The rest of what it says is for others.
    pub(super) fn peer_says(&mut self, event: FromPeer) {
        match event {
            FromPeer::Answers(life) => {
                self.members.reached.insert(life);
                self.members.suspects.remove(&life);
            }
            FromPeer::Silent(life) => {
                self.members.reached.remove(&life);
                self.suspect();
                self.forget_asked(life);
            }
            FromPeer::Ended(lives) => {
                for life in lives {
                    if self.members.own() == Some(life) {
                        self.is_reborn();
                    } else {
                        self.is_over(life);
                    }
                }
            }
            FromPeer::Fence(from, user, claim) => self.is_fenced(from, &user, claim),
            FromPeer::Fenced(claim) => self.fence_is_confirmed(claim),
            FromPeer::Ask(from, number, user) => {
                if let Some(own) = self.members.own() {
                    let claims = self.links.claims(&user, own);
                    self.act(Action::Tell(from, number, claims));
                }
            }
            FromPeer::Told(from, number, claims) => self.is_told(from, number, claims),
            FromPeer::NotHere(user, shard, claim) => self.was_not_here(user, shard, claim),
        }
    }

    /// Takes in a view.
    fn sees(&mut self, view: &Arc<View>) {
        let before = self.members.view.replace(Arc::clone(view));
        if let Some(before) = before {
            if before.mark.registry == view.mark.registry && !view.mark.covers(&before.mark) {
                self.members.view = Some(before);
                return;
            }
            if before.mark.registry != view.mark.registry {
                // By the former registry they were over.
                let ended = &mut self.members.ended;
                ended.retain(|life, _| !view.boots.contains_key(life));
            }
            for life in before.boots.keys() {
                if !view.boots.contains_key(life) {
                    self.is_over(*life);
                }
            }
            let lives = |view: &View| {
                let nodes = view.nodes.values();
                let lives = nodes.map(|node| (node.incarnation, node.lives.clone()));
                lives.collect::<Vec<_>>()
            };
            if before.boots != view.boots || lives(&before) != lives(view) {
                self.look_for_all();
            }
        }
        if let Some(own) = self.members.own() {
            let mark = view.mark;
            let has_ended = mark.registry != own.registry || mark.boots >= own.revision;
            if has_ended && !view.boots.contains_key(&own) {
                let node = &self.settings.node;
                let mut boots = view.boots.values().filter(|boot| boot.node == *node);
                match boots.any(|boot| boot.instance != self.settings.instance) {
                    true => self.is_taken(),
                    false => self.is_reborn(),
                }
            }
        }
        self.suspect();
        self.sees_lagging();
        self.lookups.stir();
    }

    /// A life of another node is over.
    fn is_over(&mut self, life: Incarnation) {
        if self.members.own() == Some(life) || self.members.ended.contains_key(&life) {
            return;
        }
        self.members.ended_at(life, self.now);
        self.members.reached.remove(&life);
        self.members.suspects.remove(&life);
        self.note(Note::Ended(life));
        self.act(Action::TellEnded(vec![life]));
        self.forget_asked(life);
    }

    pub(super) fn members_timer(&self) -> Option<Time> {
        let doubt = self.members.doubt.iter().map(|doubt| doubt.next);
        let suspects = self.members.suspects.values().map(|suspect| suspect.next);
        let rival = self.members.rival.iter();
        let rival = rival.map(|rival| rival.since + self.settings.lease + Duration::from_secs(2));
        let lagging = self.members.lagging.values();
        let lagging = lagging.filter(|(_, is_told)| !is_told);
        let lagging = lagging.map(|(since, _)| *since + Settings::LAG);
        doubt.chain(suspects).chain(rival).chain(lagging).min()
    }
}
