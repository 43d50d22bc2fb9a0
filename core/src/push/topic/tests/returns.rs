//! Partitions that go and come back, begin anew, grow, or are read from elsewhere: nothing is lost, and within a process
//! nothing that is settled or under way is sent or reported once more.

use super::rig::Mood;
use super::*;

impl Rig {
    fn write_many(&self, name: &str, count: usize) {
        for number in 0..count {
            self.write(json(&format!("{name}{number}"), "ann"));
        }
    }

    /// Acknowledges until all of so many pushes are reported.
    async fn acknowledge(&self, ann: &Arc<TestLink>, reports: usize) {
        self.until(|| {
            while ann.settle(Outcome::accepted("")) {}
            self.reports().len() >= reports
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_made_anew_loses_no_push() {
    let rig = Rig::new("");
    let ann = rig.connect("ann");
    let reader = rig.read();
    rig.write_many("old", 20);
    rig.acknowledge(&ann, 20).await;
    rig.until(|| rig.done() == Some(20)).await;

    rig.broker.make_anew("pushes");
    rig.write_many("new", 5);
    rig.acknowledge(&ann, 25).await;
    rig.until(|| rig.done() == Some(5)).await;
    assert_eq!(rig.resets(), 1);
    reader.stop().await;
    rig.write_many("late", 20);
    let reader = rig.read();
    rig.acknowledge(&ann, 45).await;
    rig.until(|| rig.done() == Some(25)).await;
    assert_eq!(rig.reports().len(), 45);
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_of_a_topic_made_anew_goes_on_and_moves_no_offset() {
    let rig = Rig::new("");
    let (ann, bob) = (rig.connect("ann"), rig.connect("bob"));
    let reader = rig.read();
    for number in 0..4 {
        rig.write(json(&format!("old{number}"), "bob"));
    }
    rig.until(|| bob.keys().len() == 4).await;
    rig.broker.make_anew("pushes");
    rig.write_many("new", 2);
    rig.until(|| ann.keys() == ["new0", "new1"]).await;
    bob.ack();
    rig.until(|| rig.reports() == ["old0 bob DELIVERED 1"])
        .await;
    assert_eq!(rig.done(), Some(0));
    ann.ack();
    rig.until(|| rig.done() == Some(1)).await;
    ann.ack();
    rig.until(|| rig.done() == Some(2)).await;
    while bob.settle(Outcome::accepted("")) {}
    rig.until(|| rig.reports().len() == 6).await;
    assert_eq!(rig.done(), Some(2));
    rig.settle_in().await;
    assert_eq!(rig.held(), 0);
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_beyond_the_end_of_its_log_reads_what_there_is() {
    let rig = Rig::new("");
    let ann = rig.connect("ann");
    rig.write_many("k", 5);
    rig.broker.set_progress("g", rig.partition(), 20);
    let reader = rig.read();
    rig.acknowledge(&ann, 5).await;
    rig.until(|| rig.done() == Some(5)).await;
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_set_back_while_nobody_reads_reads_again() {
    let rig = Rig::new("");
    let ann = rig.connect("ann");
    rig.write_many("k", 3);
    let reader = rig.read();
    rig.acknowledge(&ann, 3).await;
    reader.stop().await;
    rig.broker.set_progress("g", rig.partition(), 1);
    let reader = rig.read();
    rig.until(|| ann.keys() == ["k1", "k2"]).await;
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_lost_and_comes_back_goes_on() {
    let rig = Rig::new("");
    let (ann, bob) = (rig.connect("ann"), rig.connect("bob"));
    rig.write(json("k0", "bob"));
    rig.write(json("k1", "ann"));
    rig.write(json("k2", "bob"));
    let reader = rig.read();
    rig.until(|| bob.keys() == ["k0", "k2"] && ann.keys() == ["k1"])
        .await;
    ann.ack();
    rig.until(|| rig.reports() == ["k1 ann DELIVERED 1"]).await;
    for _ in 0..3 {
        rig.broker.lose("g");
        rig.settle_in().await;
    }
    bob.ack();
    rig.until(|| rig.done() == Some(2)).await;
    bob.ack();
    rig.until(|| rig.done() == Some(3)).await;
    assert!(
        bob.keys().is_empty() && ann.keys().is_empty(),
        "nothing is sent again"
    );
    assert_eq!(rig.reports().len(), 3);
    assert_eq!(rig.known(), 3, "k1, three times");
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_being_written_when_its_partition_goes_is_written_once() {
    let rig = Rig::new("");
    let ann = rig.connect("ann");
    rig.write(json("k", "ann"));
    let reader = rig.read();
    rig.until(|| ann.keys() == ["k"]).await;
    rig.mood("reports", Mood::Away);
    ann.ack();
    rig.settle_in().await;
    rig.broker.lose("g");
    tokio::time::sleep(SECOND).await;
    rig.mood("reports", Mood::Takes);
    rig.until(|| rig.done() == Some(1)).await;
    tokio::time::sleep(SECOND * 60).await;
    assert_eq!(rig.reports(), ["k ann DELIVERED 1"]);
    assert!(ann.keys().is_empty());
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_ends_while_its_partition_is_away_is_reported_when_it_is_back() {
    let rig = Rig::new("");
    let ann = rig.connect("ann");
    rig.write(json("k", "ann"));
    let reader = rig.read();
    rig.until(|| ann.keys() == ["k"]).await;
    rig.tell(Event::Lost(vec![rig.partition()]));
    rig.write_to_parked_and_wait().await;
    ann.ack();
    tokio::time::sleep(SECOND * 60).await;
    assert!(rig.reports().is_empty(), "another node may have it");
    rig.broker.lose("g");
    rig.until(|| rig.reports() == ["k ann DELIVERED 1"]).await;
    assert_eq!(rig.done(), Some(1));
    assert!(ann.keys().is_empty());
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_settled_and_is_read_again_is_neither_sent_nor_reported() {
    let rig = Rig::new("release_within: 2s");
    let ann = rig.connect("ann");
    rig.write_many("k", 10);
    let reader = rig.read();
    rig.acknowledge(&ann, 10).await;
    rig.until(|| rig.done() == Some(10)).await;
    // What was said to be done did not reach the broker.
    rig.broker.set_progress("g", rig.partition(), 4);
    rig.broker.rebalance("g");
    rig.until(|| rig.known() == 6).await;
    assert_eq!(rig.done(), Some(10));
    rig.write(json("next", "ann"));
    rig.until(|| ann.keys() == ["next"]).await;
    assert_eq!(rig.reports().len(), 10);
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_reads_on_where_it_was_also_if_it_has_read_nothing_yet() {
    let rig = Rig::broadcast("");
    let ann = rig.connect("ann");
    rig.write_many("before", 2);
    let reader = rig.read();
    rig.settle_in().await;
    assert!(ann.keys().is_empty(), "a first start begins at the end");
    assert_eq!(rig.done(), Some(2));
    reader.stop().await;
    rig.write_many("down", 3);
    let reader = rig.read();
    rig.until(|| ann.keys() == ["down0", "down1", "down2"])
        .await;
    rig.broker.grow("pushes", 2);
    rig.write_many("grown", 40);
    rig.until(|| ann.keys().len() == 43).await;
    reader.stop().await;
}
