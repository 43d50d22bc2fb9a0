//! A topic against a broker in memory and links that the test settles, in virtual time.

mod absent;
mod copies;
mod effects;
mod elsewhere;
mod returns;
mod rig;
mod roads;
mod waits;

use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::broker::{Event, Record, Release};
use linkgate_filter::{Bytes, Fault, Outcome};

use self::rig::{Rig, group, json};
use crate::push::testing::TestLink;
use crate::readiness::Held;
use crate::telemetry::captured::Captured;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_push_is_passed_once_it_and_those_before_it_are_reported() {
    let rig = Rig::new("");
    let (ann, bob) = (rig.connect("ann"), rig.connect("bob"));
    rig.write(json("k1", "ann"));
    rig.write(json("k2", "bob"));
    let reader = rig.read();
    rig.until(|| bob.keys() == ["k2"]).await;
    bob.ack();
    rig.until(|| rig.reports() == ["k2 bob DELIVERED 1"]).await;
    assert_eq!(rig.done(), None);
    ann.ack();
    rig.until(|| rig.done() == Some(2)).await;
    assert_eq!(rig.reports(), ["k2 bob DELIVERED 1", "k1 ann DELIVERED 1"]);
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_push_is_put_aside_with_its_reason() {
    let rig = Rig::new("");
    rig.write("hello".into());
    rig.write(json("k", "ann").replace("chat", "none"));
    let reader = rig.read();
    rig.until(|| rig.done() == Some(2)).await;
    let dead = rig.broker.records("pushes_dead");
    let reason = |header: &(String, _)| header.0 == "linkgate-reason";
    let reasons: Vec<_> = dead
        .iter()
        .map(|record| record.headers.iter().find(|header| reason(header)))
        .map(|header| header.unwrap().1.clone())
        .collect();
    assert_eq!(reasons, ["push.invalid", "push.unknown_biz"]);
    assert_eq!(dead[0].payload, "hello");
    assert!(rig.reports().is_empty());
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_push_and_too_large_to_be_put_aside_leaves_its_reason() {
    let rig = Rig::new("");
    rig.broker_takes_at_most(500);
    let large = || Bytes::from(vec![b'x'; 600]);
    let record = Record::default;
    rig.write_record(Record {
        payload: large(),
        ..record()
    });
    rig.write_record(Record {
        key: large(),
        ..record()
    });
    let headers = vec![("theirs".to_owned(), large())];
    rig.write_record(Record {
        headers,
        ..record()
    });
    rig.write(format!(r#"{{"all":"{}"}}"#, "x".repeat(600)));
    let reader = rig.read();
    rig.until(|| rig.done() == Some(4)).await;
    for (record, offset) in rig.broker.records("pushes_dead").iter().zip(0..) {
        let header = |name| {
            let header = record.headers.iter().find(|(own, _)| own == name);
            header.map(|(_, value)| value.clone())
        };
        assert_eq!(header("linkgate-reason"), Some("push.invalid".into()));
        assert_eq!(
            header("linkgate-id"),
            Some(format!("pushes/0/{offset}").into())
        );
    }
    assert_eq!(rig.broker.records("pushes_dead").len(), 4);
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_push_that_comes_when_a_pause_ends_stays_behind_those_that_waited() {
    let rig = Rig::new("offline_after: 5s");
    // Timers count in milliseconds, so one that ends in between is late.
    tokio::time::advance(Duration::from_micros(300)).await;
    rig.write(json("k1", "ann"));
    let reader = rig.read();
    tokio::task::yield_now().await;
    tokio::time::advance(Duration::from_millis(200)).await;
    let ann = rig.connect("ann");
    rig.write(json("k2", "ann"));
    rig.until(|| ann.keys().len() == 2).await;
    assert_eq!(ann.keys(), ["k1", "k2"]);
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_push_held_too_long_is_parked_and_taken_up_without_a_second_copy() {
    let rig = Rig::new("max_hold: 10s, retry_after: 5s");
    let ann = rig.connect("ann");
    rig.write(json("k", "ann"));
    let reader = rig.read();
    rig.until(|| rig.done() == Some(1)).await;
    assert_eq!(rig.broker.records("pushes_parked").len(), 1);
    assert!(rig.reports().is_empty());
    tokio::time::sleep(SECOND * 7).await;
    assert_eq!(ann.keys(), ["k"], "the first copy is still under way");
    ann.ack();
    rig.until(|| rig.reports() == ["k ann DELIVERED 2"]).await;
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_push_that_arrives_while_it_is_parked_is_not_sent_again() {
    let rig = Rig::new("max_hold: 10s, retry_after: 5s");
    let ann = rig.connect("ann");
    rig.write(json("k", "ann"));
    let reader = rig.read();
    rig.until(|| rig.done() == Some(1)).await;
    ann.ack();
    rig.until(|| !rig.reports().is_empty()).await;
    assert_eq!(rig.reports(), ["k ann DELIVERED 2"]);
    assert!(ann.keys().is_empty());
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sleepers_make_room_for_others() {
    let rig = Rig::new("max_unsettled: 8, min_hold: 1s, retry_after: 60s");
    let (_ann, bob) = (rig.connect("ann"), rig.connect("bob"));
    for number in 0..20 {
        rig.write(json(&format!("sleep{number}"), "ann"));
    }
    rig.write(json("k", "bob"));
    let begun = tokio::time::Instant::now();
    let reader = rig.read();
    rig.until(|| bob.keys() == ["k"]).await;
    assert!(begun.elapsed() < SECOND * 10, "{:?}", begun.elapsed());
    assert!(!rig.broker.records("pushes_parked").is_empty());
    assert!(rig.held() <= 16, "8 of each of the two partitions");
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_parked_counts_for_no_limit() {
    let mut rig = Rig::new("max_unsettled: 4, min_hold: 1s, retry_after: 60s");
    rig.limits.unsettled = 8;
    rig.limits.unsettled_per_biz = 8;
    let (ann, bob) = (rig.connect("ann"), rig.connect("bob"));
    for number in 0..12 {
        rig.write(json(&format!("sleep{number}"), "ann"));
    }
    rig.write(json("k", "bob"));
    let reader = rig.read();
    rig.until(|| bob.keys() == ["k"]).await;
    bob.ack();
    rig.until(|| rig.reports() == ["k bob DELIVERED 1"]).await;
    // Those that were parked are still under way, up to as many again as the limits allow; they wake up in the end.
    while ann.settle(Outcome::accepted("")) {}
    rig.until(|| {
        while ann.settle(Outcome::accepted("")) {}
        rig.reports().len() == 13
    })
    .await;
    assert_eq!(rig.unsettled_metric(), 0);
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_users_pushes_keep_their_order_while_there_is_no_room() {
    let rig = Rig::new("");
    let ann = rig.connect("ann");
    ann.refuse(Fault::gateway("link.queue_full").retryable());
    for key in ["k1", "k2", "k3"] {
        rig.write(json(key, "ann"));
    }
    let reader = rig.read();
    tokio::time::sleep(SECOND).await;
    ann.accept();
    rig.write(json("k4", "ann"));
    rig.until(|| ann.keys().len() == 4).await;
    assert_eq!(ann.keys(), ["k1", "k2", "k3", "k4"]);
    assert!(rig.reports().is_empty());
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_user_may_come_back_before_a_push_is_offline() {
    let rig = Rig::new("offline_after: 5s");
    rig.write(json("k1", "ann"));
    rig.write(json("k2", "bob"));
    let reader = rig.read();
    tokio::time::sleep(SECOND * 3).await;
    assert!(rig.reports().is_empty());
    let ann = rig.connect("ann");
    rig.until(|| ann.keys() == ["k1"]).await;
    rig.until(|| rig.reports() == ["k2 bob OFFLINE 1"]).await;
    ann.ack();
    rig.until(|| rig.done() == Some(2)).await;
    assert_eq!(rig.unsettled_metric(), 0);
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_parks_what_is_unsettled_for_the_next_node() {
    let rig = Rig::new("release_within: 2s, retry_after: 1s");
    let ann = rig.connect("ann");
    rig.write(json("k1", "ann"));
    rig.write(group("k2", &["ann", "bob"]));
    let reader = rig.read();
    rig.until(|| ann.keys() == ["k1", "k2"]).await;
    // The node lets its links go: what they say of pushes now is not the last word.
    ann.settle(Outcome::Failed(Fault::gateway("link.gone")));
    reader.stop().await;
    assert_eq!(rig.done(), Some(2));
    assert_eq!(rig.broker.records("pushes_parked").len(), 2);
    rig.remove(&ann);
    let (ann, bob) = (rig.connect("ann"), rig.connect("bob"));
    let reader = rig.read();
    rig.until(|| ann.keys().len() == 2 && bob.keys() == ["k2"])
        .await;
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_node_had_not_settled_is_read_again() {
    let rig = Rig::new("");
    let ann = rig.connect("ann");
    rig.write(json("k1", "ann"));
    rig.write(json("k2", "ann"));
    let reader = rig.read();
    rig.until(|| ann.keys().len() == 2).await;
    ann.ack();
    rig.until(|| rig.done() == Some(1)).await;
    reader.kill().await;
    rig.remove(&ann);
    let ann = rig.connect("ann");
    let reader = rig.read();
    rig.until(|| ann.keys() == ["k2"]).await;
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_offset_waits_for_its_report() {
    let rig = Rig::new("");
    let ann = rig.connect("ann");
    rig.write(json("k", "ann"));
    let reader = rig.read();
    rig.until(|| ann.keys() == ["k"]).await;
    rig.broker_fails(true);
    ann.ack();
    tokio::time::sleep(SECOND * 20).await;
    assert_eq!(rig.done(), None);
    rig.broker_fails(false);
    rig.until(|| rig.done() == Some(1)).await;
    assert_eq!(rig.reports(), ["k ann DELIVERED 1"]);
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_is_parked_for_those_alone_who_have_it_not() {
    let rig = Rig::new("max_hold: 10s, retry_after: 5s, offline_after: 1s");
    let (ann, bob) = (rig.connect("ann"), rig.connect("bob"));
    rig.write(group("k", &["ann", "bob", "cat"]));
    let reader = rig.read();
    rig.until(|| ann.keys() == ["k"] && bob.keys() == ["k"])
        .await;
    ann.ack();
    rig.until(|| rig.done() == Some(1)).await;
    assert_eq!(rig.reports(), ["k ann DELIVERED 1", "k cat OFFLINE 1"]);
    bob.ack();
    rig.until(|| rig.reports().len() == 3).await;
    assert_eq!(rig.reports()[2], "k bob DELIVERED 2");
    assert_eq!(rig.ids().len(), 3);
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_push_is_given_up_in_the_end() {
    let rig = Rig::new("max_hold: 10s, retry_after: 5s, give_up_after: 60s");
    let _ann = rig.connect("ann");
    rig.write(json("k", "ann"));
    let reader = rig.read();
    let begun = tokio::time::Instant::now();
    rig.until(|| !rig.reports().is_empty()).await;
    assert!((SECOND * 60..SECOND * 75).contains(&begun.elapsed()));
    assert!(rig.reports()[0].starts_with("k ann EXPIRED"));
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_expired_push_is_handed_on_by_policy() {
    let unacknowledged = || Outcome::Unknown(Fault::client("push.unacknowledged").effect_unknown());
    for (policy, topic, reports) in [
        ("report", "pushes_dead", 1),
        ("dead_letter", "pushes_dead", 1),
        ("park", "pushes_parked", 0),
    ] {
        let rig = Rig::new(&format!("on_expired: {policy}"));
        let ann = rig.connect("ann");
        rig.write(json("k", "ann"));
        let reader = rig.read();
        rig.until(|| ann.keys() == ["k"]).await;
        ann.settle(unacknowledged());
        rig.until(|| rig.done() == Some(1)).await;
        let handed_on = usize::from(policy != "report");
        assert_eq!(rig.broker.records(topic).len(), handed_on, "{policy}");
        assert_eq!(rig.reports().len(), reports, "{policy}");
        reader.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_says_nothing_of_users_it_does_not_have() {
    let rig = Rig::broadcast("max_hold: 10s");
    let ann = rig.connect("ann");
    let reader = rig.read();
    rig.settle_in().await;
    rig.write(json("k1", "ann"));
    rig.write(json("k2", "bob"));
    rig.write(json("k3", "ann"));
    rig.until(|| ann.keys().len() == 2).await;
    ann.ack();
    rig.until(|| rig.done() == Some(3)).await;
    assert_eq!(rig.reports(), ["k1 ann DELIVERED 1", "k3 ann EXPIRED 1"]);
    assert!(rig.broker.records("pushes_parked").is_empty());
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_reads_late_what_was_written_while_its_node_was_down() {
    let rig = Rig::broadcast("");
    let ann = rig.connect("ann");
    let reader = rig.read();
    rig.settle_in().await;
    rig.write(json("k1", "ann"));
    rig.until(|| ann.keys() == ["k1"]).await;
    ann.ack();
    rig.until(|| rig.done() == Some(1)).await;
    reader.stop().await;
    rig.write(json("k2", "ann"));
    let reader = rig.read();
    rig.until(|| ann.keys() == ["k2"]).await;
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_another_node_has_passed_while_a_partition_was_away_counts_no_more() {
    let rig = Rig::new("release_within: 2s");
    let ann = rig.connect("ann");
    rig.write(json("k1", "ann"));
    let reader = rig.read();
    rig.until(|| ann.keys() == ["k1"]).await;
    // The broker takes the partition away before it is released, and gives it back further on.
    rig.tell(Event::Revoked(vec![rig.partition()], Release::new().0));
    rig.tell(Event::Assigned(vec![rig.partition()]));
    rig.write(json("k2", "ann"));
    rig.until(|| ann.keys() == ["k1", "k2"]).await;
    rig.write(json("k3", "ann"));
    rig.until(|| ann.keys() == ["k1", "k2", "k3"]).await;
    assert_eq!(rig.held(), 1, "k3 alone came to the partition as it is now");
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_member_of_the_group_is_a_trouble_until_it_is_gone() {
    let rig = Rig::new("");
    let first = rig.read();
    rig.settle_in().await;
    let second = rig.read();
    // The topic and that of its parked pushes.
    rig.until(|| rig.elsewhere() == 2).await;
    tokio::time::sleep(24 * SECOND).await;
    assert_eq!(rig.reasons(), Held::default());
    tokio::time::sleep(SECOND).await;
    rig.settle_in().await;
    let held = rig.reasons().required;
    assert_eq!(held.len(), 1, "{held:?}");
    assert!(
        held[0].starts_with("another member of the group `g`")
            && held[0].contains("`routing: broadcast`"),
        "{held:?}"
    );
    first.stop().await;
    rig.until(|| rig.reasons() == Held::default()).await;
    assert_eq!(rig.elsewhere(), 0);
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nodes_that_share_an_id_share_a_group_of_broadcast_too() {
    let rig = Rig::broadcast("");
    let (first, second) = (rig.read(), rig.read());
    rig.until(|| rig.reasons() != Held::default()).await;
    let held = rig.reasons().required;
    assert!(held[0].contains("`g-node`") && held[0].contains("`node.id`"));
    second.stop().await;
    first.stop().await;
    assert_eq!((rig.reasons(), rig.elsewhere()), (Held::default(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_leaves_a_line_that_says_which_and_why_and_nothing_of_the_record() {
    let log = Captured::begin();
    let rig = Rig::new("dead_letter: dead");
    rig.write(json("k", "nobody").replace("chat", "secret-business"));
    rig.write("hunter2".to_owned());
    let reader = rig.read();
    rig.until(|| rig.broker.records("dead").len() == 2).await;
    reader.stop().await;
    let lines = log.lines("dead letters");
    let [line] = &lines[..] else {
        panic!("one in a second: {lines:?}");
    };
    for word in ["pushes/0/0", "push.unknown_biz", "dead"] {
        assert!(line.contains(word), "{line}");
    }
    assert!(
        !line.contains("secret-business") && !line.contains("hunter2"),
        "{line}"
    );
}
