//! Users who come and go: what is waited for, how long, and what is said at the end.

use std::time::Duration;

use linkgate_filter::broker::Event;
use linkgate_filter::{Fault, Outcome};
use linkgate_proto::v1::PushReport;
use linkgate_proto::v1::fault::Effect;

use super::rig::{Rig, json};
use crate::pipeline::Standing;

const SECOND: Duration = Duration::from_secs(1);

fn to_device(key: &str, device: &str) -> String {
    json(key, "ann").replace('}', &format!(r#","device_id":"{device}"}}"#))
}

fn no_room() -> Fault {
    Fault::gateway("link.queue_full").retryable()
}

fn gone() -> Outcome {
    Outcome::Failed(Fault::client("link.gone").retryable())
}

#[tokio::test(start_paused = true)]
async fn who_was_here_has_time_to_come_back_however_long_there_was_no_room() {
    let rig = Rig::new("offline_after: 5s, max_hold: 60s");
    let ann = rig.connect("ann");
    ann.refuse(no_room());
    let reader = rig.read();
    for key in ["k1", "k2", "k3"] {
        rig.write(json(key, "ann"));
    }
    tokio::time::sleep(SECOND * 8).await;
    rig.remove(&ann);
    tokio::time::sleep(SECOND * 4).await;
    let ann = rig.connect("ann");
    rig.until(|| ann.keys() == ["k1", "k2", "k3"]).await;
    assert!(rig.reports().is_empty(), "{:?}", rig.reports());
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_goes_late_may_come_back() {
    let rig = Rig::new("offline_after: 5s, max_hold: 60s");
    let ann = rig.connect("ann");
    rig.write(json("k", "ann"));
    let reader = rig.read();
    rig.until(|| ann.keys() == ["k"]).await;
    tokio::time::sleep(SECOND * 8).await;
    rig.remove(&ann);
    ann.settle(gone());
    tokio::time::sleep(SECOND * 4).await;
    assert!(rig.reports().is_empty(), "{:?}", rig.reports());
    let back = rig.connect("ann");
    rig.until(|| back.keys() == ["k"]).await;
    rig.remove(&back);
    back.settle(gone());
    rig.until(|| rig.reports() == ["k ann OFFLINE 1"]).await;
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_away_holds_up_no_other() {
    let rig = Rig::new("offline_after: 60s, max_hold: 120s");
    let phone = rig.connect_at("ann", "phone");
    let reader = rig.read();
    rig.write(to_device("tablet-1", "tablet"));
    rig.write(to_device("phone-1", "phone"));
    rig.until(|| phone.keys() == ["phone-1"]).await;
    // What is for all devices stays behind what is for one, and so does what comes after it.
    rig.write(json("all-2", "ann"));
    rig.write(to_device("phone-3", "phone"));
    tokio::time::sleep(SECOND).await;
    assert_eq!(phone.keys(), ["phone-1"]);
    let tablet = rig.connect_at("ann", "tablet");
    rig.until(|| phone.keys() == ["phone-1", "all-2", "phone-3"])
        .await;
    assert_eq!(tablet.keys(), ["tablet-1", "all-2"]);
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_rested_for_long_has_its_time_again() {
    let rig = Rig::broadcast("max_hold: 10s");
    let ann = rig.connect("ann");
    let reader = rig.read();
    rig.settle_in().await;
    rig.write(json("k0", "ann"));
    rig.until(|| ann.settle(Outcome::accepted(""))).await;
    rig.until(|| rig.done() == Some(1)).await;
    rig.write(json("k", "ann"));
    rig.until(|| ann.keys() == ["k"]).await;
    ann.refuse(no_room());
    rig.tell(Event::Lost(vec![rig.partition()]));
    rig.write(json("k2", "ann"));
    tokio::time::sleep(SECOND).await;
    // The link goes while the partition is elsewhere.
    rig.remove(&ann);
    ann.settle(gone());
    tokio::time::sleep(SECOND * 60).await;
    let ann = rig.connect("ann");
    rig.broker.lose("g-node");
    rig.until(|| ann.keys().contains(&"k".to_owned())).await;
    tokio::time::sleep(SECOND).await;
    while ann.settle(Outcome::accepted("")) {}
    rig.until(|| rig.reports().contains(&"k ann DELIVERED 1".to_owned()))
        .await;
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_comes_again_is_not_answered_from_what_was_parked() {
    let rig = Rig::new("max_hold: 2s, min_hold: 1s, retry_after: 5s");
    let ann = rig.connect("ann");
    rig.write(json("k", "ann"));
    let reader = rig.read();
    rig.until(|| rig.broker.records("pushes_parked").len() == 1)
        .await;
    ann.ack();
    rig.until(|| rig.reports() == ["k ann DELIVERED 2"]).await;
    rig.write(json("k", "ann").replace("aGk=", "bm8="));
    rig.until(|| rig.reports().len() == 2).await;
    assert_eq!(rig.reports()[1], "k ann REJECTED 1", "it is another push");
    // Long after it is a key like any other.
    tokio::time::sleep(SECOND * 3600 * 24).await;
    rig.write(json("k", "ann").replace("aGk=", "bm8="));
    rig.until(|| ann.keys() == ["k"]).await;
    reader.stop().await;
}

fn effect_of(report: &PushReport) -> (String, Effect) {
    let reason = report.reason.as_ref().unwrap();
    (reason.code.clone(), reason.effect())
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_goes_to_the_dead_letters_and_says_whether_it_was_sent() {
    for (is_sent, code, effect) in [
        (true, "push.unsettled", Effect::Unknown),
        (false, "push.not_sent", Effect::None),
    ] {
        let rig = Rig::new(
            "max_hold: 2s, min_hold: 1s, retry_after: 2s, give_up_after: 5s, on_expired: dead_letter",
        );
        let ann = rig.connect("ann");
        if !is_sent {
            rig.stand(Standing::NotReady);
        }
        rig.write(json("k", "ann"));
        let reader = rig.read();
        rig.until(|| rig.reports().len() == 1).await;
        let report = &rig.reports_of(rig.ids().first().unwrap())[0];
        assert_eq!(effect_of(report), (code.to_owned(), effect));
        assert_eq!(rig.broker.records("pushes_dead").len(), 1);
        assert_eq!(ann.keys().len(), usize::from(is_sent));
        reader.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_park_is_counted_as_no_report() {
    let rig = Rig::new("max_hold: 2s, min_hold: 1s, retry_after: 60s");
    rig.connect("ann");
    rig.write(json("k", "ann"));
    let reader = rig.read();
    rig.until(|| rig.broker.records("pushes_parked").len() == 1)
        .await;
    assert_eq!(rig.reports_metric(), 0);
    reader.stop().await;
}
