//! Time passes.

use super::*;

impl World {
    pub(super) fn next_timer(&self) -> Option<Time> {
        let running = self.nodes.iter().filter(|node| node.state == Up::Runs);
        running.filter_map(|node| node.machine.next_timer()).min()
    }

    /// Time passes until something comes of it, until `most` at the latest.
    pub(super) fn advance(&mut self, most: Time) {
        let before = self.arrivals().len();
        loop {
            let next = self.next_timer().map_or(most, |at| at.min(most));
            self.now = self.now.max(next);
            self.tick();
            if self.now >= most || self.arrivals().len() > before {
                return;
            }
        }
    }

    pub(super) fn tick(&mut self) {
        self.late_comes();
        for number in 0..self.nodes.len() {
            let node = &mut self.nodes[number];
            let is_kept = node.state == Up::Runs && !node.registry_cut;
            let name: Arc<str> = number.to_string().into();
            let own = node.machine.members.own();
            let record = self.registry.nodes.get(&name);
            let is_registered = own.is_some() && record.map(|(_, life, _)| *life) == own;
            if is_kept && is_registered && self.now < node.lease_until {
                node.lease_until = self.now + LEASE;
                let kept = FromRegistry::KeptAlive(self.now);
                self.tell(number, Event::Registry(kept));
            } else if record.is_some() && self.now >= node.lease_until {
                self.registry.nodes.remove(&name);
                self.registry.revision += 1;
            }
        }
        for number in 0..self.nodes.len() {
            if self.nodes[number].state == Up::Runs {
                self.register_again(number);
                self.tell(number, Event::Tick);
            }
        }
    }

    /// A lease that was lost is granted anew, and what was last asked for is written.
    pub(super) fn register_again(&mut self, number: usize) {
        let name: Arc<str> = number.to_string().into();
        let node = &self.nodes[number];
        let asks = |request: &ToRegistry| matches!(request, ToRegistry::Register(..));
        let is_asked = node.to_registry.iter().any(asks);
        if !self.registry.nodes.contains_key(&name)
            && !is_asked
            && let Some((asked, life, lives)) = node.machine.members.last_asked()
        {
            let again = ToRegistry::Register(asked, life, lives);
            self.nodes[number].to_registry.push_back(again);
        }
    }
}
