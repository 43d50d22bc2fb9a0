//! Who is there: callers that are known, and strangers in the order in which they came.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use tokio_util::sync::CancellationToken;

use super::ConnectionLimits;

/// The connections that are open, by number.
pub(super) struct Seats {
    max: usize,
    per_ip: usize,
    most_strangers: usize,
    next: u64,
    strangers: BTreeMap<u64, Stranger>,
    callers: BTreeMap<u64, IpAddr>,
}

struct Stranger {
    client: IpAddr,
    leave: CancellationToken,
}

impl Seats {
    pub(super) fn new(limits: &ConnectionLimits) -> Self {
        Self {
            max: limits.max as usize,
            per_ip: limits.of_one() as usize,
            most_strangers: limits.strangers as usize,
            next: 0,
            strangers: BTreeMap::new(),
            callers: BTreeMap::new(),
        }
    }

    /// Takes a stranger in. Whoever has to leave for it is told, and forgotten.
    pub(super) fn enter(&mut self, client: IpAddr, leave: &CancellationToken) -> (u64, bool) {
        let number = self.next;
        self.next += 1;
        let leave = leave.clone();
        self.strangers.insert(number, Stranger { client, leave });
        let is_full = self.strangers.len() > self.most_strangers;
        if is_full
            && let Some(number) = self.longest_of_most()
            && let Some(stranger) = self.strangers.remove(&number)
        {
            stranger.leave.cancel();
        }
        (number, is_full)
    }

    /// The stranger that is here longest, of the client that has the most: a client that opens many loses its own.
    fn longest_of_most(&self) -> Option<u64> {
        let mut held = HashMap::new();
        for stranger in self.strangers.values() {
            *held.entry(stranger.client).or_insert(0_usize) += 1;
        }
        let most = *held.values().max()?;
        let mut strangers = self.strangers.iter();
        let (number, _) =
            strangers.find(|(_, stranger)| held.get(&stranger.client) == Some(&most))?;
        Some(*number)
    }

    /// Makes a caller of a stranger. `false`: there is no room for one more, or it had to leave meanwhile.
    pub(super) fn make_known(&mut self, number: u64) -> bool {
        if self.callers.contains_key(&number) {
            return true;
        }
        let Some(stranger) = self.strangers.get(&number) else {
            return false;
        };
        let client = stranger.client;
        let of_client = self.callers.values().filter(|of| **of == client).count();
        if self.callers.len() >= self.max || of_client >= self.per_ip {
            return false;
        }
        self.strangers.remove(&number);
        self.callers.insert(number, client);
        true
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.strangers.remove(&number);
        self.callers.remove(&number);
    }

    /// Strangers and callers.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.strangers.len(), self.callers.len())
    }
}
