//! What may happen next, and how often, and that it happens.

use super::*;

impl World {
    /// Nothing is under way.
    pub(in crate::cluster::machine::tests) fn is_idle(&self) -> bool {
        self.arrivals().is_empty()
    }

    /// All steps that the world may take.
    pub(in crate::cluster::machine::tests) fn choices(&self) -> Vec<Choice> {
        let mut choices = self.arrivals();
        let budget = &self.budget;
        let is_busy = !choices.is_empty();
        if budget.detours == 0 {
            choices.truncate(1);
        }
        for choice in choices.clone() {
            let fates: &[(Fate, u32)] = match &choice {
                Choice::Store(..) => &[
                    (Fate::AnswerLost, budget.lost),
                    (Fate::Lost, budget.lost),
                    (Fate::Late, budget.late),
                    (Fate::Doubled, budget.doubled),
                ],
                Choice::Registry(..) => {
                    &[(Fate::AnswerLost, budget.lost), (Fate::Lost, budget.lost)]
                }
                Choice::Peer(..) => &[(Fate::Lost, budget.lost), (Fate::Doubled, budget.doubled)],
                _ => &[],
            };
            for (fate, left) in fates {
                if *left > 0 {
                    choices.push(match choice {
                        Choice::Store(node, _) => Choice::Store(node, *fate),
                        Choice::Registry(node, _) => Choice::Registry(node, *fate),
                        Choice::Peer(from, to, _) => Choice::Peer(from, to, *fate),
                        _ => continue,
                    });
                }
            }
        }
        choices.extend(
            budget
                .logins
                .first()
                .map(|(node, device)| Choice::Login(*node, device)),
        );
        choices.extend(
            budget
                .looks
                .first()
                .map(|(node, need)| Choice::Look(*node, *need)),
        );
        choices.retain(|choice| match choice {
            Choice::Login(node, _) | Choice::Look(node, _) => self.nodes[*node].state == Up::Runs,
            _ => true,
        });
        if budget.waits > 0 && (!is_busy || budget.slow > 0) {
            choices.push(Choice::Wait);
        }
        if budget.failovers > 0 && self.old_store.is_none() {
            choices.push(Choice::Failover);
        }
        if budget.flushes > 0 {
            choices.push(Choice::Flush);
        }
        if self.old_store.is_some() {
            choices.push(Choice::Join);
        }
        for (number, node) in self.nodes.iter().enumerate() {
            if budget.logouts > 0 && node.state == Up::Runs {
                choices.extend(node.links.keys().map(|link| Choice::Logout(number, *link)));
            }
            if budget.splits > 0 && self.old_store.is_none() && node.state == Up::Runs {
                choices.push(Choice::Split(number));
            }
            if node.store_cut || budget.store_cuts > 0 && node.state == Up::Runs {
                choices.push(Choice::CutStore(number));
            }
            if node.registry_cut || budget.registry_cuts > 0 && node.state == Up::Runs {
                choices.push(Choice::CutRegistry(number));
            }
            match node.state {
                Up::Runs if budget.freezes > 0 => choices.push(Choice::Freeze(number)),
                Up::Frozen => choices.push(Choice::Thaw(number)),
                _ => {}
            }
            if budget.kills > 0 && node.state != Up::Dead {
                choices.push(Choice::Kill(number));
            }
        }
        choices
    }

    /// Takes one of its choices.
    pub(in crate::cluster::machine::tests) fn choose(&mut self, choice: &Choice) {
        let arrivals = self.arrivals();
        if arrivals.first() != Some(choice) && arrivals.contains(choice) {
            self.budget.detours -= 1;
        }
        self.spend(choice, !arrivals.is_empty());
        self.take(choice);
    }

    /// A fault, or what else there is only so much of.
    pub(super) fn spend(&mut self, choice: &Choice, is_busy: bool) {
        let budget = &mut self.budget;
        let left = match choice {
            Choice::Store(_, fate) | Choice::Registry(_, fate) | Choice::Peer(_, _, fate) => {
                match fate {
                    Fate::Arrives => return,
                    Fate::Lost | Fate::AnswerLost => &mut budget.lost,
                    Fate::Doubled => &mut budget.doubled,
                    Fate::Late => &mut budget.late,
                }
            }
            Choice::Login(..) => {
                budget.logins.remove(0);
                return;
            }
            Choice::Look(..) => {
                budget.looks.remove(0);
                return;
            }
            Choice::Logout(..) => &mut budget.logouts,
            Choice::Wait => {
                budget.slow -= u32::from(is_busy);
                &mut budget.waits
            }
            Choice::Failover => &mut budget.failovers,
            Choice::Flush => &mut budget.flushes,
            Choice::Split(_) => &mut budget.splits,
            Choice::CutStore(node) if !self.nodes[*node].store_cut => &mut budget.store_cuts,
            Choice::CutRegistry(node) if !self.nodes[*node].registry_cut => {
                &mut budget.registry_cuts
            }
            Choice::Freeze(_) => &mut budget.freezes,
            Choice::Kill(_) => &mut budget.kills,
            _ => return,
        };
        *left -= 1;
    }

    /// Takes one step.
    pub(in crate::cluster::machine::tests) fn take(&mut self, choice: &Choice) {
        match choice {
            Choice::Store(node, fate) => self.store_works(*node, *fate),
            Choice::Registry(node, fate) => self.registry_works(*node, *fate),
            Choice::View(node) => {
                let view = self.registry.view();
                self.nodes[*node].seen = self.registry.revision;
                self.tell(*node, Event::Registry(FromRegistry::View(view)));
            }
            Choice::Peer(from, to, fate) => self.peer_hears(*from, *to, *fate),
            Choice::Login(node, device) => {
                self.login(*node, device);
            }
            Choice::Logout(node, link) => {
                self.logout(*node, *link);
            }
            Choice::Look(node, need) => {
                self.look(*node, *need);
            }
            Choice::Wait => {
                self.advance(self.now + Duration::from_secs(5));
            }
            Choice::Failover => {
                self.fail_over();
            }
            Choice::Flush => {
                self.lives += 1;
                self.store = Store {
                    life: self.lives,
                    ..Store::default()
                };
            }
            Choice::Split(node) => {
                self.old_store = Some(self.store.clone());
                self.fail_over();
                self.nodes[*node].on_old_store = true;
            }
            Choice::Join => {
                self.old_store = None;
                self.nodes
                    .iter_mut()
                    .for_each(|node| node.on_old_store = false);
            }
            Choice::CutStore(node) => {
                let cut = &mut self.nodes[*node].store_cut;
                *cut = !*cut;
            }
            Choice::CutRegistry(node) => {
                let cut = &mut self.nodes[*node].registry_cut;
                *cut = !*cut;
                let is_cut = *cut;

                let event = match is_cut {
                    true => FromRegistry::Silent,
                    false => FromRegistry::Answers,
                };
                self.tell(*node, Event::Registry(event));
            }
            Choice::Freeze(node) => {
                self.nodes[*node].state = Up::Frozen;
                self.stands_no_more(|number, _| number == *node);
            }
            Choice::Thaw(node) => {
                self.nodes[*node].state = Up::Runs;
                self.tell(*node, Event::Tick);
            }
            Choice::Kill(node) => {
                self.nodes[*node].state = Up::Dead;
                self.nodes[*node].links.clear();
                self.nodes[*node].tickets.clear();
                self.stands_no_more(|number, _| number == *node);
            }
        }
    }

    pub(super) fn fail_over(&mut self) {
        self.lives += 1;
        let record = self.store.before.clone();
        self.store = Store {
            life: self.lives,
            before: record.clone(),
            record,
        };
    }
}
