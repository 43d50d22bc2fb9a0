use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn quota(interval_ns: u64, burst: u32) -> Quota {
    Quota::new(Duration::from_nanos(interval_ns), burst).expect("a sensible quota")
}

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// How many pass at this moment.
fn passing(bucket: &Bucket, quota: &Quota, now: Instant) -> u32 {
    (0..10_000)
        .take_while(|_| bucket.take(quota, now) == Take::Now)
        .count() as u32
}

#[test]
fn a_burst_passes_at_once_and_then_one_every_interval() {
    let (quota, now) = (quota(20_000_000, 5), start());
    let bucket = Bucket::new(&quota, now);
    assert_eq!(passing(&bucket, &quota, now), 5);
    let wait = Duration::from_millis(20);
    assert_eq!(bucket.take(&quota, now), Take::Excess(wait));
    let soon = now + wait - Duration::from_nanos(1);
    assert_eq!(
        bucket.take(&quota, soon),
        Take::Excess(Duration::from_nanos(1))
    );
    assert_eq!(bucket.take(&quota, now + wait), Take::Now);
    assert_eq!(
        passing(&bucket, &quota, now + Duration::from_secs(3600)),
        5,
        "a quiet hour saves up no more than a burst"
    );
}

#[test]
fn those_who_wait_have_their_turns_one_interval_apart() {
    let now = start();
    let quota = quota(10_000_000, 1).with_patience(Duration::from_millis(20));
    let bucket = Bucket::new(&quota, now);
    let takes: Vec<_> = (0..4).map(|_| bucket.take(&quota, now)).collect();
    let later = |ms| Take::Later(Duration::from_millis(ms));
    let excess = Take::Excess(Duration::from_millis(30));
    assert_eq!(takes, [Take::Now, later(10), later(20), excess]);
}

#[test]
fn links_that_take_at_the_same_moment_share_one_burst() {
    let (quota, now) = (quota(1_000_000_000, 100), start());
    let bucket = Bucket::new(&quota, now);
    let passed: u32 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| passing(&bucket, &quota, now)))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(passed, 100);
}

#[test]
fn a_clock_a_little_behind_does_no_harm() {
    let (quota, now) = (quota(1_000_000, 2), start() + Duration::from_secs(1));
    let bucket = Bucket::new(&quota, now);
    let behind = now - Duration::from_millis(500);
    assert_eq!(passing(&bucket, &quota, behind), 2);
    assert_eq!(passing(&bucket, &quota, now), 0);
}

#[test]
fn an_empty_bucket_stays_empty_whatever_the_new_quota_is() {
    let now = start();
    for (before, after) in [
        // Slower, faster by far, a smaller burst.
        (quota(100_000_000, 10), quota(1_000_000_000, 10)),
        (quota(3_600_000_000_000, 10), quota(1_000_000, 10)),
        (quota(1_000_000, 500), quota(1_000_000, 10)),
    ] {
        let bucket = Bucket::new(&before, now);
        passing(&bucket, &before, now);
        bucket.adopt(&after, now);
        let next = Duration::from_nanos(after.interval);
        assert_eq!(bucket.take(&after, now), Take::Excess(next));
        assert_eq!(bucket.take(&after, now + next), Take::Now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Against a plain token bucket: what passes here passes there, so a source gets all it is owed and no more.
    #[test]
    fn passes_what_a_token_bucket_passes(
        interval in 1_u64..5_000,
        burst in 1_u32..20,
        gaps in prop::collection::vec(0_u64..10_000, 1..200),
    ) {
        let (quota, mut now) = (quota(interval, burst), start());
        let bucket = Bucket::new(&quota, now);
        let full = interval * u64::from(burst);
        let mut tokens = full;
        for gap in gaps {
            now += Duration::from_nanos(gap);
            tokens = (tokens + gap).min(full);
            let owed = tokens >= interval;
            tokens -= if owed { interval } else { 0 };
            prop_assert_eq!(bucket.take(&quota, now) == Take::Now, owed);
        }
    }

    /// Passed at once or held back: no window has more than the burst and one for every interval in it.
    #[test]
    fn no_window_has_more_than_burst_and_rate(
        interval in 1_u64..5_000,
        burst in 1_u32..20,
        patience in 0_u64..20_000,
        gaps in prop::collection::vec(0_u64..10_000, 1..100),
    ) {
        let quota = quota(interval, burst).with_patience(Duration::from_nanos(patience));
        let begin = start();
        let bucket = Bucket::new(&quota, begin);
        let (mut at, mut passed) = (0, Vec::new());
        for gap in gaps {
            at += gap;
            let now = begin + Duration::from_nanos(at);
            // Other links open now and then: that changes nothing.
            bucket.adopt(&quota, now);
            match bucket.take(&quota, now) {
                Take::Now => passed.push(at),
                Take::Later(wait) => {
                    prop_assert!(nanos(wait) <= patience);
                    passed.push(at + nanos(wait));
                }
                Take::Excess(wait) => prop_assert!(nanos(wait) > patience),
            }
        }
        prop_assert!(passed.is_sorted(), "turns come in the order of the claims");
        for (first, from) in passed.iter().enumerate() {
            for (last, to) in passed.iter().enumerate().skip(first) {
                let most = u64::from(burst) + (to - from) / interval;
                prop_assert!((last - first + 1) as u64 <= most);
            }
        }
    }

    /// A change of the quota keeps the number of messages spent, as far as the new burst goes.
    #[test]
    fn a_change_keeps_what_is_spent(
        (before, after) in ((1_u64..1_000_000, 1_u32..50), (1_u64..1_000_000, 1_u32..50)),
        spent in 0_u32..50,
        pause in 0_u64..10_000_000,
    ) {
        let ((interval, burst), begin) = (before, start());
        let (old, new) = (quota(interval, burst), quota(after.0, after.1));
        let bucket = Bucket::new(&old, begin);
        let spent = (0..spent).filter(|_| bucket.take(&old, begin) == Take::Now).count();
        let now = begin + Duration::from_nanos(pause);
        bucket.adopt(&new, now);
        bucket.adopt(&new, now);
        // Rounded up: a message that is spent in part is not there to be had.
        let left = (spent as u64 * interval).saturating_sub(pause).div_ceil(interval);
        let owed = u64::from(after.1).saturating_sub(left);
        prop_assert_eq!(u64::from(passing(&bucket, &new, now)), owed);
    }
}
