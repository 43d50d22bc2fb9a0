//! Every road of a record ends: once the broker takes what it is asked to take, or refuses it for good, and a service takes
//! it, every offset passes, whatever is configured and whatever came before.

use proptest::prelude::*;

use super::rig::{Mood, Rig, group, json};
use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reports {
    None,
    Topic,
    /// A service never refuses for good: it is asked until it takes a report.
    Service,
}

#[derive(Clone, Debug)]
struct Options {
    broadcast: bool,
    reports: Reports,
    on_expired: &'static str,
    max_unsettled: u8,
}

#[derive(Clone, Debug)]
enum Step {
    Write(u8),
    Connect(u8),
    /// The client goes, and what stands in its queue fails, now or never.
    Remove(u8, bool),
    /// The oldest push of a user settles.
    Settle(u8, u8),
    /// The client has no room, or has room again.
    Room(u8, bool),
    Mood(u8, Mood),
    Pass(u64),
    /// The node stops, or dies, and starts again.
    Restart(bool),
    /// The partitions are given back, or lost, and come again.
    Rebalance(bool),
}

const USERS: [&str; 3] = ["ann", "bob", "cat"];
const TOPICS: [&str; 3] = ["pushes_parked", "pushes_dead", "reports"];

fn options() -> impl Strategy<Value = Options> {
    let reports = prop::sample::select(vec![Reports::None, Reports::Topic, Reports::Service]);
    let on_expired = prop::sample::select(vec!["report", "park", "dead_letter"]);
    (any::<bool>(), reports, on_expired, 1..8_u8).prop_map(
        |(broadcast, reports, on_expired, max_unsettled)| Options {
            broadcast,
            reports,
            on_expired,
            max_unsettled,
        },
    )
}

fn mood() -> impl Strategy<Value = Mood> {
    let moods = vec![Mood::Takes, Mood::Away, Mood::Denies, Mood::Refuses];
    prop::sample::select(moods)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..6_u8).prop_map(Step::Write),
        2 => (0..3_u8).prop_map(Step::Connect),
        1 => (0..3_u8, any::<bool>()).prop_map(|(user, fails)| Step::Remove(user, fails)),
        3 => (0..3_u8, 0..4_u8).prop_map(|(user, outcome)| Step::Settle(user, outcome)),
        1 => (0..3_u8, any::<bool>()).prop_map(|(user, room)| Step::Room(user, room)),
        2 => (0..3_u8, mood()).prop_map(|(topic, mood)| Step::Mood(topic, mood)),
        3 => (0..4_000_u64).prop_map(Step::Pass),
        1 => any::<bool>().prop_map(Step::Restart),
        2 => any::<bool>().prop_map(Step::Rebalance),
    ];
    prop::collection::vec(step, 1..40)
}

fn payload(kind: u8, number: usize) -> String {
    let key = format!("k{number}");
    match kind {
        0 | 1 => json(&key, USERS[number % 3]),
        2 => group(&key, &USERS),
        3 => "no push".to_owned(),
        4 => json(&key, "ann").replace("chat", "none"),
        // It expires two seconds after the clock's beginning.
        _ => json(&key, "bob").replace('}', r#","expires_at":1767225602000}"#),
    }
}

fn outcome(number: u8) -> Outcome {
    match number {
        0 | 1 => Outcome::accepted(""),
        2 => Outcome::Failed(Fault::client("link.gone")),
        _ => Outcome::Unknown(Fault::client("push.unacknowledged").effect_unknown()),
    }
}

struct World {
    rig: Rig,
    reports: Reports,
    links: [Option<Arc<TestLink>>; 3],
    written: usize,
}

impl World {
    fn mood(&self, topic: u8, mood: Mood) {
        let topic = TOPICS[usize::from(topic)];
        let mood = match (topic, self.reports, mood) {
            ("reports", Reports::Service, Mood::Refuses) => Mood::Denies,
            _ => mood,
        };
        self.rig.mood(topic, mood);
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Write(kind) => {
                self.rig.write(payload(kind, self.written));
                self.written += 1;
            }
            Step::Connect(user) => {
                let user = usize::from(user);
                if self.links[user].is_none() {
                    self.links[user] = Some(self.rig.connect(USERS[user]));
                }
            }
            Step::Remove(user, fails) => {
                if let Some(link) = self.links[usize::from(user)].take() {
                    self.rig.remove(&link);
                    while fails && link.settle(outcome(2)) {}
                }
            }
            Step::Settle(user, number) => {
                if let Some(link) = &self.links[usize::from(user)] {
                    link.settle(outcome(number));
                }
            }
            Step::Room(user, room) => {
                let full = || Fault::gateway("link.queue_full").retryable();
                match &self.links[usize::from(user)] {
                    Some(link) if room => link.accept(),
                    Some(link) => link.refuse(full()),
                    None => {}
                }
            }
            Step::Mood(topic, mood) => self.mood(topic, mood),
            Step::Pass(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Step::Rebalance(is_lost) => match is_lost {
                true => self.rig.broker.lose(self.rig.group()),
                false => self.rig.broker.rebalance(self.rig.group()),
            },
            // Whoever runs the test does it.
            Step::Restart(_) => {}
        }
    }

    fn is_done(&self, topic: &str) -> bool {
        let end = self.rig.broker.records(topic).len() as i64;
        self.rig.done_of(topic).unwrap_or_default() == end
    }
}

async fn walk(options: &Options, steps: &[Step], end: &[Mood; 3]) -> Result<(), TestCaseError> {
    let config = format!(
        "max_hold: 3s, min_hold: 500ms, retry_after: 1s, give_up_after: 15s, offline_after: 2s, release_within: 1s, \
         max_unsettled: {}, on_expired: {}",
        options.max_unsettled, options.on_expired
    );
    let mut rig = match options.broadcast {
        true => Rig::broadcast(&config),
        false => Rig::new(&config),
    };
    rig.reporting = options.reports != Reports::None;
    let mut reader = rig.read();
    rig.settle_in().await;
    let mut world = World {
        rig,
        reports: options.reports,
        links: Default::default(),
        written: 0,
    };
    for step in steps {
        world.step(step).await;
        world.rig.settle_in().await;
        if let Step::Restart(is_stop) = step {
            match is_stop {
                true => reader.stop().await,
                false => reader.kill().await,
            }
            reader = world.rig.read();
            world.rig.settle_in().await;
        }
    }
    for (topic, mood) in (0..3).zip(end) {
        let is_for_good = matches!(mood, Mood::Takes | Mood::Refuses);
        let mood = if is_for_good { *mood } else { Mood::Takes };
        let takes = options.reports == Reports::Service && topic == 2;
        world.mood(topic, if takes { Mood::Takes } else { mood });
    }
    // A push is given up once nodes have had it for 15 s, parked for the last time at most 3 s before that, and what failed is
    // written again after 5 s. Where there is room for one push, nobody has the others meanwhile.
    for _ in 0..400 + 200 * steps.len() {
        let is_done = |topic: &&str| world.is_done(topic);
        let topics = ["pushes", "pushes_parked"];
        let wanted = if options.broadcast { 1 } else { 2 };
        if topics[..wanted].iter().all(is_done) {
            reader.kill().await;
            return Ok(());
        }
        tokio::time::sleep(SECOND / 10).await;
    }
    let done = ["pushes", "pushes_parked"].map(|topic| world.rig.done_of(topic));
    reader.kill().await;
    Err(TestCaseError::fail(format!(
        "it stands at {done:?} of {}",
        world.written
    )))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn every_offset_passes_in_the_end(
        options in options(),
        steps in steps(),
        end in [mood(), mood(), mood()],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(walk(&options, &steps, &end))?;
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_parked_is_put_aside_where_nobody_is_told() {
    let mut rig = Rig::new("max_hold: 5s");
    rig.reporting = false;
    rig.mood("pushes_parked", Mood::Refuses);
    let ann = rig.connect("ann");
    rig.write(json("k", "ann"));
    let reader = rig.read();
    rig.until(|| rig.done() == Some(1)).await;
    assert_eq!(ann.keys(), ["k"]);
    let dead = rig.broker.records("pushes_dead");
    let has = |name: &str, value: &str| {
        let mut headers = dead[0].headers.iter();
        headers.any(|(key, own)| key == name && own == value)
    };
    assert_eq!(dead.len(), 1);
    assert!(has("linkgate-reason", "push.park_refused"));
    assert!(has("linkgate-id", "pushes/0/0"));
    reader.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_topic_that_wants_keys_gets_one_and_one_that_wants_nothing_holds_nobody_up() {
    let rig = Rig::new("");
    rig.write("no push".into());
    rig.write("no push either".into());
    rig.broker_takes_keyless(false);
    let reader = rig.read();
    rig.until(|| rig.done() == Some(2)).await;
    let dead = rig.broker.records("pushes_dead");
    assert_eq!(
        dead.iter()
            .map(|record| record.key.clone())
            .collect::<Vec<_>>(),
        ["pushes/0/0", "pushes/0/1"]
    );
    assert!(dead.iter().all(|record| record.payload.is_empty()));

    rig.mood("pushes_dead", Mood::Refuses);
    rig.write("no push".into());
    rig.until(|| rig.done() == Some(3)).await;
    assert_eq!(rig.refused_writes(), 1);

    // A permission may be granted: this is waited for.
    rig.mood("pushes_dead", Mood::Denies);
    rig.write("no push".into());
    tokio::time::sleep(SECOND * 30).await;
    assert_eq!(rig.done(), Some(3));
    rig.mood("pushes_dead", Mood::Takes);
    rig.until(|| rig.done() == Some(4)).await;
    reader.stop().await;
}
