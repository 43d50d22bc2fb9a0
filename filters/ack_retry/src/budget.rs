//! The bound on retransmissions, so that a network that drops much is not buried under repetitions as well: what a business
//! may make for itself, and what the businesses of the node share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What may be sent again for one business. What the business has for itself is spent first: it is there whatever other
/// businesses do, and only what exceeds it is taken from what all share.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    own: Arc<Spent>,
    shared: Arc<Spent>,
}

/// What has been sent lately: for a business, or from what the businesses of the node share. One of each for a filter id,
/// whatever the pipelines; each pipeline judges it by its own [`Allowance`].
#[derive(Debug, Default)]
pub(crate) struct Spent(Mutex<Recent>);

/// How many retransmissions are in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// A business's own, per first transmission.
    pub(crate) ratio: f64,
    /// A business's own a second, in any case.
    pub(crate) min_per_second: f64,
    /// Those that businesses share, a second.
    pub(crate) shared_per_second: f64,
}

/// Counts that fade: after [`Recent::SPAN`] some third of a count is left.
#[derive(Debug, Default)]
struct Recent {
    at: Option<Instant>,
    first: f64,
    again: f64,
}

impl Budget {
    /// That of a business which has spent `own`, on a node where all have spent `shared`.
    pub(crate) fn new(own: Arc<Spent>, shared: Arc<Spent>) -> Self {
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
            || self.shared.spend(now, 0.0, allowance.shared_per_second)
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
            shared_per_second: 0.0,
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
            shared_per_second: 0.0,
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
            shared_per_second: 0.0,
        };
        (0..100).for_each(|_| budget.first(now));
        assert_eq!(
            allowed(&budget, now + Duration::from_secs(120), allowance),
            0
        );
    }

    #[test]
    fn a_business_that_spends_all_it_can_leaves_others_their_own() {
        let (now, shared) = (start(), Arc::new(Spent::default()));
        let business = || Budget::new(Arc::default(), Arc::clone(&shared));
        let allowance = Allowance {
            ratio: 0.5,
            min_per_second: 1.0,
            shared_per_second: 2.0,
        };
        let (greedy, modest, late) = (business(), business(), business());
        assert_eq!(allowed(&greedy, now, allowance), 10 + 20);
        (0..4).for_each(|_| modest.first(now));
        assert_eq!(allowed(&modest, now, allowance), 10 + 2);
        let more = Allowance {
            shared_per_second: 3.0,
            ..allowance
        };
        assert_eq!(allowed(&greedy, now, more), 10, "it allows itself more");
        assert_eq!(allowed(&late, now, allowance), 10);
    }
}
