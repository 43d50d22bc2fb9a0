//! Pushes that are forwarded.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_push_is_forwarded_and_its_outcome_comes_back() {
    let (mut one, mut two) = pair(&Net::default(), &config()).await;
    let push = Arc::new(Source(Push {
        device_id: Some("phone".into()),
        all: true,
        ..push("k", 5).0.clone()
    }));
    let at = SystemClock.now() + Duration::from_secs(9);
    let receipt = Receipt::new(Arc::clone(&one.ears) as _, 1);
    let claims = [claim(two.life, 3), claim(two.life, 4)];
    let to = (&user("alice"), &claims[..]);
    one.peers.deliver(two.life, &push, Some(at), to, receipt);
    let (forwarded, answer) = two.delivered().await;
    assert_eq!(
        (forwarded.user, &*forwarded.claims),
        (user("alice"), &claims[..])
    );
    let come = &forwarded.push;
    assert_eq!((&*come.key, &*come.biz_id), ("k", "chat"));
    assert_eq!((&come.body, &come.device_id), (&push.body, &push.device_id));
    assert_eq!((come.ack, come.all), (true, true));
    let left = come.expires_at.unwrap().duration_since(SystemClock.wall());
    let left = left.unwrap();
    assert!(
        left <= Duration::from_secs(9) && left > Duration::from_secs(8),
        "{left:?}"
    );
    answer.settle(delivered());
    assert_eq!(one.settled().await, (1, Outcome::accepted("")));
}

#[tokio::test(start_paused = true)]
async fn every_outcome_is_told_as_it_is() {
    let (mut one, mut two) = pair(&Net::default(), &config()).await;
    let fault = |code: &'static str| Fault::client(code).retryable();
    let cases = [
        (ended(Ended::Sent, None), Outcome::sent()),
        (
            ended(Ended::Expired, Some(fault("push.expired").effect_unknown())),
            Outcome::Unknown(fault("push.expired").effect_unknown()),
        ),
        (
            ended(Ended::Rejected, Some(fault("push.too_many"))),
            Outcome::Failed(fault("push.too_many")),
        ),
        (
            ended(Ended::Offline, Some(fault("push.offline"))),
            Outcome::Failed(fault("link.gone")),
        ),
        (
            ended(Ended::Offline, Some(fault("push.offline").effect_unknown())),
            Outcome::Unknown(fault("link.gone").effect_unknown()),
        ),
    ];
    for (number, (outcome, expected)) in (1..).zip(cases) {
        one.deliver(two.life, &push("k", 5), "alice", number);
        two.delivered().await.1.settle(outcome);
        assert_eq!(one.settled().await, (number, expected));
    }
    one.deliver(two.life, &push("k", 5), "alice", 9);
    drop(two.delivered().await);
    assert_eq!(code(&one.settled().await.1), ("push.peer_silent", false));
}

#[tokio::test(start_paused = true)]
async fn a_push_of_a_thousand_receivers_crosses_once() {
    let (mut one, mut two) = pair(&Net::default(), &config()).await;
    let push = push("k", 100_000);
    for number in 1..=1_000 {
        one.deliver(two.life, &push, &format!("u{number}"), number);
    }
    let (first, answer) = two.delivered().await;
    let mut answers = vec![answer];
    for number in 2..=1_000 {
        let (forwarded, answer) = two.delivered().await;
        assert_eq!(
            forwarded.user,
            user(&format!("u{number}")),
            "in their order"
        );
        assert!(Arc::ptr_eq(&forwarded.push, &first.push));
        answers.push(answer);
    }
    assert_eq!(Arc::strong_count(&push), 1_001, "no frame keeps it");
    for answer in answers {
        answer.settle(delivered());
    }
    for number in 1..=1_000 {
        assert_eq!(one.settled().await, (number, Outcome::accepted("")));
    }
    two.hears_nothing().await;
    assert_eq!(Arc::strong_count(&push), 1);
    assert_eq!(
        Arc::strong_count(&first.push),
        1,
        "it is forgotten there too"
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_push_may_come_twice() {
    let (mut one, mut two) = pair(&Net::default(), &config()).await;
    let push = push("k", 5);
    let ids = [
        one.deliver(two.life, &push, "alice", 1),
        one.deliver(two.life, &push, "alice", 2),
    ];
    assert_ne!(ids[0], ids[1]);
    for _ in ids {
        let (forwarded, answer) = two.delivered().await;
        assert_eq!(forwarded.user, user("alice"));
        answer.settle(delivered());
    }
    assert_eq!(one.settled().await.0, 1);
    assert_eq!(one.settled().await.0, 2);
}

#[tokio::test(start_paused = true)]
async fn parking_is_told_whenever_it_happens() {
    let (mut one, mut two) = pair(&Net::default(), &config()).await;
    let (say, mut parked) = mpsc::channel(16);
    let note = |answer: &Answer, number: u64| {
        let say = say.clone();
        answer.when_parked(move || say.try_send(number).unwrap());
    };
    let push = push("k", 5);
    let before = one.deliver(two.life, &push, "alice", 1);
    one.peers.park(two.life, before);
    let (_, first) = two.delivered().await;
    two.hears_nothing().await;
    note(&first, 1);
    assert_eq!(parked.try_recv(), Ok(1));
    let after = one.deliver(two.life, &push, "bob", 2);
    let (_, second) = two.delivered().await;
    note(&second, 2);
    assert!(parked.try_recv().is_err());
    one.peers.park(two.life, after);
    assert_eq!(parked.recv().await, Some(2));
    second.settle(delivered());
    one.settled().await;
    one.peers.park(two.life, after);
    two.hears_nothing().await;
    assert!(parked.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_lone_push_waits_for_nothing() {
    let (mut one, mut two) = pair(&Net::default(), &config()).await;
    let begun = tokio::time::Instant::now();
    for number in 1..=20 {
        one.deliver(two.life, &push("k", 5), "alice", number);
        two.delivered().await.1.settle(delivered());
        assert_eq!(one.settled().await.0, number);
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_is_said_at_once_is_written_at_once() {
    let net = Net::default();
    let (mut one, mut two) = pair(&net, &config()).await;
    one.deliver(two.life, &push("warm", 5), "alice", 0);
    two.delivered().await.1.settle(delivered());
    one.settled().await;
    let before = net.written.load(Ordering::Relaxed);
    let push = push("k", 5);
    for number in 1..=100 {
        one.deliver(two.life, &push, "alice", number);
    }
    for _ in 1..=100 {
        two.delivered().await.1.settle(delivered());
    }
    let writes = net.written.load(Ordering::Relaxed) - before;
    assert!(writes < 10, "{writes} writes for 100 deliveries");
}
