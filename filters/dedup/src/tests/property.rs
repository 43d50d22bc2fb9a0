//! Random clients, retries, outcomes, store failures and disconnects on two nodes: an accepted message that was recorded
//! never reaches the backend again, and every message has an answer.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use linkgate_filter::{Fault, Outcome};
use proptest::prelude::*;

use super::rig::{Client, Node, Rig, in_paused_time};

#[derive(Clone, Debug)]
enum Step {
    Send { link: usize, key: u8 },
    Settle { node: usize, which: usize, how: u8 },
    StoreFails(bool),
    Pass(u16),
    Reconnect(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_usize..4, 0_u8..4).prop_map(|(link, key)| Step::Send { link, key }),
        5 => (0_usize..2, 0_usize..8, 0_u8..6).prop_map(|(node, which, how)| Step::Settle { node, which, how }),
        1 => any::<bool>().prop_map(Step::StoreFails),
        2 => (0_u16..15_000).prop_map(Step::Pass),
        1 => (0_usize..4).prop_map(Step::Reconnect),
    ]
}

struct World {
    rig: Rig,
    nodes: Vec<Node>,
    links: Vec<Client>,
    /// Links whose clients are gone.
    gone: Vec<Client>,
    sent: HashMap<usize, usize>,
    answered: HashMap<usize, usize>,
    /// Keys that a client has seen acknowledged.
    acked: HashSet<String>,
}

impl World {
    fn new() -> Self {
        let rig = Rig::new("reserve_for: 30s, remember_for: 1h");
        let nodes = vec![rig.node(), rig.node()];
        let links = (0..4).map(|link| nodes[link % 2].link("ann")).collect();
        Self {
            rig,
            nodes,
            links,
            gone: Vec::new(),
            sent: HashMap::new(),
            answered: HashMap::new(),
            acked: HashSet::new(),
        }
    }

    async fn turn(&mut self) {
        for gone in &mut self.gone {
            gone.run().await;
        }
        for (number, link) in self.links.iter_mut().enumerate() {
            for answer in link.answers().await {
                *self.answered.entry(number).or_default() += 1;
                if let Some((key, _)) = answer.split_once(" ACK") {
                    self.acked.insert(key.to_owned());
                }
            }
        }
    }

    /// Time passes, and everybody is driven meanwhile.
    async fn pass(&mut self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(500)).await;
            self.turn().await;
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Send { link, key } => {
                let key = format!("k{key}");
                let before: Vec<_> = self.nodes.iter().map(Node::taken).collect();
                let was_acked = self.acked.contains(&key);
                self.links[link].send(&key).await;
                *self.sent.entry(link).or_default() += 1;
                self.turn().await;
                let after: Vec<_> = self.nodes.iter().map(Node::taken).collect();
                assert!(
                    !was_acked || before == after,
                    "`{key}` was acknowledged once"
                );
            }
            Step::Settle { node, which, how } => {
                let taken = self.nodes[node].taken();
                if !taken.is_empty() {
                    let key = &taken[which % taken.len()];
                    self.nodes[node].settle(key, outcome(how));
                }
            }
            Step::StoreFails(fails) => self.rig.store_fails(fails),
            Step::Pass(ms) => self.pass(Duration::from_millis(ms.into())).await,
            Step::Reconnect(link) => {
                let fresh = self.nodes[link % 2].link("ann");
                let mut left = std::mem::replace(&mut self.links[link], fresh);
                left.disconnect().await;
                self.gone.push(left);
                self.sent.insert(link, 0);
                self.answered.insert(link, 0);
            }
        }
        self.turn().await;
    }

    /// Everything settles in the end.
    async fn finish(mut self) {
        self.rig.store_fails(false);
        for _ in 0..3 {
            for node in &self.nodes {
                for key in node.taken() {
                    node.settle(&key, outcome(0));
                }
            }
            self.pass(Duration::from_secs(10)).await;
        }
        for link in 0..self.links.len() {
            let (sent, answered) = (self.sent.get(&link), self.answered.get(&link));
            assert_eq!(sent.unwrap_or(&0), answered.unwrap_or(&0), "link {link}");
        }
        assert!(self.gone.iter().all(Client::is_finished));
    }
}

fn outcome(how: u8) -> Outcome {
    match how {
        0..=2 => Outcome::accepted("done"),
        3 => Outcome::Failed(Fault::backend("b.failed").retryable()),
        4 => Outcome::Failed(Fault::client("b.refused")),
        _ => Outcome::Unknown(Fault::backend("b.timeout").effect_unknown()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_acknowledged_key_never_reaches_the_backend_again(steps in prop::collection::vec(step(), 1..60)) {
        in_paused_time(async {
            let mut world = World::new();
            for step in steps {
                world.step(step).await;
            }
            world.finish().await;
        });
    }
}
