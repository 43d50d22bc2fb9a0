//! Random links, sizes, delays, failures and reloads: what must hold whatever happens.
//!
//! `PROPTEST_CASES=100000 cargo test -p linkgate-batch property` looks longer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use linkgate_filter::runner::{Limits, Pipeline};
use linkgate_filter::testkit::{TestLink, Testkit};
use linkgate_filter::{Fault, Message, Outcome};
use proptest::prelude::*;
use std::sync::Arc;

use super::rig::{accept, answers, entries, failed, kit_with, settle};

const AMPLE: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug)]
struct Rules {
    max_messages: usize,
    max_bytes: usize,
    max_wait: u64,
    adaptive: bool,
    max_in_flight: usize,
}

impl Rules {
    fn entries(&self) -> String {
        entries(&format!(
            "{{ max_messages: {}, max_bytes: {}, max_wait: {}ms, adaptive: {}, max_in_flight: {} }}",
            self.max_messages, self.max_bytes, self.max_wait, self.adaptive, self.max_in_flight
        ))
    }

    fn fits(&self, batch: &Message) -> bool {
        let weight: usize = batch.parts().iter().map(Message::weight).sum();
        let parts = batch.parts().len();
        (1..=self.max_messages).contains(&parts) && (weight <= self.max_bytes || parts == 1)
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A link sends so many messages of this size.
    Send(usize, usize, usize),
    /// One of the batches in flight ends: accepted, failed, in part, dropped.
    End(prop::sample::Index, u8),
    Pass(u64),
    /// A link changes over to the other pipeline.
    Change(usize),
    Leave(usize),
}

const LINKS: usize = 4;

fn rules() -> impl Strategy<Value = Rules> {
    let sizes = (1_usize..6, 200_usize..1200, 0_u64..20);
    (sizes, any::<bool>(), 1_usize..4).prop_map(
        |((max_messages, max_bytes, max_wait), adaptive, max_in_flight)| Rules {
            max_messages,
            max_bytes,
            max_wait,
            adaptive,
            max_in_flight,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..LINKS, 1_usize..5, 0_usize..400).prop_map(|(link, n, size)| Step::Send(link, n, size)),
        5 => (any::<prop::sample::Index>(), 0_u8..6).prop_map(|(which, how)| Step::End(which, how)),
        3 => (0_u64..25).prop_map(Step::Pass),
        1 => (0..LINKS).prop_map(Step::Change),
        1 => (0..LINKS).prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 1..60)
}

struct World {
    kit: Testkit,
    rules: [Rules; 2],
    pipelines: [Arc<Pipeline>; 2],
    links: Vec<Player>,
    flying: Vec<Message>,
}

struct Player {
    link: TestLink,
    at: usize,
    sent: Vec<String>,
    reached: Vec<String>,
    answered: Vec<String>,
    gone: bool,
}

impl World {
    fn new(rules: [Rules; 2], limits: Limits) -> Self {
        let kit = kit_with(limits, "{}");
        let pipelines = [
            kit.pipeline(&rules[0].entries()),
            kit.pipeline(&rules[1].entries()),
        ];
        let links = (0..LINKS).map(|n| {
            let mut link = kit.link(&n.to_string());
            link.change(&pipelines[0], AMPLE);
            Player {
                link,
                at: 0,
                sent: Vec::new(),
                reached: Vec::new(),
                answered: Vec::new(),
                gone: false,
            }
        });
        let links = links.collect();
        Self {
            kit,
            rules,
            pipelines,
            links,
            flying: Vec::new(),
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Send(link, n, size) => {
                let player = &mut self.links[link];
                for _ in 0..if player.gone { 0 } else { n } {
                    let key = format!("{link}.{}", player.sent.len());
                    player.link.business(&key, vec![b'x'; size]);
                    player.sent.push(key);
                }
            }
            Step::End(which, how) if !self.flying.is_empty() => {
                let batch = self.flying.remove(which.index(self.flying.len()));
                end(batch, how);
            }
            Step::End(..) => {}
            Step::Pass(ms) => tokio::time::advance(Duration::from_millis(ms)).await,
            Step::Change(link) => {
                let player = &mut self.links[link];
                player.at = 1 - player.at;
                player.link.change(&self.pipelines[player.at], AMPLE);
            }
            Step::Leave(link) => {
                let player = &mut self.links[link];
                player.gone = true;
                player.link.disconnect();
            }
        }
        self.look().await;
    }

    async fn look(&mut self) {
        for player in &mut self.links {
            player.link.run().await;
            player.answered.extend(answers(&mut player.link));
        }
        for batch in self.kit.taken() {
            assert!(
                self.rules.iter().any(|rules| rules.fits(&batch)),
                "over its bounds: {batch:?}"
            );
            for part in batch.parts() {
                let user: usize = part.link.identity.user_id.parse().unwrap();
                self.links[user].reached.push(part.key.clone());
            }
            self.flying.push(batch);
        }
        self.check_in_flight();
    }

    /// No link's messages are in two batches at a time.
    fn check_in_flight(&self) {
        let mut held: BTreeMap<u64, usize> = BTreeMap::new();
        for (n, batch) in self.flying.iter().enumerate() {
            for part in batch.parts() {
                let first = *held.entry(part.link.id).or_insert(n);
                assert_eq!(
                    first, n,
                    "{} is in two batches: {:?}",
                    part.key, self.flying
                );
            }
        }
    }

    async fn end(mut self) {
        // Whatever still comes is accepted.
        for _ in 0..1000 {
            if self.links.iter_mut().all(|player| !player.waits()) {
                break;
            }
            self.flying.drain(..).for_each(accept);
            tokio::time::advance(Duration::from_millis(5)).await;
            self.look().await;
        }
        for player in &self.links {
            // Those that the link had refused never reached the far end.
            let refused: BTreeSet<_> = player
                .answered
                .iter()
                .filter_map(|answer| answer.strip_suffix(" link.overloaded"))
                .collect();
            let expected: Vec<_> = player
                .sent
                .iter()
                .filter(|key| !refused.contains(key.as_str()))
                .cloned()
                .collect();
            assert_eq!(player.reached, expected, "in the order sent, each once");
            let mut answered = BTreeSet::new();
            for answer in &player.answered {
                let key = answer.split(' ').next().unwrap();
                assert!(answered.insert(key), "{key} was answered twice");
            }
            if player.gone {
                assert!(player.link.is_finished(), "everything has settled");
            } else {
                assert_eq!(answered.len(), player.sent.len(), "everything is answered");
            }
        }
    }
}

impl Player {
    /// Whether something it sent has not settled.
    fn waits(&mut self) -> bool {
        if self.gone {
            !self.link.is_finished()
        } else {
            self.answered.len() < self.sent.len()
        }
    }
}

fn end(batch: Message, how: u8) {
    match how {
        0..=2 => accept(batch),
        3 => settle(batch, |_| failed()),
        4 => settle(batch, |key| match key.as_bytes().last() {
            Some(b'0' | b'3' | b'6') => {
                Outcome::Unknown(Fault::backend("test.unknown").effect_unknown())
            }
            _ => Outcome::accepted(""),
        }),
        _ => drop(batch),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200),
        failure_persistence: None,
        max_shrink_iters: 1000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn order_holds_everything_settles_once_and_no_batch_is_over_its_bounds(
        rules in [rules(), rules()], steps in steps(), shards in 1_usize..3, tight in any::<bool>(),
    ) {
        let limits = Limits {
            trunk_shards: shards,
            trunk_bytes: if tight { 1500 } else { 1 << 20 },
            in_trunk: if tight { 3 } else { 64 },
            ..Limits::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut world = World::new(rules, limits);
            for step in steps {
                world.step(step).await;
            }
            world.end().await;
        });
    }
}
