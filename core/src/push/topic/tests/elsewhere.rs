//! Users who may be at other nodes.

use super::*;
use crate::link::User;
use crate::push::receivers::{Need, Verdict};
use crate::push::testing::TestNode;

const ANN: &str = "ann";

fn ann() -> User {
    ("chat".into(), ANN.into())
}

fn no_directory() -> Verdict {
    Verdict::Unknown(Fault::gateway("directory.silent").detail("the directory does not answer"))
}

/// Answers every search for the user, by now; how many there were.
async fn answer(rig: &Rig, verdict: &Verdict) -> usize {
    rig.settle_in().await;
    let mut answered = 0;
    while let Some(look) = rig.others().next() {
        look.ends(verdict.clone());
        answered += 1;
    }
    rig.settle_in().await;
    answered
}

#[tokio::test(start_paused = true)]
async fn a_user_who_comes_to_another_node_is_sent_to_there() {
    let rig = Rig::among_others("offline_after: 20s");
    let awaited = rig.journal().awaited();
    for key in ["k1", "k2"] {
        rig.write(json(key, ANN));
    }
    let reader = rig.read();
    while answer(&rig, &Verdict::Certain).await > 0 {}
    assert_eq!(awaited.changes(10).await, [(ann(), true)]);
    rig.write(json("k3", ANN));
    rig.settle_in().await;
    assert!(rig.others().next().is_none(), "k3 stays behind");

    let there = TestNode::new(1, 7);
    rig.journal().comes(&ann());
    rig.settle_in().await;
    assert_eq!(awaited.changes(10).await, [(ann(), false)]);
    while let Some(look) = rig.others().next() {
        look.finds(&there);
        look.ends(Verdict::Enough);
    }
    assert_eq!(there.keys(), ["k1", "k2", "k3"]);
    for _ in 0..3 {
        there.ack();
    }
    rig.until(|| rig.reports().len() == 3).await;
    assert!(
        rig.reports()
            .iter()
            .all(|report| report.contains("DELIVERED"))
    );
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_come_is_looked_for_once_more_before_that_is_said() {
    let rig = Rig::among_others("offline_after: 5s");
    rig.write(json("k", ANN));
    let reader = rig.read();
    assert_eq!(answer(&rig, &Verdict::Certain).await, 1);
    tokio::time::sleep(SECOND * 4).await;
    assert!(rig.others().next().is_none(), "there is no reason to look");
    tokio::time::sleep(SECOND).await;
    assert!(rig.reports().is_empty());
    assert_eq!(answer(&rig, &Verdict::Certain).await, 1);
    rig.until(|| rig.reports() == ["k ann OFFLINE 1"]).await;
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_offline_while_it_cannot_be_known() {
    let rig = Rig::among_others("offline_after: 5s, max_hold: 30s, retry_after: 5s");
    rig.write(json("k", ANN));
    let reader = rig.read();
    let mut looks = 0;
    for _ in 0..29 {
        looks += answer(&rig, &no_directory()).await;
        tokio::time::sleep(SECOND).await;
    }
    assert!((25..=30).contains(&looks), "each second, but {looks}");
    assert!(rig.reports().is_empty() && rig.done().is_none());
    for _ in 0..20 {
        answer(&rig, &no_directory()).await;
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(rig.done(), Some(1), "it is parked");
    assert!(rig.reports().is_empty());

    // From here on it is known: the time before counts for nothing.
    answer(&rig, &Verdict::Certain).await;
    tokio::time::sleep(SECOND * 4).await;
    assert!(rig.reports().is_empty());
    let begin = tokio::time::Instant::now();
    rig.until(|| {
        while let Some(look) = rig.others().next() {
            look.ends(Verdict::Certain);
        }
        !rig.reports().is_empty()
    })
    .await;
    assert!(begin.elapsed() < SECOND * 3);
    assert_eq!(rig.reports(), ["k ann OFFLINE 2"]);
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_confirms_waits_for_certainty_and_goes_once_to_each_link() {
    let rig = Rig::among_others("max_hold: 10s, retry_after: 5s");
    let here = rig.connect(ANN);
    rig.write(json("k", ANN).replace("\"body\"", "\"ack\":false,\"body\""));
    let reader = rig.read();
    rig.until(|| here.keys() == ["k"]).await;
    here.settle(Outcome::sent());
    for _ in 0..40 {
        answer(&rig, &no_directory()).await;
        tokio::time::sleep(SECOND).await;
    }
    assert!(rig.reports().is_empty() && here.keys().is_empty());
    let rounds = rig.broker.records("pushes_parked").len();
    assert!((2..=4).contains(&rounds), "{rounds}");
    rig.until(|| {
        while let Some(look) = rig.others().next() {
            look.ends(Verdict::Certain);
        }
        !rig.reports().is_empty()
    })
    .await;
    assert!(
        rig.reports()[0].contains("k ann SENT"),
        "{:?}",
        rig.reports()
    );
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_user_whose_last_way_was_lost_is_waited_for_from_then_on() {
    let rig = Rig::among_others("offline_after: 5s");
    rig.write(json("k", ANN));
    let reader = rig.read();
    rig.until(|| rig.others().looked() == 1).await;
    let there = TestNode::new(1, 7);
    let look = rig.others().look_of(ANN, Need::CertainIfNone);
    look.finds(&there);
    look.ends(Verdict::Certain);
    tokio::time::sleep(SECOND * 10).await;
    there.settle(Outcome::Unknown(
        Fault::client("link.gone").retryable().effect_unknown(),
    ));
    assert_eq!(answer(&rig, &Verdict::Certain).await, 1);
    tokio::time::sleep(SECOND * 4).await;
    assert_eq!(answer(&rig, &Verdict::Certain).await, 0);
    assert!(rig.reports().is_empty());
    tokio::time::sleep(SECOND).await;
    assert_eq!(answer(&rig, &Verdict::Certain).await, 1);
    rig.until(|| rig.reports() == ["k ann OFFLINE 1"]).await;
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn holders_hear_of_what_is_parked() {
    let rig = Rig::among_others("max_hold: 10s, retry_after: 5s");
    rig.write(json("k", ANN));
    let reader = rig.read();
    rig.until(|| rig.others().looked() == 1).await;
    let there = TestNode::new(1, 7);
    let look = rig.others().look_of(ANN, Need::CertainIfNone);
    look.finds(&there);
    rig.until(|| rig.done() == Some(1)).await;
    assert_eq!(there.parked(), 1);
    tokio::time::sleep(SECOND * 7).await;
    assert_eq!(there.keys(), ["k"], "it goes on");
    there.ack();
    rig.until(|| rig.reports() == ["k ann DELIVERED 2"]).await;
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nodes_that_find_all_users_share_a_topic() {
    let rig = Rig::among_others("");
    let readers = [rig.read(), rig.read()];
    tokio::time::sleep(SECOND * 60).await;
    assert_eq!(rig.reasons(), Held::default());
    assert_eq!((rig.elsewhere(), rig.others().looked()), (0, 0));
    for reader in readers {
        reader.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn searches_that_know_at_once_are_as_links_here() {
    let rig = Rig::among_others("offline_after: 2s");
    rig.others().answers(|_| (Vec::new(), Verdict::Certain));
    rig.write(json("k", ANN));
    let reader = rig.read();
    rig.until(|| rig.reports() == ["k ann OFFLINE 1"]).await;
    assert_eq!(rig.others().looked(), 2);
    reader.stop().await;
}
