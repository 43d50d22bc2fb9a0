//! Bounds how many retries are added to the calls of a business.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config::RetryBudget as Rules;

/// Each call pays in a part of a retry, time pays in some more; each retry takes out one.
#[derive(Debug, Default)]
pub(crate) struct RetryBudget(Mutex<Option<Account>>);

#[derive(Debug)]
struct Account {
    retries: f64,
    at: Instant,
}

impl RetryBudget {
    /// What time may pay in ahead.
    const AHEAD: Duration = Duration::from_secs(1);

    /// A call begins.
    pub(crate) fn call(&self, now: Instant, rules: &Rules) {
        self.on_account(now, rules, |account| {
            // Calls may save up for ten seconds' worth of what time pays in, or for a small burst.
            let most = f64::from(rules.min_per_second.max(1)) * 10.0;
            account.retries = (account.retries + rules.ratio).min(account.retries.max(most));
        });
    }

    /// Whether a retry may be made; it is taken out.
    pub(crate) fn retry(&self, now: Instant, rules: &Rules) -> bool {
        self.on_account(now, rules, |account| {
            let enough = account.retries >= 1.0;
            if enough {
                account.retries -= 1.0;
            }
            enough
        })
    }

    fn on_account<R>(
        &self,
        now: Instant,
        rules: &Rules,
        work: impl FnOnce(&mut Account) -> R,
    ) -> R {
        let mut held = self.0.lock();
        let per_second = f64::from(rules.min_per_second);
        let ahead = per_second * Self::AHEAD.as_secs_f64();
        let account = held.get_or_insert(Account {
            retries: ahead,
            at: now,
        });
        let passed = now.saturating_duration_since(account.at).as_secs_f64();
        account.at = now;
        let saved = account.retries;
        account.retries = (saved + passed * per_second).min(saved.max(ahead));
        work(account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(budget: &RetryBudget, rules: &Rules, asked: usize) -> usize {
        (0..asked)
            .filter(|_| budget.retry(Instant::now(), rules))
            .count()
    }

    #[tokio::test(start_paused = true)]
    async fn calls_pay_for_their_share_of_retries() {
        let rules = Rules {
            ratio: 0.25,
            min_per_second: 10,
        };
        let budget = RetryBudget::default();
        assert_eq!(granted(&budget, &rules, 100), 10);
        for _ in 0..40 {
            budget.call(Instant::now(), &rules);
        }
        assert_eq!(granted(&budget, &rules, 100), 10);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(granted(&budget, &rules, 100), 5);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(
            granted(&budget, &rules, 100),
            10,
            "idle time is not saved up"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_paid_in_allows_no_retry() {
        let rules = Rules {
            ratio: 0.0,
            min_per_second: 0,
        };
        let budget = RetryBudget::default();
        budget.call(Instant::now(), &rules);
        assert_eq!(granted(&budget, &rules, 1), 0);
    }
}
