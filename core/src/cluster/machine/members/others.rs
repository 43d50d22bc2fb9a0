//! The other nodes: who is not registered and does not answer, whose links are missing, and whether the view of them is fresh.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Suspect;
use crate::cluster::machine::event::{Action, Note};
use crate::cluster::machine::{Machine, Settings};
use crate::cluster::registry::Mark;
use crate::edges::directory::Incarnation;

impl Machine {
    /// Sees who is neither registered nor to be reached.
    pub(super) fn suspect(&mut self) {
        if !self.members.answers {
            return;
        }
        let Some(view) = self.members.view.clone() else {
            return;
        };
        let members = &mut self.members;
        members
            .suspects
            .retain(|life, _| view.boots.contains_key(life));
        for (life, boot) in &view.boots {
            let record = view.nodes.get(&boot.node);
            let is_registered = record.is_some_and(|record| record.incarnation == Some(*life));
            let is_seen = is_registered || members.reached.contains(life);
            if is_seen || members.own() == Some(*life) || members.ended.contains_key(life) {
                members.suspects.remove(life);
            } else if !members.suspects.contains_key(life) {
                let suspect = Suspect {
                    since: self.now,
                    next: self.now,
                    is_told: false,
                };
                members.suspects.insert(*life, suspect);
            }
        }
    }

    /// Probes those who are suspected, and ends their lives when they have been silent for long enough.
    pub(in crate::cluster::machine) fn watch_members(&mut self) {
        self.watch_rival();
        self.watch_lagging();
        if self
            .members
            .doubt
            .as_ref()
            .is_some_and(|doubt| doubt.next <= self.now)
        {
            self.ask_whether_it_lives();
        }
        let now = self.now;
        let (suspect_for, every) = (self.settings.suspect_for, self.settings.suspect_for / 6);
        let Some(view) = &self.members.view else {
            return;
        };
        for (life, suspect) in &mut self.members.suspects {
            if suspect.next > now {
                continue;
            }
            // One that has just begun registers in a moment.
            if !suspect.is_told && now >= suspect.since + every / 2 {
                suspect.is_told = true;
                self.out.push(Action::Note(Note::Suspected(*life)));
            }
            suspect.next = (now + every).min((suspect.since + suspect_for).max(now + every / 5));
            let boot = view.boots.get(life);
            match boot.filter(|_| now >= suspect.since + suspect_for) {
                Some(boot) => self.out.push(Action::End(Arc::clone(&boot.node), *life)),
                None => self.out.push(Action::Probe(*life)),
            }
        }
    }

    /// Sees who has links missing where this node has all of its own.
    pub(in crate::cluster::machine) fn sees_lagging(&mut self) {
        let lives = self.shards.listed();
        let behind: BTreeSet<Incarnation> = lives
            .iter()
            .flat_map(|life| self.members.behind(*life))
            .collect();
        let lagging = &mut self.members.lagging;
        lagging.retain(|life, _| behind.contains(life));
        for life in behind {
            lagging.entry(life).or_insert((self.now, false));
        }
    }

    pub(super) fn watch_lagging(&mut self) {
        for (life, (since, is_told)) in &mut self.members.lagging {
            if !*is_told && self.now >= *since + Settings::LAG {
                *is_told = true;
                self.out.push(Action::Note(Note::Lags(*life)));
            }
        }
    }

    /// Has the newest revision asked for, by a question that is asked from now on.
    pub(in crate::cluster::machine) fn ask_newest(&mut self) {
        let newest = &mut self.members.newest;
        if newest.is_open {
            newest.again = true;
            return;
        }
        newest.is_open = true;
        newest.asked += 1;
        let number = newest.asked;
        self.act(Action::AskNewest(number));
    }

    pub(super) fn newest_is(&mut self, number: u64, said: Option<Mark>) {
        let newest = &mut self.members.newest;
        if !newest.is_open || number <= newest.answered {
            return;
        }
        newest.is_open = false;
        newest.answered = number;
        newest.said = said;
        self.lookups.stir();
        let newest = &mut self.members.newest;
        if std::mem::take(&mut newest.again) {
            self.ask_newest();
        }
    }
}
