//! The bound on what is added to the load of something that is in trouble: retries of calls, messages sent again.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What may be tried again. Each first try pays in a part of a retry, time pays in some more, and each retry takes one out.
/// Kept where those meet who share it, as by [`Open::shared`](crate::Open::shared); each judges it by its own [`RetryTerms`].
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use linkgate_filter::{RetryAccount, RetryTerms};
///
/// let terms = RetryTerms {
///     ratio: 0.25,
///     fades: None,
///     per_second: 10.0,
///     ahead: Duration::from_secs(1),
///     most: 100.0,
/// };
/// # let now = Instant::now();
/// let account = RetryAccount::default();
/// (0..8).for_each(|_| account.first(now, &terms)); // `now` is `cx.now()`.
/// let granted = (0..100).filter(|_| account.again(now, &terms)).count();
/// assert_eq!(granted, 10 + 2);
/// ```
#[derive(Debug, Default)]
pub struct RetryAccount(Mutex<Spent>);

/// How many retries are in order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryTerms {
    /// What a first try pays in, in retries.
    pub ratio: f64,
    /// After so long a third is left of what first tries have saved up; `None`: it stays.
    pub fades: Option<Duration>,
    /// What time pays in, in retries a second.
    pub per_second: f64,
    /// How much of that may lie ready, unused. An account begins with it.
    pub ahead: Duration,
    /// First tries pay in no more where so many retries lie ready.
    pub most: f64,
}

#[derive(Debug, Default)]
struct Spent {
    at: Option<Instant>,
    /// Retries that time has yet to pay for; below zero, what first tries have saved up.
    retries: f64,
}

impl RetryAccount {
    /// Something is tried for the first time.
    pub fn first(&self, now: Instant, terms: &RetryTerms) {
        let mut spent = self.0.lock();
        spent.pass(now, terms);
        let least = spent.retries.min(terms.ready() - terms.most);
        spent.retries = (spent.retries - terms.ratio).max(least);
    }

    /// Whether something may be tried again; if so, it is taken out.
    pub fn again(&self, now: Instant, terms: &RetryTerms) -> bool {
        let mut spent = self.0.lock();
        spent.pass(now, terms);
        let allows = spent.retries + 1.0 <= terms.ready();
        if allows {
            spent.retries += 1.0;
        }
        allows
    }
}

impl RetryTerms {
    /// What lies ready where nothing is spent.
    fn ready(&self) -> f64 {
        self.per_second * self.ahead.as_secs_f64()
    }
}

impl Spent {
    /// Time passes. A moment before the last one counts as that one: tasks may see times that are a little apart.
    fn pass(&mut self, now: Instant, terms: &RetryTerms) {
        let at = *self.at.get_or_insert(now);
        let passed = now.saturating_duration_since(at).as_secs_f64();
        self.at = Some(now.max(at));
        if self.retries > 0.0 {
            self.retries = (self.retries - passed * terms.per_second).max(0.0);
        } else if let Some(fades) = terms.fades {
            self.retries *= (-passed / fades.as_secs_f64()).exp();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: RetryTerms = RetryTerms {
        ratio: 0.25,
        fades: Some(Duration::from_secs(10)),
        per_second: 10.0,
        ahead: Duration::from_secs(1),
        most: 100.0,
    };
    const OF_FIRST_TRIES: RetryTerms = RetryTerms {
        per_second: 0.0,
        ..TERMS
    };

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn granted(account: &RetryAccount, now: Instant, terms: &RetryTerms) -> usize {
        (0..1_000).take_while(|_| account.again(now, terms)).count()
    }

    #[test]
    fn first_tries_and_time_pay_for_retries() {
        let (account, now) = (RetryAccount::default(), start());
        assert_eq!(granted(&account, now, &TERMS), 10);
        (0..40).for_each(|_| account.first(now, &TERMS));
        assert_eq!(granted(&account, now, &TERMS), 10);
        let later = now + Duration::from_millis(500);
        assert_eq!(granted(&account, later, &TERMS), 5);
        let later = now + Duration::from_secs(60);
        assert_eq!(
            granted(&account, later, &TERMS),
            10,
            "idle time is not saved up"
        );
    }

    #[test]
    fn time_pays_the_same_in_the_long_run_however_much_lies_ready() {
        for seconds in [1, 10] {
            let terms = RetryTerms {
                per_second: 3.0,
                ahead: Duration::from_secs(seconds),
                ..TERMS
            };
            let (account, now) = (RetryAccount::default(), start());
            let at_once = granted(&account, now, &terms);
            assert_eq!(at_once as u64, 3 * seconds);
            let later = (1..=100).map(|second| now + Duration::from_secs(second));
            let later: usize = later.map(|at| granted(&account, at, &terms)).sum();
            assert_eq!(later, 300);
        }
    }

    #[test]
    fn what_was_tried_long_ago_allows_nothing() {
        let (account, now) = (RetryAccount::default(), start());
        (0..100).for_each(|_| account.first(now, &OF_FIRST_TRIES));
        let later = now + Duration::from_secs(10);
        assert_eq!(granted(&account, later, &OF_FIRST_TRIES), 9, "25 / e");
        (0..100).for_each(|_| account.first(later, &OF_FIRST_TRIES));
        let later = later + Duration::from_secs(120);
        assert_eq!(granted(&account, later, &OF_FIRST_TRIES), 0);
    }

    #[test]
    fn what_does_not_fade_is_saved_up_however_seldom_something_is_tried() {
        let terms = RetryTerms {
            ratio: 0.25,
            fades: None,
            ..OF_FIRST_TRIES
        };
        let (account, now) = (RetryAccount::default(), start());
        let minutes = (1..=12).map(|minute| now + Duration::from_secs(60 * minute));
        let granted: usize = minutes
            .map(|at| {
                account.first(at, &terms);
                granted(&account, at, &terms)
            })
            .sum();
        assert_eq!(granted, 3);
    }

    #[test]
    fn first_tries_save_up_so_many_and_no_more() {
        let (account, now) = (RetryAccount::default(), start());
        (0..1_000).for_each(|_| account.first(now, &TERMS));
        assert_eq!(granted(&account, now, &TERMS), 100);
        (0..1_000).for_each(|_| account.first(now, &OF_FIRST_TRIES));
        assert_eq!(granted(&account, now, &OF_FIRST_TRIES), 100);
    }

    #[test]
    fn an_account_is_judged_by_the_terms_of_whoever_asks() {
        let (account, now) = (RetryAccount::default(), start());
        assert_eq!(granted(&account, now, &TERMS), 10);
        let more = RetryTerms {
            per_second: 25.0,
            ..TERMS
        };
        assert_eq!(granted(&account, now, &more), 15);
        assert!(!account.again(now, &TERMS));
    }

    #[test]
    fn a_moment_that_has_passed_is_not_paid_for_again() {
        let (account, now) = (RetryAccount::default(), start());
        let later = now + Duration::from_secs(1);
        assert_eq!(granted(&account, later, &TERMS), 10);
        assert_eq!(granted(&account, now, &TERMS), 0);
        assert_eq!(granted(&account, later, &TERMS), 0);
    }
}
