//! This node's own life: it begins, it is registered, it is over and begins anew, or another process has its id.

use std::time::Duration;

use super::{Doubt, Own, Registration, Rival};
use crate::cluster::machine::event::{Action, Note, Time};
use crate::cluster::machine::{Machine, Settings};
use crate::edges::directory::Incarnation;

impl Machine {
    /// A life of this node has begun: nothing of it is registered, and no link is claimed in it.
    pub(super) fn begins(&mut self, life: Incarnation) {
        if self.members.own() == Some(life) {
            return;
        }
        self.members.own = Own::Lives(life);
        self.members.doubt = None;
        let number = self.members.registration.number;
        self.members.registration = Registration {
            number,
            ..Registration::default()
        };
        self.shards.begin(&self.links);
        self.suspect();
        self.register();
    }

    /// This node's life is over. It begins another one, in which its links stand as they did.
    pub(super) fn is_reborn(&mut self) {
        if let Some(own) = self.members.own() {
            self.members.own = Own::Begins;
            self.note(Note::Reborn(own));
            self.act(Action::Boot(None));
        }
    }

    /// Another process has this node's id. Before this one has lived, it may take the place of a dead one.
    pub(super) fn meets_rival(&mut self, life: Incarnation) {
        match self.members.registration.number {
            0 => {
                self.members.rival = Some(Rival {
                    life,
                    since: self.now,
                });
            }
            _ => self.is_taken(),
        }
    }

    /// Takes the place of a process that is not registered any more, or that had the very address that this one has now. One
    /// whose registration outlasts its lease lives.
    pub(super) fn watch_rival(&mut self) {
        let (Some(rival), Some(view)) = (&self.members.rival, &self.members.view) else {
            return;
        };
        let record = view.nodes.get(&self.settings.node);
        let record = record.filter(|record| record.incarnation == Some(rival.life));
        let is_dead = record.is_none_or(|record| record.peer == *self.settings.peer);
        let is_over = self.now >= rival.since + self.settings.lease + Duration::from_secs(2);
        let life = rival.life;
        if is_dead {
            self.members.rival = None;
            self.act(Action::Boot(Some(life)));
        } else if is_over {
            self.members.rival = None;
            self.is_taken();
        }
    }

    pub(super) fn is_taken(&mut self) {
        if self.members.own != Own::Taken {
            self.members.own = Own::Taken;
            self.act(Action::LetGo);
        }
    }

    /// Has what is to stand in the registry written there, if it is not what was last asked for.
    pub(in crate::cluster::machine) fn register(&mut self) {
        let Some(own) = self.members.own() else {
            return;
        };
        let lives = self.shards.listed();
        let registration = &mut self.members.registration;
        if registration
            .asked
            .last()
            .is_none_or(|(_, last)| *last != lives)
        {
            registration.number += 1;
            let number = registration.number;
            registration.asked.push((number, lives.clone()));
            self.act(Action::Register(number, own, lives));
        }
    }

    /// So long has passed since anything was done.
    pub(in crate::cluster::machine) fn has_run(&mut self, before: Time) {
        let pause = self.now.saturating_sub(before);
        if pause < self.settings.pause() || self.members.own().is_none() {
            return;
        }
        self.note(Note::Paused(pause));
        self.members.suspects.clear();
        self.suspect();
        self.ask_whether_it_lives();
    }

    pub(super) fn ask_whether_it_lives(&mut self) {
        let asked = self.read_view();
        let next = self.now + Settings::RETRY * 4;
        self.members.doubt = Some(Doubt { asked, next });
    }

    /// Has the view read by a majority; gives the number of the question.
    pub(in crate::cluster::machine) fn read_view(&mut self) -> u64 {
        self.members.reads += 1;
        let number = self.members.reads;
        self.act(Action::ReadView(number));
        number
    }
}
