//! How many tries an endpoint gets at a time. It is judged in rounds, as TCP judges a path: a round ends when a try that
//! began in it ends. What fails beyond the usual lowers the limit by half its share; a round that goes well, and in which
//! the limit was felt, raises it: doubled up to where trouble was met last, then by a twentieth.

use std::collections::BTreeSet;

use super::BreakerRules;

#[derive(Debug)]
pub(super) struct Limit {
    /// Infinite until there is trouble.
    most: f64,
    /// From here on it grows slowly.
    slow_from: f64,
    round: u64,
    /// Tries that began in earlier rounds say nothing: the limit has been lowered since.
    since: u64,
    ended: u32,
    failed: u32,
    culprits: Culprits,
    /// The most that were under way in this round.
    peak: u32,
}

/// Whether one user alone may be to blame for what failed in a round.
#[derive(Debug, Default)]
enum Culprits {
    #[default]
    None,
    /// One of these may be.
    Some(BTreeSet<u64>),
    /// No single user.
    Nobody,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            most: f64::INFINITY,
            slow_from: f64::INFINITY,
            round: 0,
            since: 0,
            ended: 0,
            failed: 0,
            culprits: Culprits::None,
            peak: 0,
        }
    }
}

impl Limit {
    /// Ends before which a round is not judged, unless the limit is less.
    const ENOUGH: f64 = 20.0;
    /// So few that it is not worth growing to them slowly.
    const FEW: f64 = 8.0;
    const SLOWLY: f64 = 0.05;

    /// Whether there is room for one more beside those under way.
    pub(super) fn admits(&self, running: u32) -> bool {
        f64::from(running) + 1.0 <= self.most
    }

    /// A try begins, so that so many are under way; its round.
    pub(super) fn begin(&mut self, running: u32) -> u64 {
        self.peak = self.peak.max(running);
        self.round
    }

    /// A try has ended; `culprits`: it failed, by these users if not by the endpoint. Answers whether the limit is lower now.
    pub(super) fn end(
        &mut self,
        round: u64,
        culprits: Option<&BTreeSet<u64>>,
        running: u32,
        rules: &BreakerRules,
    ) -> bool {
        if round < self.since {
            return false;
        }
        self.ended += 1;
        if let Some(users) = culprits {
            self.failed += 1;
            self.culprits.add(users);
        }
        let is_over = round == self.round && f64::from(self.ended) >= self.most.min(Self::ENOUGH);
        is_over && self.judge(running, rules)
    }

    /// The endpoint rests: what it got is too much for it.
    pub(super) fn give_up(&mut self) {
        self.slow_from = (self.in_use() / 2.0).max(Self::FEW);
        self.next_round(0);
        self.since = self.round;
    }

    /// The endpoint has answered probes.
    pub(super) fn restart(&mut self, rules: &BreakerRules) {
        self.most = f64::from(rules.min_in_flight.max(rules.probes));
        self.next_round(0);
        self.since = self.round;
    }

    /// The most that were under way at a time lately.
    pub(super) fn peak(&self) -> u32 {
        self.peak
    }

    fn in_use(&self) -> f64 {
        self.most.min(f64::from(self.peak.max(1)))
    }

    fn judge(&mut self, running: u32, rules: &BreakerRules) -> bool {
        let share = f64::from(self.failed) / f64::from(self.ended);
        let before = self.in_use();
        let mut lowered = false;
        if share > rules.usual_failures {
            if matches!(self.culprits, Culprits::Nobody) {
                let least = f64::from(rules.min_in_flight);
                self.most = (before * (1.0 - share / 2.0)).max(least);
                self.slow_from = self.most;
                self.since = self.round + 1;
                lowered = self.most < before;
            }
        } else if !self.admits(self.peak) {
            let more = if self.most < self.slow_from {
                self.most
            } else {
                (self.most * Self::SLOWLY).max(1.0)
            };
            self.most += more;
        }
        self.next_round(running);
        lowered
    }

    fn next_round(&mut self, running: u32) {
        self.round += 1;
        self.ended = 0;
        self.failed = 0;
        self.culprits = Culprits::None;
        self.peak = running;
    }
}

impl Culprits {
    fn add(&mut self, users: &BTreeSet<u64>) {
        let suspects = match std::mem::take(self) {
            Self::None => users.clone(),
            Self::Some(mut before) => {
                before.retain(|user| users.contains(user));
                before
            }
            Self::Nobody => BTreeSet::new(),
        };
        *self = if suspects.is_empty() {
            Self::Nobody
        } else {
            Self::Some(suspects)
        };
    }
}
