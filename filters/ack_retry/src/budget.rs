//! The bound on retransmissions, so that a network that drops much is not buried under repetitions as well: what a business
//! may make for itself, and what the businesses of the node share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use linkgate_filter::{RetryAccount, RetryTerms};
use parking_lot::Mutex;

/// What time pays in may lie ready for so long.
const AHEAD: Duration = Duration::from_secs(10);

/// What may be sent again for one business. What the business has for itself is spent first: it is there whatever other
/// businesses do, and only what exceeds it is taken from what all share.
#[derive(Debug)]
pub(crate) struct Budget {
    /// One for a filter id, whatever the pipelines; each judges it by its own terms.
    own: Arc<RetryAccount>,
    shared: Arc<Member>,
}

/// What may be sent again beyond that, for all businesses of the node. One for a filter id, judged by one number for all:
/// nobody can allow themselves more than the others.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    account: RetryAccount,
    /// What its members would allow a second, and how many would.
    wanted: Mutex<BTreeMap<u32, usize>>,
}

/// An entry that takes part in a pool, for as long as it is at work.
#[derive(Debug)]
pub(crate) struct Member {
    pool: Arc<Pool>,
    wants: u32,
}

/// So many for a first transmission, and so many a second in any case.
pub(crate) fn terms(ratio: f64, per_second: u32) -> RetryTerms {
    RetryTerms {
        ratio,
        fades: Some(AHEAD),
        per_second: per_second.into(),
        ahead: AHEAD,
        most: f64::INFINITY,
    }
}

impl Budget {
    /// That of a business with this account, which takes part in what the node shares.
    pub(crate) fn new(own: Arc<RetryAccount>, shared: Arc<Member>) -> Self {
        Self { own, shared }
    }

    /// A push is sent for the first time.
    pub(crate) fn first(&self, now: Instant, terms: &RetryTerms) {
        self.own.first(now, terms);
    }

    /// Whether a push may be sent again now; if so, it is counted.
    pub(crate) fn again(&self, now: Instant, terms: &RetryTerms) -> bool {
        self.own.again(now, terms) || self.shared.pool.again(now)
    }
}

impl Member {
    /// Takes part in `pool`, of which it would allow so many retransmissions a second.
    pub(crate) fn new(pool: Arc<Pool>, wants: u32) -> Self {
        *pool.wanted.lock().entry(wants).or_default() += 1;
        Self { pool, wants }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut wanted = self.pool.wanted.lock();
        if let Some(members) = wanted.get_mut(&self.wants) {
            *members -= 1;
            if *members == 0 {
                wanted.remove(&self.wants);
            }
        }
    }
}

impl Pool {
    /// Spends within the least that a member would allow.
    fn again(&self, now: Instant) -> bool {
        let least = self.wanted.lock().keys().next().copied();
        self.account
            .again(now, &terms(0.0, least.unwrap_or_default()))
    }
}

#[cfg(test)]
impl Default for Budget {
    /// Of a business that shares nothing.
    fn default() -> Self {
        Self::new(Arc::default(), Arc::new(Member::new(Arc::default(), 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn allowed(budget: &Budget, now: Instant, terms: &RetryTerms) -> usize {
        (0..1_000).take_while(|_| budget.again(now, terms)).count()
    }

    #[test]
    fn a_business_has_its_least_and_a_share_of_the_first_transmissions() {
        let (budget, now) = (Budget::default(), start());
        let terms = terms(0.25, 3);
        assert_eq!(allowed(&budget, now, &terms), 30);
        (0..1_000).for_each(|_| budget.first(now, &terms));
        assert_eq!(allowed(&budget, now, &terms), 250);
        let later = now + Duration::from_secs(120);
        assert_eq!(
            allowed(&budget, later, &terms),
            30,
            "what was sent long ago allows nothing"
        );
    }

    fn one_a_second() -> RetryTerms {
        terms(0.5, 1)
    }

    /// A business with this `shared_per_second`.
    fn business(pool: &Arc<Pool>, wants: u32) -> Budget {
        let member = Member::new(Arc::clone(pool), wants);
        Budget::new(Arc::default(), Arc::new(member))
    }

    #[test]
    fn a_business_that_spends_all_it_can_leaves_others_their_own() {
        let (now, pool) = (start(), Arc::default());
        let [greedy, modest, late] = [2; 3].map(|wants| business(&pool, wants));
        assert_eq!(allowed(&greedy, now, &one_a_second()), 10 + 20);
        (0..4).for_each(|_| modest.first(now, &one_a_second()));
        assert_eq!(allowed(&modest, now, &one_a_second()), 10 + 2);
        assert_eq!(allowed(&late, now, &one_a_second()), 10);
    }

    #[test]
    fn the_least_that_a_business_at_work_allows_is_shared_by_all() {
        let (now, pool) = (start(), Arc::default());
        let (greedy, modest) = (business(&pool, 1_000), business(&pool, 2));
        let again = business(&pool, 2);
        assert_eq!(allowed(&greedy, now, &one_a_second()), 10 + 20);
        assert_eq!(allowed(&modest, now, &one_a_second()), 10);
        drop(modest);
        assert_eq!(allowed(&greedy, now, &one_a_second()), 0, "one is left");
        drop(again);
        let wide = business(&pool, 5);
        assert_eq!(allowed(&greedy, now, &one_a_second()), 50 - 20);
        drop(wide);
        assert!(
            allowed(&greedy, now, &one_a_second()) > 900,
            "alone at work"
        );
    }
}
