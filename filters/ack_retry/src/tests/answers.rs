//! Upstream: every business message is answered.

use linkgate_filter::{CloseCode, Command, Effect, Fault, Identity, Outcome};

use super::{EXACT, SECOND, acknowledge, answer, count, entries, kit, only};
use crate::ANSWER_TOO_BIG;

#[tokio::test(start_paused = true)]
async fn an_accepted_message_is_acknowledged_with_the_backends_answer() {
    let kit = kit(EXACT);
    let mut link = kit.link("alice");
    link.business("k1", "question");
    link.run().await;
    assert!(link.received().is_empty(), "nothing before the outcome");
    answer(&kit, Outcome::accepted("answer"));
    link.run().await;
    let ack = only(&mut link);
    assert_eq!(ack.command, Some(Command::UpstreamAck));
    assert_eq!((ack.key.as_str(), &ack.body[..]), ("k1", &b"answer"[..]));
    assert_eq!(count(&kit, "upstream_acks"), 1);
}

#[tokio::test(start_paused = true)]
async fn any_other_outcome_is_a_nack_with_the_fault() {
    let kit = kit(EXACT);
    let mut link = kit.link("alice");
    let fault = Fault::backend("backend.busy").retry_after(3 * SECOND);
    for (outcome, effect) in [
        (Outcome::Failed(fault.clone()), Effect::None),
        (Outcome::Unknown(fault.clone()), Effect::Unknown),
    ] {
        link.business("k1", "question");
        answer(&kit, outcome);
        link.run().await;
        let nack = only(&mut link);
        assert_eq!(nack.command, Some(Command::UpstreamNack));
        assert_eq!(nack.key, "k1");
        let told = nack.fault.unwrap();
        assert_eq!(
            (told.code, told.retry_after, told.effect),
            (fault.code.clone(), fault.retry_after, effect)
        );
    }
    assert_eq!(link.close_wanted(), None);
    assert_eq!(count(&kit, "upstream_nacks"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_wants_the_link_closed_closes_it() {
    let kit = kit(EXACT);
    let mut link = kit.link("alice");
    link.business("k1", "question");
    answer(
        &kit,
        Outcome::Failed(Fault::client("x.y").close(CloseCode::GARBAGE)),
    );
    link.run().await;
    assert_eq!(only(&mut link).command, Some(Command::UpstreamNack));
    assert_eq!(link.close_wanted(), Some(CloseCode::GARBAGE));
}

#[tokio::test(start_paused = true)]
async fn outcomes_in_any_order_meet_their_own_keys() {
    let kit = kit(EXACT);
    let mut link = kit.link("alice");
    for round in 0..3 {
        let sent: Vec<_> = (0..20).map(|n| format!("{round}-{n}")).collect();
        sent.iter().for_each(|key| link.business(key, key.clone()));
        let mut taken = kit.taken();
        taken.reverse();
        for m in taken {
            let body = m.body.clone();
            m.settle(Outcome::accepted(body));
        }
        link.run().await;
        let answers = link.received();
        assert!(answers.iter().all(|ack| ack.key.as_bytes() == ack.body));
        let mut keys: Vec<_> = answers.into_iter().map(|ack| ack.key).collect();
        keys.reverse();
        assert_eq!(keys, sent);
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_after_a_change_over_is_answered_once() {
    let kit = kit(EXACT);
    let mut link = kit.link("alice");
    link.business("k1", "question");
    link.change(&kit.pipeline(&entries("{ max_unacked: 5 }")), 60 * SECOND);
    link.advance(5 * SECOND).await;
    answer(&kit, Outcome::accepted("answer"));
    link.run().await;
    let ack = only(&mut link);
    assert_eq!(
        (ack.command, ack.key.as_str()),
        (Some(Command::UpstreamAck), "k1")
    );
}

#[tokio::test(start_paused = true)]
async fn an_outcome_for_a_client_that_has_gone_ends_its_chain() {
    let kit = kit(EXACT);
    let mut link = kit.link("alice");
    link.business("k1", "question");
    link.disconnect();
    link.run().await;
    assert!(!link.is_finished());
    answer(&kit, Outcome::accepted("answer"));
    link.run().await;
    assert!(link.is_finished());
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_end_here_and_do_no_harm() {
    let kit = kit(EXACT);
    let mut link = kit.link("alice");
    acknowledge(&mut link, "unknown");
    link.push("k", "body");
    acknowledge(&mut link, "k");
    acknowledge(&mut link, "k");
    link.run().await;
    assert!(kit.taken().is_empty());
    assert_eq!((count(&kit, "acked"), count(&kit, "unknown_acks")), (1, 2));
    assert!(
        kit.own().meter().faults().is_empty(),
        "no filter behind has seen them"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_large_leaves_the_acknowledgement() {
    let kit = kit(EXACT);
    let mut link = kit.open(Identity::new("chat", "alice"), |link| {
        link.with_max_frame(100)
    });
    for (size, told) in [(100, None), (101, Some(ANSWER_TOO_BIG))] {
        link.business("k1", "question");
        answer(&kit, Outcome::accepted(vec![7; size]));
        link.run().await;
        let ack = only(&mut link);
        assert_eq!(ack.command, Some(Command::UpstreamAck), "it was accepted");
        let fault = ack.fault.as_ref();
        assert_eq!(fault.map(|fault| &*fault.code), told);
        assert_eq!(ack.body.len(), if told.is_none() { size } else { 0 });
        // It has had its effect, and a retry would get no more.
        assert!(fault.is_none_or(|f| f.effect == Effect::Unknown && f.retry_after.is_none()));
    }
    assert_eq!(
        (count(&kit, "upstream_acks"), count(&kit, "answers_too_big")),
        (2, 1)
    );
}
