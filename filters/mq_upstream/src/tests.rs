//! The filter in the production runner, in virtual time, on brokers in memory: one that works, and one that is told what
//! to do.

mod order;
mod records;
mod rig;
mod scripted;

use std::time::Duration;

use linkgate_filter::{EdgeError, EdgeFailure};

use self::rig::{JOINED, PLAIN, kit, kit_of};
use self::scripted::Scripted;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_message_is_acknowledged_when_the_broker_has_confirmed_it_and_not_before() {
    let broker = Scripted::with_room(10);
    let kit = kit(&broker, PLAIN, "");
    let mut ann = rig::link(&kit, "ann");
    ann.send(&["1", "2"]).await;
    assert_eq!(broker.keys(), ["1", "2"], "both are on their way");
    assert!(ann.answers().await.is_empty());
    broker.confirm("2");
    assert_eq!(ann.answers().await, ["2 ACK"]);
    broker.confirm("1");
    assert_eq!(ann.answers().await, ["1 ACK"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_says_of_a_failure_reaches_the_client() {
    let broker = Scripted::with_room(10);
    let kit = kit(&broker, PLAIN, "");
    let mut ann = rig::link(&kit, "ann");
    ann.send(&["1", "2", "3"]).await;
    let late = EdgeError::new(EdgeFailure::TimedOut, "secret").effect_unknown();
    broker.settle("1", Err(late));
    broker.settle("2", Err(EdgeError::new(EdgeFailure::Unreachable, "secret")));
    broker.settle("3", Err(EdgeError::new(EdgeFailure::Refused, "secret")));
    let answers = [
        "1 NACK mq.timed_out retry unknown",
        "2 NACK mq.unreachable retry",
        "3 NACK mq.refused",
    ];
    assert_eq!(ann.answers().await, answers);
}

#[tokio::test(start_paused = true)]
async fn a_full_broker_holds_the_link_back_and_then_goes_on_in_order() {
    let broker = Scripted::with_room(2);
    let kit = kit(&broker, PLAIN, "");
    let mut ann = rig::link(&kit, "ann");
    ann.send(&["1", "2", "3", "4", "5"]).await;
    assert_eq!(broker.keys(), ["1", "2"]);
    broker.confirm("1");
    ann.run().await;
    assert_eq!(broker.keys(), ["1", "2", "3"]);
    for key in ["2", "3", "4", "5"] {
        ann.run().await;
        broker.confirm(key);
    }
    assert_eq!(
        ann.answers().await,
        ["1 ACK", "2 ACK", "3 ACK", "4 ACK", "5 ACK"]
    );
    assert_eq!(broker.keys(), ["1", "2", "3", "4", "5"]);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_stays_full_ends_in_nacks_after_one_wait_for_all() {
    let broker = Scripted::with_room(1);
    let kit = kit(&broker, PLAIN, "wait_for_room: 3s");
    let mut ann = rig::link(&kit, "ann");
    ann.send(&["1", "2", "3"]).await;
    ann.advance(SECOND * 2).await;
    assert!(ann.answers().await.is_empty());
    ann.advance(SECOND).await;
    let full = ["2 NACK mq.full retry", "3 NACK mq.full retry"];
    assert_eq!(ann.answers().await, full);
    // Nobody waits again for what has just been waited for.
    ann.send(&["4"]).await;
    assert_eq!(ann.answers().await, ["4 NACK mq.full retry"]);
    broker.confirm("1");
    ann.send(&["5"]).await;
    broker.confirm("5");
    assert_eq!(ann.answers().await, ["1 ACK", "5 ACK"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_waited_for_long_ago_is_waited_for_again() {
    let broker = Scripted::with_room(1);
    let kit = kit(&broker, PLAIN, "wait_for_room: 3s");
    let mut ann = rig::link(&kit, "ann");
    ann.send(&["1", "2"]).await;
    ann.advance(SECOND * 3).await;
    assert_eq!(ann.answers().await, ["2 NACK mq.full retry"]);
    // Meanwhile others may have been served, and the broker is full once more.
    ann.advance(SECOND * 10).await;
    ann.send(&["3"]).await;
    assert!(ann.answers().await.is_empty());
    broker.confirm("1");
    assert_eq!(ann.answers().await, ["1 ACK"]);
    broker.confirm("3");
    assert_eq!(ann.answers().await, ["3 ACK"]);
}

#[tokio::test(start_paused = true)]
async fn each_part_of_a_joined_message_settles_by_its_own_record() {
    let broker = Scripted::with_room(2);
    let kit = kit_of(&broker, JOINED, 4, "wait_for_room: 3s");
    let mut ann = rig::link(&kit, "ann");
    ann.send(&["1", "2", "3", "4"]).await;
    assert_eq!(broker.keys(), ["1", "2"]);
    // What is confirmed is answered while the rest waits.
    broker.confirm("2");
    assert_eq!(ann.answers().await, ["2 ACK"]);
    assert_eq!(broker.keys(), ["1", "2", "3"]);
    ann.advance(SECOND * 3).await;
    assert_eq!(ann.answers().await, ["4 NACK mq.full retry"]);
    broker.settle("1", Err(EdgeError::new(EdgeFailure::Refused, "")));
    assert_eq!(ann.answers().await, ["1 NACK mq.refused"]);
    broker.confirm("3");
    assert_eq!(ann.answers().await, ["3 ACK"]);
}
