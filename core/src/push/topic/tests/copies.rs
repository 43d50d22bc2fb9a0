//! Reports of one push for one receiver, when there are several.

use linkgate_proto::v1::PushReport;
use linkgate_proto::v1::receiver_outcome::Status;

use super::rig::{Rig, json};

/// The one that a consumer keeps, as `report.proto` says.
fn merged(reports: &[PushReport]) -> &PushReport {
    let rank = |report: &PushReport| match report.status() {
        Status::Unspecified => 0,
        Status::Rejected => 1,
        Status::Offline => 2,
        Status::Expired => 3,
        Status::Sent => 4,
        Status::Delivered => 5,
    };
    let best = reports.iter().max_by_key(|own| (rank(own), own.attempt));
    best.unwrap()
}

#[tokio::test(start_paused = true)]
async fn reports_of_a_push_that_is_read_again_after_a_crash_can_be_merged() {
    let rig = Rig::new("offline_after: 1s");
    let (ann, bob) = (rig.connect("ann"), rig.connect("bob"));
    rig.write(json("k1", "bob"));
    rig.write(json("k2", "ann"));
    let reader = rig.read();
    rig.until(|| bob.keys() == ["k1"] && ann.keys() == ["k2"])
        .await;
    ann.ack();
    rig.until(|| rig.reports() == ["k2 ann DELIVERED 1"]).await;
    // The offset stands before k1 still.
    reader.kill().await;
    rig.remove(&ann);
    let reader = rig.read();
    rig.until(|| rig.reports() == ["k2 ann DELIVERED 1", "k2 ann OFFLINE 1"])
        .await;
    let reports = rig.reports_of("pushes/0/1/ann");
    assert_eq!(reports.len(), 2);
    assert!(reports[0].attempt < reports[1].attempt);
    assert_eq!(merged(&reports).status(), Status::Delivered);
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn attempts_rise_from_one_taking_up_to_the_next_whatever_the_time_of_day() {
    let rig = Rig::new("max_hold: 10s, retry_after: 5s");
    let ann = rig.connect("ann");
    // Parked by a node whose clock is far ahead.
    let ahead = 9_000_000_000_000_000_u64;
    rig.write_parked(&[
        ("linkgate-id", "pushes/0/7"),
        ("linkgate-parked", "1"),
        ("linkgate-attempt", &ahead.to_string()),
        ("linkgate-first-ms", "4102444800000"),
    ]);
    let reader = rig.read();
    rig.until(|| rig.broker.records("pushes_parked").len() == 2)
        .await;
    ann.ack();
    rig.until(|| rig.reports() == ["k ann DELIVERED 3"]).await;
    let reports = rig.reports_of("pushes/0/7/ann");
    assert_eq!(reports[0].attempt, ahead + 2);
    reader.stop().await;
}
