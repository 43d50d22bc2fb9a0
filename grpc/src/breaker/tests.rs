use super::*;

fn rules() -> BreakerRules {
    BreakerRules {
        failures: 3,
        min_calls: 10,
        probes: 2,
        first_open_for: Duration::from_secs(1).into(),
        ..BreakerRules::default()
    }
}

fn failed_of(user: u64) -> Sign {
    Sign::Failed([user].into())
}

/// One try with this result; `None` if it was not let through.
fn attempt(breaker: &Breaker, sign: &Sign) -> Option<Change> {
    let now = Instant::now();
    let pass = breaker.admit(now, &rules()).ok()?;
    Some(breaker.record(&pass, sign, now, &rules()))
}

fn is_open(breaker: &Breaker) -> bool {
    matches!(breaker.0.lock().state, State::Open { .. })
}

fn is_closed(breaker: &Breaker) -> bool {
    matches!(breaker.0.lock().state, State::Closed)
}

fn rests(secs: u64) -> Result<Pass, Refusal> {
    Err(Refusal::Resting(Duration::from_secs(secs)))
}

#[tokio::test(start_paused = true)]
async fn failures_of_several_users_in_a_row_open_and_probes_close() {
    let breaker = Breaker::default();
    for sign in [
        failed_of(1),
        failed_of(2),
        Sign::Well,
        failed_of(3),
        failed_of(4),
    ] {
        assert!(attempt(&breaker, &sign).is_some());
    }
    assert!(!is_open(&breaker), "a success in between starts anew");
    assert!(attempt(&breaker, &failed_of(5)).unwrap().opened);
    assert_eq!(breaker.admit(Instant::now(), &rules()), rests(1));

    tokio::time::advance(Duration::from_secs(1)).await;
    let now = Instant::now();
    let first = breaker.admit(now, &rules()).unwrap();
    let second = breaker.admit(now, &rules()).unwrap();
    let third = breaker.admit(now, &rules());
    assert_eq!(third, Err(Refusal::Probing(Duration::from_secs(2))));
    breaker.record(&first, &Sign::Well, now, &rules());
    breaker.record(&second, &Sign::Nothing, now, &rules());
    assert!(
        attempt(&breaker, &Sign::Well).is_some(),
        "a probe without result is repeated"
    );
    assert!(is_closed(&breaker));
}

#[tokio::test(start_paused = true)]
async fn a_user_who_fails_again_and_again_opens_nothing() {
    let breaker = Breaker::default();
    let mut doubtful = 0;
    for _ in 0..30 {
        let change = attempt(&breaker, &failed_of(7)).unwrap();
        assert!(!change.opened && !change.lowered);
        doubtful += usize::from(change.doubtful);
    }
    assert_eq!(doubtful, 10, "the connection may be dead all the same");
    for other in 100..130 {
        attempt(&breaker, &Sign::Failed([7, other].into()));
    }
    assert!(
        is_closed(&breaker),
        "nor do batches with a message of theirs"
    );
    for user in 1..3 {
        attempt(&breaker, &failed_of(user));
    }
    assert!(is_open(&breaker));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_cannot_be_reached_is_nobodys_fault() {
    let breaker = Breaker::default();
    for _ in 0..3 {
        attempt(&breaker, &Sign::Unreachable);
    }
    assert!(is_open(&breaker));
}

#[tokio::test(start_paused = true)]
async fn each_failed_probe_makes_the_rest_longer_and_late_results_say_nothing() {
    let breaker = Breaker::default();
    let late = breaker.admit(Instant::now(), &rules()).unwrap();
    for user in 0..3 {
        attempt(&breaker, &failed_of(user));
    }
    for secs in [1, 2, 4, 5, 5] {
        assert_eq!(breaker.admit(Instant::now(), &rules()), rests(secs));
        tokio::time::advance(Duration::from_secs(secs)).await;
        assert!(attempt(&breaker, &failed_of(1)).unwrap().opened);
    }
    breaker.record(&late, &Sign::Well, Instant::now(), &rules());
    assert!(is_open(&breaker));
}

#[tokio::test(start_paused = true)]
async fn the_ratio_opens_within_its_window_only() {
    let breaker = Breaker::default();
    let mut user = 0;
    let mut half = |n: u64| {
        user += 1;
        if n.is_multiple_of(2) {
            Sign::Well
        } else {
            failed_of(user)
        }
    };
    for n in 0..9 {
        assert!(attempt(&breaker, &half(n)).is_some());
    }
    tokio::time::advance(Duration::from_secs(11)).await;
    attempt(&breaker, &half(1));
    assert!(!is_open(&breaker), "the old ones are forgotten");
    for n in 0..9 {
        attempt(&breaker, &half(n));
    }
    attempt(&breaker, &half(1));
    assert!(is_open(&breaker));
}

/// Begins as many tries as are allowed, up to `most`.
fn fill(breaker: &Breaker, most: usize) -> Vec<Pass> {
    let admit = || breaker.admit(Instant::now(), &rules()).ok();
    std::iter::from_fn(admit).take(most).collect()
}

/// Ends tries: those beyond what the endpoint can bear fail, each of another user.
fn end(breaker: &Breaker, passes: Vec<Pass>, bears: usize) -> bool {
    let now = Instant::now();
    let mut lowered = false;
    for (i, pass) in passes.into_iter().enumerate() {
        let sign = if i < bears {
            Sign::Well
        } else {
            failed_of(i as u64)
        };
        lowered |= breaker.record(&pass, &sign, now, &rules()).lowered;
    }
    lowered
}

#[tokio::test(start_paused = true)]
async fn tries_at_a_time_settle_at_what_the_endpoint_bears() {
    let breaker = Breaker::default();
    let mut got = Vec::new();
    let mut failed = 0;
    for round in 0..200 {
        tokio::time::advance(Duration::from_secs(11)).await;
        let passes = fill(&breaker, 400);
        let count = passes.len();
        if round >= 20 {
            got.push(count);
            failed += count.saturating_sub(100);
        }
        end(&breaker, passes, 100);
    }
    let all: usize = got.iter().sum();
    let mean = all / got.len();
    assert!((60..=130).contains(&mean), "{mean}: {got:?}");
    assert!(failed * 6 < all, "{failed} of {all} failed");
}

#[tokio::test(start_paused = true)]
async fn after_probes_the_tries_grow_again() {
    let breaker = Breaker::default();
    let many = fill(&breaker, 400);
    assert_eq!(many.len(), 400, "no limit without trouble");
    end(&breaker, many, 0);
    assert!(is_open(&breaker));
    tokio::time::advance(Duration::from_secs(1)).await;
    let mut got = Vec::new();
    for _ in 0..12 {
        let passes = fill(&breaker, 400);
        got.push(passes.len());
        end(&breaker, passes, 400);
    }
    assert_eq!(got[..8], [2, 2, 4, 8, 16, 32, 64, 128], "{got:?}");
    assert!(
        got[11] < 300,
        "slowly beyond the half of what was too much: {got:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn failures_of_one_user_lower_nothing() {
    let breaker = Breaker::default();
    for _ in 0..10 {
        let now = Instant::now();
        let passes = fill(&breaker, 40);
        for pass in &passes[..20] {
            assert!(!breaker.record(pass, &failed_of(7), now, &rules()).lowered);
        }
        for pass in &passes[20..] {
            breaker.record(pass, &Sign::Well, now, &rules());
        }
    }
    assert_eq!(fill(&breaker, 40).len(), 40);
}
