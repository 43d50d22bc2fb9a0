//! Who waits for whom, and who does not.

use std::time::Duration;

use futures_util::FutureExt;
use linkgate_filter::broker::{Event, Release};

use super::rig::{Rig, json};
use crate::pipeline::Standing;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_user_who_comes_is_sent_to_at_once_and_is_hardly_looked_for_before() {
    let rig = Rig::new("offline_after: 100s, max_hold: 200s");
    for number in 0..100 {
        rig.write(json(&format!("k{number}"), "ann"));
    }
    let reader = rig.read();
    tokio::time::sleep(SECOND * 95).await;
    // One of them looks when it comes, and once more after it has asked to be told.
    assert_eq!(rig.looked(), 2);
    let ann = rig.connect("ann");
    rig.settle_in().await;
    assert_eq!(ann.keys().len(), 100);
    assert_eq!(ann.keys()[99], "k99");
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_user_who_does_not_come_look_twice() {
    let rig = Rig::new("offline_after: 5s");
    for number in 0..100 {
        rig.write(json(&format!("k{number}"), "ann"));
    }
    let reader = rig.read();
    rig.until(|| rig.done() == Some(100)).await;
    assert_eq!(rig.reports()[0], "k0 ann OFFLINE 1");
    assert!(rig.looked() <= 200, "{}", rig.looked());
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_comes_in_the_moment_is_found() {
    let rig = Rig::new("offline_after: 60s");
    let ann = rig.connect("ann");
    // It is about to go, and is found still.
    ann.refuse(linkgate_filter::Fault::gateway("link.gone").retryable());
    rig.write(json("k", "ann"));
    let reader = rig.read();
    tokio::time::sleep(SECOND).await;
    let looked = rig.looked();
    assert!(looked < 40, "{looked}");
    ann.accept();
    rig.until(|| ann.keys() == ["k"]).await;
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_push_that_is_parked_leaves_its_turn_to_the_next() {
    let rig = Rig::new("offline_after: 60s, max_hold: 3s, retry_after: 60s");
    rig.write(json("k1", "ann"));
    let reader = rig.read();
    tokio::time::sleep(SECOND).await;
    rig.write(json("k2", "ann"));
    rig.until(|| rig.done() == Some(1)).await;
    let ann = rig.connect("ann");
    rig.settle_in().await;
    assert_eq!(ann.keys(), ["k2"]);
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn partitions_that_go_do_not_wait_for_clients_that_sleep() {
    for (fresh, within) in [(false, SECOND / 10), (true, SECOND * 11 / 10)] {
        let rig = Rig::new("release_within: 5s, min_hold: 1s");
        let ann = rig.connect("ann");
        rig.write(json("k1", "ann"));
        let reader = rig.read();
        rig.until(|| ann.keys() == ["k1"]).await;
        tokio::time::sleep(SECOND * 2).await;
        let (release, dropped) = Release::new();
        rig.tell(Event::Revoked(vec![rig.partition()], release));
        // An event is heard of behind a record.
        rig.write(match fresh {
            true => json("k2", "ann"),
            false => "no push".into(),
        });
        let dropped = tokio::time::timeout(within, dropped.map(drop)).await;
        assert!(dropped.is_ok(), "{fresh}");
        let parked = rig.broker.records("pushes_parked").len();
        assert_eq!(parked, if fresh { 2 } else { 1 });
        reader.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn pushes_for_a_business_whose_document_is_refused_wait() {
    let rig = Rig::new("offline_after: 5s, max_hold: 20s, retry_after: 10s");
    rig.stand(Standing::NotReady);
    let ann = rig.connect("ann");
    rig.write(json("k1", "ann"));
    rig.write(json("k2", "bob"));
    let reader = rig.read();
    // Longer than one is held: it is parked, and taken up again.
    tokio::time::sleep(SECOND * 35).await;
    assert_eq!(rig.broker.records("pushes_parked").len(), 2);
    assert_eq!(rig.broker.records("pushes_dead").len(), 0);
    rig.stand(Standing::Served);
    rig.until(|| ann.keys() == ["k1"]).await;
    assert!(rig.reports().is_empty(), "{:?}", rig.reports());
    // Users have as long to come as if the business had been there all the time.
    tokio::time::sleep(SECOND * 3).await;
    let bob = rig.connect("bob");
    rig.until(|| bob.keys() == ["k2"]).await;
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_business_that_is_removed_gets_no_pushes() {
    let rig = Rig::new("offline_after: 60s");
    rig.write(json("k1", "ann"));
    let reader = rig.read();
    tokio::time::sleep(SECOND).await;
    rig.stand(Standing::Unknown);
    rig.connect("ann");
    rig.write(json("k2", "ann"));
    rig.until(|| rig.done() == Some(2)).await;
    assert_eq!(rig.reports(), ["k1 ann REJECTED 1"]);
    assert_eq!(rig.broker.records("pushes_dead").len(), 1);
    reader.stop().await;
}
