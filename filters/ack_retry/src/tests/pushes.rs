//! Downstream, on one link.

use linkgate_filter::{Answer, Command, Identity, Outcome};
use tokio::time::Instant;

use super::{EXACT, SECOND, acknowledge, code, count, entries, keys, kit, only};
use crate::{AckRetryFilter, EXPIRED, UNACKNOWLEDGED, WINDOW_FULL};

#[test]
fn an_idle_filter_is_small() {
    assert!(
        size_of::<AckRetryFilter>() <= 160,
        "{} bytes on each link",
        size_of::<AckRetryFilter>()
    );
}

#[tokio::test(start_paused = true)]
async fn a_push_is_sent_again_after_growing_waits_until_it_is_acknowledged() {
    let kit = kit(EXACT);
    let mut link = kit.link("alice");
    let start = Instant::now();
    let push = link.push("k", "body");
    let mut times = Vec::new();
    for _ in 0..4 {
        let m = link.next().await;
        assert_eq!(
            (m.command, m.key.as_str(), &m.body[..]),
            (Some(Command::DownstreamMessage), "k", &b"body"[..])
        );
        assert!(m.ack && !m.has_receipt());
        times.push(start.elapsed().as_secs());
    }
    assert_eq!(times, [0, 10, 30, 70]);
    assert_eq!(push.outcome(), None);
    acknowledge(&mut link, "k");
    let confirmed = Answer {
        confirmed: true,
        ..Answer::default()
    };
    assert_eq!(
        push.outcome(),
        Some(Outcome::Accepted(confirmed)),
        "settled at once"
    );
    link.advance(3_600 * SECOND).await;
    assert!(link.received().is_empty(), "retransmission has stopped");
    assert_eq!(
        (count(&kit, "transmitted"), count(&kit, "retransmitted")),
        (1, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn a_push_that_nobody_acknowledges_is_given_up() {
    let kit = kit("{ retry: { jitter: 0, max_attempts: 2 } }");
    let mut link = kit.link("alice");
    let push = link.push("k", "body");
    link.next().await;
    link.next().await;
    link.advance(20 * SECOND).await;
    assert_eq!(code(&push).as_deref(), Some(UNACKNOWLEDGED));
    assert!(link.received().is_empty());
    acknowledge(&mut link, "k");
    assert_eq!(
        (count(&kit, "unacknowledged"), count(&kit, "unknown_acks")),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_push_ends_at_its_expiry() {
    let kit = kit(EXACT);
    let mut link = kit.link("alice");
    let expires_at = (Instant::now() + 15 * SECOND).into_std();
    let push = link.push_with("k", "body", |mut m| {
        m.expires_at = Some(expires_at);
        m
    });
    link.advance(10 * SECOND).await;
    assert_eq!(link.received().len(), 2);
    link.advance(5 * SECOND).await;
    assert_eq!(code(&push).as_deref(), Some(EXPIRED));
    link.advance(60 * SECOND).await;
    assert!(link.received().is_empty());
    assert_eq!(count(&kit, "expired"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_timer_of_a_settled_push_does_not_hurry_the_next() {
    let kit = kit(EXACT);
    let mut link = kit.link("alice");
    link.push("a", "");
    acknowledge(&mut link, "a");
    link.advance(7 * SECOND).await;
    link.push("b", "");
    assert_eq!(keys(&mut link), ["a", "b"]);
    link.advance(9 * SECOND).await;
    assert!(link.received().is_empty());
    link.advance(SECOND).await;
    assert_eq!(keys(&mut link), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_nearer_deadline_is_met_though_a_later_one_is_armed() {
    let kit = kit(EXACT);
    let mut link = kit.link("alice");
    link.push("slow", "");
    let expires_at = (Instant::now() + 2 * SECOND).into_std();
    let brief = link.push_with("brief", "", |mut m| {
        m.expires_at = Some(expires_at);
        m
    });
    link.advance(2 * SECOND).await;
    assert_eq!(code(&brief).as_deref(), Some(EXPIRED));
    link.received();
    link.advance(8 * SECOND).await;
    assert_eq!(keys(&mut link), ["slow"]);
}

#[tokio::test(start_paused = true)]
async fn a_push_without_acknowledgement_passes_untouched() {
    let kit = kit(EXACT);
    let mut link = kit.link("alice");
    let push = link.push_with("k", "body", |mut m| {
        m.ack = false;
        m
    });
    assert!(!only(&mut link).ack);
    assert_eq!(
        push.outcome(),
        Some(Outcome::sent()),
        "settled by whoever wrote it"
    );
}

#[tokio::test(start_paused = true)]
async fn beyond_the_window_pushes_wait_in_order_and_then_are_refused() {
    let kit = kit("{ max_unacked: 2, max_waiting: 2 }");
    let mut link = kit.link("alice");
    let pushes = ["a", "b", "c", "d", "e"].map(|key| link.push(key, ""));
    assert_eq!(keys(&mut link), ["a", "b"]);
    assert_eq!(code(&pushes[4]).as_deref(), Some(WINDOW_FULL));
    acknowledge(&mut link, "b");
    acknowledge(&mut link, "a");
    assert_eq!(keys(&mut link), ["c", "d"]);
    for key in ["d", "c"] {
        acknowledge(&mut link, key);
    }
    assert!(
        pushes[..4]
            .iter()
            .all(|push| code(push).as_deref() == Some("accepted"))
    );
    assert_eq!((count(&kit, "waited"), count(&kit, "window_full")), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_same_key_twice_is_sent_once() {
    let kit = kit(EXACT);
    let mut link = kit.link("alice");
    let pushes = [link.push("k", "body"), link.push("k", "body")];
    assert_eq!(keys(&mut link), ["k"]);
    acknowledge(&mut link, "k");
    for push in &pushes {
        assert_eq!(code(push).as_deref(), Some("accepted"));
    }
    assert_eq!(count(&kit, "joined"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_same_key_with_another_body_is_not_called_delivered() {
    let kit = kit(EXACT);
    let mut link = kit.link("alice");
    let (first, other) = (link.push("k", "body"), link.push("k", "other"));
    assert_eq!(keys(&mut link), ["k"]);
    assert_eq!(code(&other).as_deref(), Some("push.key_reused"));
    acknowledge(&mut link, "k");
    assert_eq!(code(&first).as_deref(), Some("accepted"));
}

#[tokio::test(start_paused = true)]
async fn the_links_of_a_business_share_its_budget() {
    let budget =
        "{ retry: { jitter: 0, budget: { ratio: 0.5, min_per_second: 1, shared_per_second: 0 } } }";
    let kit = kit(budget);
    let (mut noisy, mut quiet) = (kit.link("noisy"), kit.link("quiet"));
    for n in 0..100 {
        noisy.push(&n.to_string(), "");
    }
    quiet.push("k", "");
    noisy.received();
    quiet.received();
    noisy.advance(10 * SECOND).await;
    // 101 first transmissions have faded to 37, of which half may be repeated, and 10 in any case.
    assert_eq!(noisy.received().len(), 28);
    quiet.run().await;
    assert!(
        quiet.received().is_empty(),
        "nothing is left for the other link"
    );
    assert_eq!(count(&kit, "put_off"), 73);
    assert_eq!(quiet.next().await.key, "k", "put off, not lost");
}

#[tokio::test(start_paused = true)]
async fn a_business_that_sends_much_again_keeps_no_other_from_it() {
    let budget =
        "{ retry: { jitter: 0, budget: { ratio: 0, min_per_second: 1, shared_per_second: 1 } } }";
    let kit = kit(budget);
    let mut noisy = kit.link("ann");
    let mut quiet = kit.open(Identity::new("other", "bob"), |link| link);
    for n in 0..100 {
        noisy.push(&n.to_string(), "");
    }
    quiet.push("k", "");
    assert_eq!((keys(&mut noisy).len(), keys(&mut quiet).len()), (100, 1));
    noisy.advance(10 * SECOND).await;
    assert_eq!(
        keys(&mut noisy).len(),
        20,
        "its own, and all that is shared"
    );
    quiet.run().await;
    assert_eq!(keys(&mut quiet), ["k"]);
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_cannot_allow_itself_more_of_what_all_share() {
    let budget = |shared: u32| {
        format!(
            "{{ retry: {{ jitter: 0, budget: {{ ratio: 0, min_per_second: 1, shared_per_second: {shared} }} }} }}"
        )
    };
    let kit = kit(&budget(1));
    let _other = kit.open(Identity::new("other", "bob"), |link| link);
    let mut greedy = kit.link("ann");
    let pipeline = kit.pipeline(&entries(&budget(1_000)));
    greedy.change(&pipeline, SECOND);
    for n in 0..100 {
        greedy.push(&n.to_string(), "");
    }
    assert_eq!(keys(&mut greedy).len(), 100);
    greedy.advance(10 * SECOND).await;
    assert_eq!(keys(&mut greedy).len(), 20);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_push_passes() {
    let kit = kit(EXACT);
    let mut link = kit.link("alice");
    link.push_with("k", "elsewhere", |mut m| {
        m.command = Some(Command::Redirect);
        m
    });
    assert_eq!(only(&mut link).command, Some(Command::Redirect));
    assert_eq!(count(&kit, "transmitted"), 0);
}
