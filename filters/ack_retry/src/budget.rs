//! The node-wide bound on retransmissions: a share of what is sent for the first time, so that a network that drops much
//! is not buried under repetitions as well.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What all links of the node have sent lately. One per node and filter id, whatever the pipelines; each pipeline judges
/// it by its own [`Allowance`].
#[derive(Debug, Default)]
pub(crate) struct Budget(Mutex<Recent>);

/// How many retransmissions are in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// Retransmissions per first transmission.
    pub(crate) ratio: f64,
    /// Retransmissions a second that are in order in any case.
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
    /// A push is sent for the first time.
    pub(crate) fn first(&self, now: Instant) {
        let mut recent = self.0.lock();
        recent.fade(now);
        recent.first += 1.0;
    }

    /// Whether a push may be sent again now; if so, it is counted.
    pub(crate) fn again(&self, now: Instant, allowance: Allowance) -> bool {
        let mut recent = self.0.lock();
        recent.fade(now);
        let least = allowance.min_per_second * Recent::SPAN.as_secs_f64();
        let allowed = recent.again + 1.0 <= allowance.ratio * recent.first + least;
        if allowed {
            recent.again += 1.0;
        }
        allowed
    }
}

impl Recent {
    const SPAN: Duration = Duration::from_secs(10);

    /// A moment before the last one counts as that one: tasks may see times that are a little apart.
    fn fade(&mut self, now: Instant) {
        let at = *self.at.get_or_insert(now);
        if now > at {
            let left = (-(now - at).as_secs_f64() / Self::SPAN.as_secs_f64()).exp();
            self.first *= left;
            self.again *= left;
            self.at = Some(now);
        }
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
    fn a_quiet_node_has_its_least() {
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
}
