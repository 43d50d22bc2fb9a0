//! What was sent is never reported as if nobody could have it, and clocks of other machines decide nothing.

use std::time::Duration;

use linkgate_filter::{Fault, Outcome};
use linkgate_proto::v1::fault::Effect;

use super::rig::{Mood, Rig, group, json};

const SECOND: Duration = Duration::from_secs(1);

fn gone(effect_unknown: bool) -> Outcome {
    let fault = Fault::gateway("link.gone").retryable();
    match effect_unknown {
        true => Outcome::Unknown(fault.effect_unknown()),
        false => Outcome::Failed(fault),
    }
}

/// The effect of the one report of `k` to ann.
fn effect(rig: &Rig) -> Effect {
    let [report] = rig.reports_of("pushes/0/0/ann").try_into().unwrap();
    report.reason.unwrap().effect()
}

#[tokio::test(start_paused = true)]
async fn a_push_that_was_sent_before_a_stop_waits_for_its_client_after_a_late_start() {
    for comes_back in [true, false] {
        let rig = Rig::new("release_within: 5s, retry_after: 5s, offline_after: 5s");
        let ann = rig.connect("ann");
        rig.write(json("k", "ann"));
        let reader = rig.read();
        rig.until(|| ann.keys() == ["k"]).await;
        rig.remove(&ann);
        ann.settle(gone(true));
        reader.stop().await;
        tokio::time::sleep(SECOND * 8).await;
        let reader = rig.read();
        tokio::time::sleep(SECOND * 4).await;
        assert!(rig.reports().is_empty());
        if comes_back {
            let ann = rig.connect("ann");
            rig.until(|| ann.keys() == ["k"]).await;
            ann.ack();
            rig.until(|| rig.reports() == ["k ann DELIVERED 2"]).await;
        } else {
            rig.until(|| rig.reports() == ["k ann OFFLINE 2"]).await;
            assert_eq!(effect(&rig), Effect::Unknown);
        }
        reader.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_says_of_what_it_parks_whether_it_was_sent() {
    for (says, sent) in [(Some(true), true), (Some(false), false), (None, true)] {
        let rig = Rig::new("release_within: 5s");
        let ann = rig.connect("ann");
        rig.write(json("k", "ann"));
        let reader = rig.read();
        rig.until(|| ann.keys() == ["k"]).await;
        rig.remove(&ann);
        let stopping = tokio::spawn(reader.stop());
        rig.settle_in().await;
        if let Some(effect_unknown) = says {
            ann.settle(gone(effect_unknown));
        }
        stopping.await.unwrap();
        let parked = rig.broker.records("pushes_parked");
        let header = |name: &str| {
            let mut headers = parked[0].headers.iter();
            let header = headers.find(|(own, _)| own == name)?;
            Some(String::from_utf8(header.1.to_vec()).unwrap())
        };
        assert_eq!(header("linkgate-sent").is_some(), sent, "{says:?}");
        assert_eq!(header("linkgate-rest-ms").as_deref(), Some("0"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_whose_link_went_is_not_reported_as_if_nobody_had_it() {
    let rig = Rig::new("offline_after: 5s");
    let ann = rig.connect("ann");
    rig.write(group("k", &["ann", "bob"]));
    let reader = rig.read();
    rig.until(|| ann.keys() == ["k"]).await;
    rig.remove(&ann);
    ann.settle(gone(true));
    rig.until(|| rig.reports() == ["k ann OFFLINE 1", "k bob OFFLINE 1"])
        .await;
    assert_eq!(effect(&rig), Effect::Unknown);
    let bob = &rig.reports_of("pushes/0/0/bob")[0];
    assert_eq!(bob.reason.as_ref().unwrap().effect(), Effect::None);
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_push_that_the_broker_does_not_park_may_have_arrived_if_it_was_sent() {
    let rig = Rig::new("max_hold: 10s");
    let _ann = rig.connect("ann");
    rig.write(json("k", "ann"));
    rig.mood("pushes_parked", Mood::Refuses);
    let reader = rig.read();
    rig.until(|| rig.reports() == ["k ann REJECTED 1"]).await;
    assert_eq!(effect(&rig), Effect::Unknown);
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn times_of_day_of_other_machines_decide_nothing() {
    // A clock that is years behind, and one that is years ahead; as written now, and by the former version.
    for first in ["5", "4102444800000"] {
        for former in [true, false] {
            let rig = Rig::new("give_up_after: 60s, offline_after: 1s");
            let mut headers = vec![
                ("linkgate-id", "pushes/0/0"),
                ("linkgate-parked", "1"),
                ("linkgate-first-ms", first),
            ];
            match former {
                true => headers.push(("linkgate-not-before-ms", first)),
                false => headers.extend([("linkgate-age-ms", "30000"), ("linkgate-rest-ms", "0")]),
            }
            let ann = rig.connect("ann");
            rig.write_parked(&headers);
            let reader = rig.read();
            rig.until(|| ann.keys() == ["k"]).await;
            ann.ack();
            rig.until(|| rig.reports() == ["k ann DELIVERED 2"]).await;
            reader.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_nodes_have_waited_adds_up_and_a_rest_counts_from_when_it_is_read() {
    let rig = Rig::new("give_up_after: 60s, max_hold: 10s, retry_after: 5s");
    let ann = rig.connect("ann");
    rig.write_parked(&[
        ("linkgate-id", "pushes/0/0"),
        ("linkgate-parked", "7"),
        ("linkgate-first-ms", "1767225600000"),
        ("linkgate-age-ms", "40000"),
        ("linkgate-rest-ms", "3000"),
    ]);
    // It lies there for an hour, and nobody waits.
    tokio::time::sleep(SECOND * 3600).await;
    let begun = tokio::time::Instant::now();
    let reader = rig.read();
    rig.until(|| ann.keys() == ["k"]).await;
    assert!((SECOND * 3..SECOND * 4).contains(&begun.elapsed()));
    // 3s of rest and 10s of holding; 5s of rest and 2s that are left: looked at after 10s.
    rig.until(|| rig.reports() == ["k ann EXPIRED 9"]).await;
    assert!((SECOND * 27..SECOND * 30).contains(&begun.elapsed()));
    let report = &rig.reports_of("pushes/0/0/ann")[0];
    assert_eq!(report.received_at, 1_767_225_600_000);
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_has_been_waited_for_has_time_to_come_after_a_start_and_no_more_after_a_park() {
    let rig = Rig::new("offline_after: 5s, max_hold: 3s, retry_after: 1s");
    let headers = [
        ("linkgate-id", "pushes/0/0"),
        ("linkgate-parked", "1"),
        ("linkgate-first-ms", "1767225600000"),
        ("linkgate-waited-ms", "60000"),
    ];
    rig.write_parked(&headers);
    let begun = tokio::time::Instant::now();
    let reader = rig.read();
    rig.until(|| rig.reports() == ["k ann OFFLINE 3"]).await;
    assert!((SECOND * 5..SECOND * 6).contains(&begun.elapsed()));
    // Later a user is waited for once, however often the push is parked meanwhile: for 3 s and 2 s, with a rest between.
    let begun = tokio::time::Instant::now();
    rig.write(json("k2", "ann"));
    rig.until(|| rig.reports().len() == 2).await;
    assert_eq!(rig.reports()[1], "k2 ann OFFLINE 2");
    assert!((SECOND * 6..SECOND * 7).contains(&begun.elapsed()));
    reader.stop().await;
}
