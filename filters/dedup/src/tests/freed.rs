//! Who is told that a message had no effect finds its key free: after deadlines, stops, changes and goodbyes, whatever
//! the store is at.

use std::collections::HashSet;
use std::time::Duration;

use linkgate_filter::{Fault, Outcome};
use proptest::prelude::*;

use super::rig::{Client, Node, Rig, in_paused_time};
use super::{SECOND, unknown};

#[tokio::test(start_paused = true)]
async fn a_change_that_gives_up_on_a_message_in_line_frees_its_key_first() {
    let rig = Rig::new("");
    let node = rig.node();
    let mut ann = node.link("ann");
    ann.send("sent").await;
    ann.change(&node, SECOND).await;
    // It stands before the end of the new chain, which a further change gives up in its turn.
    ann.send("behind").await;
    assert!(rig.has("behind"));
    ann.change(&node, SECOND).await;
    rig.store_takes(SECOND / 2);
    ann.run_for(SECOND * 4).await;
    let answers = ann.answers().await;
    assert!(
        answers[0].starts_with("sent NACK link.retired"),
        "{answers:?}"
    );
    assert!(!rig.has("sent"));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_refused_while_the_store_is_asked_leaves_no_key() {
    let rig = Rig::new("");
    let node = rig.node();
    let mut ann = node.link("ann");
    rig.store_takes(SECOND);
    ann.send("k").await;
    assert!(rig.has("k"), "the store has it, though it has not said so");
    ann.refuse_waiting().await;
    assert!(ann.answers().await.is_empty(), "not before the key is free");
    ann.run_for(SECOND * 2).await;
    assert_eq!(ann.answers().await, ["k NACK link.closing retry"]);
    assert_eq!(rig.keys(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_gives_up_on_a_message_that_was_never_sent_forgets_it() {
    let rig = Rig::new("on_unknown: refuse");
    let node = rig.node();
    let mut ann = node.link("ann");
    rig.store_takes(SECOND * 5);
    ann.send("k").await;
    ann.change(&node, SECOND * 2).await;
    rig.store_takes(SECOND / 2);
    ann.run_for(SECOND * 4).await;
    let answers = ann.answers().await;
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(rig.keys(), 0, "it may come again: {answers:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Send,
    Settle { which: usize, how: u8 },
    StoreTakes(u16),
    Pass(u16),
    Change(u16),
    RefuseWaiting,
    Disconnect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Send),
        4 => (0_usize..8, 0_u8..3).prop_map(|(which, how)| Step::Settle { which, how }),
        2 => (0_u16..900).prop_map(Step::StoreTakes),
        4 => (0_u16..3_000).prop_map(Step::Pass),
        3 => (1_000_u16..4_000).prop_map(Step::Change),
        1 => Just(Step::RefuseWaiting),
        1 => Just(Step::Disconnect),
    ]
}

struct World {
    rig: Rig,
    node: Node,
    link: Client,
    gone: Vec<Client>,
    sent: usize,
    accepted: HashSet<String>,
}

impl World {
    async fn step(&mut self, step: Step) {
        match step {
            Step::Send => {
                self.sent += 1;
                self.link.send(&format!("<{}>", self.sent)).await;
            }
            Step::Settle { which, how } => {
                let taken = self.node.taken();
                if !taken.is_empty() {
                    self.settle(&taken[which % taken.len()], how);
                }
            }
            Step::StoreTakes(ms) => self.rig.store_takes(Duration::from_millis(ms.into())),
            Step::Pass(ms) => self.pass(Duration::from_millis(ms.into())).await,
            Step::Change(ms) => {
                let patience = Duration::from_millis(ms.into());
                self.link.change(&self.node, patience).await;
            }
            Step::RefuseWaiting => self.link.refuse_waiting().await,
            Step::Disconnect => {
                let fresh = self.node.link("ann");
                let mut left = std::mem::replace(&mut self.link, fresh);
                left.disconnect().await;
                self.gone.push(left);
            }
        }
        self.look().await;
    }

    fn settle(&mut self, key: &str, how: u8) {
        let outcome = match how {
            0 => {
                self.accepted.insert(key.to_owned());
                Outcome::accepted("done")
            }
            1 => Outcome::Failed(Fault::backend("b.failed").retryable()),
            _ => unknown(),
        };
        self.node.settle(key, outcome);
    }

    async fn pass(&mut self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.look().await;
        }
    }

    async fn look(&mut self) {
        for gone in &mut self.gone {
            gone.run().await;
        }
        for answer in self.link.answers().await {
            if let Some((key, fault)) = answer.split_once(" NACK ")
                && !fault.ends_with(" unknown")
            {
                assert!(!self.rig.has(key), "{answer}, and its key is reserved");
            }
        }
    }

    async fn finish(mut self) {
        for _ in 0..3 {
            for key in self.node.taken() {
                self.settle(&key, 1);
            }
            self.pass(Duration::from_secs(4)).await;
        }
        for key in (1..=self.sent).map(|n| format!("<{n}>")) {
            assert!(
                !self.rig.has(&key) || self.accepted.contains(&key),
                "{key} was never accepted and is not free"
            );
        }
        assert!(self.gone.iter().all(Client::is_finished));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_message_without_effect_leaves_no_key(steps in prop::collection::vec(step(), 1..40)) {
        in_paused_time(async {
            let rig = Rig::new("");
            let node = rig.node();
            let link = node.link("ann");
            let mut world = World {
                rig,
                node,
                link,
                gone: Vec::new(),
                sent: 0,
                accepted: HashSet::new(),
            };
            for step in steps {
                world.step(step).await;
            }
            world.finish().await;
        });
    }
}
