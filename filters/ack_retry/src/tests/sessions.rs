//! Downstream, across links and pipelines.

use linkgate_filter::Outcome;
use linkgate_filter::testkit::{Pushed, TestLink, Testkit};
use proptest::prelude::{ProptestConfig, Strategy, any, prop_oneof, proptest};
use tokio::time::Instant;

use super::{EXACT, SECOND, acknowledge, code, count, entries, keys, kit};
use crate::{OFFLINE, REPLACED};

#[tokio::test(start_paused = true)]
async fn a_client_that_returns_gets_what_it_missed_oldest_first() {
    let kit = kit("{ max_unacked: 2, retry: { jitter: 0 } }");
    let mut phone = kit.link("alice");
    let pushes = ["a", "b", "c"].map(|key| phone.push(key, ""));
    phone.disconnect();
    phone.advance(60 * SECOND).await;
    assert_eq!(keys(&mut phone), ["a", "b"], "nothing is sent to nobody");
    assert!(!phone.is_finished(), "the chain lives on for its pushes");

    let mut again = kit.relogin(&mut phone);
    phone.run().await;
    assert!(phone.is_finished());
    let sent = again.received();
    assert!(
        sent.iter().all(|m| m.link.id == again.info().id),
        "for the link there is"
    );
    assert_eq!(
        sent.into_iter().map(|m| m.key).collect::<Vec<_>>(),
        ["a", "b"]
    );
    for key in ["a", "b", "c"] {
        acknowledge(&mut again, key);
    }
    assert_eq!(keys(&mut again), ["c"], "the third after one of the first");
    assert!(
        pushes
            .iter()
            .all(|push| code(push).as_deref() == Some("accepted"))
    );
    assert_eq!((count(&kit, "parked"), count(&kit, "resumed")), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn the_retransmission_goes_on_after_the_return() {
    let kit = kit(EXACT);
    let mut phone = kit.link("alice");
    phone.push("a", "");
    phone.disconnect();
    let mut again = kit.relogin(&mut phone);
    drop(phone);
    let start = Instant::now();
    let mut times = Vec::new();
    for _ in 0..3 {
        again.next().await;
        times.push(start.elapsed().as_secs());
    }
    assert_eq!(times, [0, 10, 30]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stays_away_is_offline_and_its_chain_ends() {
    let kit = kit(EXACT);
    let mut phone = kit.link("alice");
    let push = phone.push("a", "");
    phone.advance(8 * SECOND).await;
    phone.disconnect();
    phone.advance(119 * SECOND).await;
    assert_eq!(push.outcome(), None);
    phone.advance(SECOND).await;
    assert_eq!(code(&push).as_deref(), Some(OFFLINE));
    assert!(matches!(push.outcome(), Some(Outcome::Unknown(_))));
    assert!(phone.is_finished());
    let mut again = kit.relogin(&mut phone);
    assert!(again.received().is_empty(), "what is settled is not sent");
}

#[tokio::test(start_paused = true)]
async fn without_pending_pushes_nothing_lives_on() {
    let kit = kit(EXACT);
    let mut phone = kit.link("alice");
    phone.push("a", "");
    acknowledge(&mut phone, "a");
    phone.disconnect();
    phone.run().await;
    assert!(phone.is_finished());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_where_nobody_may_return() {
    let kit = kit("{ resume_for: 0s }");
    let mut phone = kit.link("alice");
    let push = phone.push("a", "");
    phone.disconnect();
    assert_eq!(code(&push).as_deref(), Some(OFFLINE));
    phone.run().await;
    assert!(phone.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_push_that_meets_a_link_that_has_just_gone_waits_for_the_return() {
    let kit = kit(EXACT);
    let mut phone = kit.link("alice");
    phone.disconnect();
    let push = phone.push("late", "");
    assert!(phone.received().is_empty() && push.outcome().is_none());
    let mut again = kit.relogin(&mut phone);
    assert_eq!(keys(&mut again), ["late"]);
}

#[tokio::test(start_paused = true)]
async fn a_second_login_takes_over_while_the_first_link_is_open() {
    let kit = kit(EXACT);
    let mut first = kit.link("alice");
    let push = first.push("a", "");
    let mut second = kit.relogin(&mut first);
    assert_eq!(keys(&mut second), ["a"]);
    let refused = first.push("b", "");
    assert_eq!(code(&refused).as_deref(), Some(REPLACED));
    assert!(
        refused
            .outcome()
            .unwrap()
            .fault()
            .unwrap()
            .retry_after
            .is_some()
    );
    acknowledge(&mut first, "a");
    assert_eq!(
        push.outcome(),
        None,
        "the link that was replaced has no say"
    );
    first.disconnect();
    first.run().await;
    assert!(first.is_finished(), "nothing of it is parked");
    drop(first);
    acknowledge(&mut second, "a");
    assert_eq!(code(&push).as_deref(), Some("accepted"));
    assert_eq!(count(&kit, "replaced"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_pipeline_sends_nothing_and_keeps_everything() {
    let kit = kit(EXACT);
    let mut link = kit.link("alice");
    let push = link.push("a", "");
    link.advance(6 * SECOND).await;
    link.change(
        &kit.pipeline(&entries("{ retry: { jitter: 0, multiplier: 3 } }")),
        30 * SECOND,
    );
    link.run().await;
    assert_eq!(keys(&mut link), ["a"]);
    let start = Instant::now();
    link.next().await;
    assert_eq!(start.elapsed().as_secs(), 4, "the deadline is kept");
    link.next().await;
    assert_eq!(
        start.elapsed().as_secs(),
        34,
        "the next wait is the new pipeline's"
    );
    acknowledge(&mut link, "a");
    assert_eq!(code(&push).as_deref(), Some("accepted"));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_takes_the_filter_away_settles_what_it_kept() {
    let kit = kit(EXACT);
    let mut link = kit.link("alice");
    let push = link.push("a", "");
    let without = kit.pipeline("[{ use: test_decoded }, { use: test_end }]");
    link.change(&without, 30 * SECOND);
    link.advance(30 * SECOND).await;
    assert_eq!(code(&push).as_deref(), Some(OFFLINE));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_leaves_no_push_without_an_outcome() {
    let kit = kit(EXACT);
    let mut phone = kit.link("alice");
    let pushes = ["a", "b"].map(|key| phone.push(key, ""));
    phone.disconnect();
    phone.chains().give_up();
    drop(phone);
    assert!(
        pushes
            .iter()
            .all(|push| code(push).as_deref() == Some(OFFLINE))
    );
}

#[derive(Clone, Debug)]
enum Step {
    Push(u8),
    Acknowledge(u8),
    Wait(u16),
    Disconnect,
    Login,
    Change(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..8_u8).prop_map(Step::Push),
        3 => (0..8_u8).prop_map(Step::Acknowledge),
        3 => (0..60_u16).prop_map(Step::Wait),
        1 => any::<()>().prop_map(|()| Step::Disconnect),
        2 => any::<()>().prop_map(|()| Step::Login),
        2 => any::<bool>().prop_map(Step::Change),
    ]
}

/// A client and its links; the last one is the one it uses.
struct Client {
    kit: Testkit,
    links: Vec<TestLink>,
    connected: bool,
    pushes: Vec<Pushed>,
}

impl Client {
    async fn take(&mut self, step: Step) {
        let link = self.links.last_mut().unwrap();
        match step {
            Step::Push(key) => self.pushes.push(link.push(&key.to_string(), "")),
            Step::Acknowledge(key) if self.connected => acknowledge(link, &key.to_string()),
            Step::Wait(seconds) => tokio::time::advance(u32::from(seconds) * SECOND).await,
            Step::Disconnect => {
                link.disconnect();
                self.connected = false;
            }
            Step::Login => {
                let link = self.kit.relogin(link);
                self.links.push(link);
                self.connected = true;
            }
            Step::Change(small) => {
                let config = if small {
                    "{ max_unacked: 1 }"
                } else {
                    "{ resume_for: 10s }"
                };
                link.change(&self.kit.pipeline(&entries(config)), 5 * SECOND);
            }
            Step::Acknowledge(_) => {}
        }
        for link in &mut self.links {
            link.run().await;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn every_push_settles_once_on_whatever_link_and_pipeline(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let kit = kit("{ max_unacked: 3, max_waiting: 3 }");
            let first = kit.link("alice");
            let mut client = Client { kit, links: vec![first], connected: true, pushes: Vec::new() };
            for step in steps {
                client.take(step).await;
            }
            client.links.iter_mut().for_each(TestLink::disconnect);
            for _ in 0..3 {
                client.take(Step::Wait(60)).await;
            }
            assert!(client.links.iter().all(TestLink::is_finished), "no chain lives on");
            for push in &client.pushes {
                let code = code(push).expect("each has an outcome");
                assert_ne!(code, linkgate_filter::Receipt::DROPPED);
            }
        });
    }
}
