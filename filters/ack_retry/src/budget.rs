//! The bound on retransmissions, so that a network that drops much is not buried under repetitions as well: what a business
//! may make for itself, and what the businesses of the node share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What may be sent again for one business. What the business has for itself is spent first: it is there whatever other
/// businesses do, and only what exceeds it is taken from what all share.
#[derive(Debug)]
pub(crate) struct Budget {
    own: Arc<Spent>,
    shared: Arc<Member>,
}

/// What has been sent lately for a business. One for a filter id, whatever the pipelines; each pipeline judges it by its own
/// [`Allowance`].
#[derive(Debug, Default)]
pub(crate) struct Spent(Mutex<Recent>);

/// What has been sent lately beyond that, for all businesses of the node. One for a filter id, judged by one number for all:
/// nobody can allow themselves more than the others.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    spent: Spent,
    /// What its members would allow a second, and how many would.
    wanted: Mutex<BTreeMap<u32, usize>>,
}

/// An entry that takes part in a pool, for as long as it is at work.
#[derive(Debug)]
pub(crate) struct Member {
    pool: Arc<Pool>,
    wants: u32,
}

/// How many retransmissions of a business are in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// Per first transmission.
    pub(crate) ratio: f64,
    /// A second, in any case.
    pub(crate) min_per_second: f64,
}

/// Counts that fade: after [`Recent::SPAN`] some third of a count is left.
#[derive(Debug, Default)]
struct Recent {
    at: Option<Instant>,
    first: f64,
    again: f64,
}

impl Budget {
    /// That of a business which has spent `own`, and takes part in what the node shares.
    pub(crate) fn new(own: Arc<Spent>, shared: Arc<Member>) -> Self {
        Self { own, shared }
    }

    /// A push is sent for the first time.
    pub(crate) fn first(&self, now: Instant) {
        self.own.0.lock().faded(now).first += 1.0;
    }

    /// Whether a push may be sent again now; if so, it is counted.
    pub(crate) fn again(&self, now: Instant, allowance: Allowance) -> bool {
        self.own
            .spend(now, allowance.ratio, allowance.min_per_second)
            || self.shared.pool.spend(now)
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
    fn spend(&self, now: Instant) -> bool {
        let least = self.wanted.lock().keys().next().copied();
        self.spent
            .spend(now, 0.0, f64::from(least.unwrap_or_default()))
    }
}

impl Spent {
    fn spend(&self, now: Instant, ratio: f64, per_second: f64) -> bool {
        let mut recent = self.0.lock();
        let recent = recent.faded(now);
        let allowed = ratio * recent.first + per_second * Recent::SPAN.as_secs_f64();
        let allows = recent.again + 1.0 <= allowed;
        if allows {
            recent.again += 1.0;
        }
        allows
    }
}

impl Recent {
    const SPAN: Duration = Duration::from_secs(10);

    /// As it is now. A moment before the last one counts as that one: tasks may see times that are a little apart.
    fn faded(&mut self, now: Instant) -> &mut Self {
        let at = *self.at.get_or_insert(now);
        if now > at {
            let left = (-(now - at).as_secs_f64() / Self::SPAN.as_secs_f64()).exp();
            self.first *= left;
            self.again *= left;
            self.at = Some(now);
        }
        self
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

    fn allowed(budget: &Budget, now: Instant, allowance: Allowance) -> usize {
        (0..1_000)
            .take_while(|_| budget.again(now, allowance))
            .count()
    }

    #[test]
    fn a_share_of_the_first_transmissions_may_be_repeated() {
        let (budget, now) = (Budget::default(), start());
        let allowance = Allowance {
            ratio: 0.25,
            min_per_second: 0.0,
        };
        assert_eq!(allowed(&budget, now, allowance), 0);
        (0..100).for_each(|_| budget.first(now));
        assert_eq!(allowed(&budget, now, allowance), 25);
    }

    #[test]
    fn a_quiet_business_has_its_least() {
        let (budget, now) = (Budget::default(), start());
        let allowance = Allowance {
            ratio: 0.0,
            min_per_second: 3.0,
        };
        assert_eq!(allowed(&budget, now, allowance), 30);
        let mut later = 0;
        for second in 1..=100 {
            later += allowed(&budget, now + Duration::from_secs(second), allowance);
        }
        assert!(
            (270..=310).contains(&later),
            "3 a second in the long run, not {later} in 100 s"
        );
    }

    #[test]
    fn what_was_sent_long_ago_allows_nothing() {
        let (budget, now) = (Budget::default(), start());
        let allowance = Allowance {
            ratio: 1.0,
            min_per_second: 0.0,
        };
        (0..100).for_each(|_| budget.first(now));
        assert_eq!(
            allowed(&budget, now + Duration::from_secs(120), allowance),
            0
        );
    }

    const ONE_A_SECOND: Allowance = Allowance {
        ratio: 0.5,
        min_per_second: 1.0,
    };

    /// A business with this `shared_per_second`.
    fn business(pool: &Arc<Pool>, wants: u32) -> Budget {
        let member = Member::new(Arc::clone(pool), wants);
        Budget::new(Arc::default(), Arc::new(member))
    }

    #[test]
    fn a_business_that_spends_all_it_can_leaves_others_their_own() {
        let (now, pool) = (start(), Arc::default());
        let [greedy, modest, late] = [2; 3].map(|wants| business(&pool, wants));
        assert_eq!(allowed(&greedy, now, ONE_A_SECOND), 10 + 20);
        (0..4).for_each(|_| modest.first(now));
        assert_eq!(allowed(&modest, now, ONE_A_SECOND), 10 + 2);
        assert_eq!(allowed(&late, now, ONE_A_SECOND), 10);
    }

    #[test]
    fn the_least_that_a_business_at_work_allows_is_shared_by_all() {
        let (now, pool) = (start(), Arc::default());
        let (greedy, modest) = (business(&pool, 1_000), business(&pool, 2));
        let again = business(&pool, 2);
        assert_eq!(allowed(&greedy, now, ONE_A_SECOND), 10 + 20);
        assert_eq!(allowed(&modest, now, ONE_A_SECOND), 10);
        drop(modest);
        assert_eq!(allowed(&greedy, now, ONE_A_SECOND), 0, "one is left");
        drop(again);
        let wide = business(&pool, 5);
        assert_eq!(allowed(&greedy, now, ONE_A_SECOND), 50 - 20);
        drop(wide);
        assert!(allowed(&greedy, now, ONE_A_SECOND) > 900, "alone at work");
    }
}
