//! What happens in a run, by its seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use linkgate_core::cluster::Whereabouts;
use linkgate_core::cluster::registry::{Kept, Way as ToRegistry};
use linkgate_core::edges::directory::Shard;
use linkgate_core::edges::directory::memory::{Fault, Snapshot};
use linkgate_filter::Clock;
use linkgate_proto::v1::PushRequest;
use parking_lot::Mutex;

use crate::Ran;
use crate::judge::{Judge, Trouble};
use crate::world::World;
use crate::world::clients::{Client, Phase, Who};
use crate::world::node::{RESUME_FOR, RETRIES, SUSPECT_FOR};
use crate::world::time::TICK;
use crate::world::wires::Way;

/// As long as things fail.
const STORM: Duration = Duration::from_secs(40);
/// What everything has to be in order after, beside what is configured.
const MARGIN: Duration = Duration::from_secs(15);
/// Users; one more never connects.
const USERS: usize = 4;

/// Something that is mended later.
#[derive(Clone, Copy, Debug)]
enum Mend {
    Start(usize),
    Thaw(u32),
    Registry(u32),
    Directory(u32),
    Between(usize, usize),
}

struct Story {
    world: World,
    random: fastrand::Rng,
    nodes: usize,
    who: Vec<Who>,
    mends: BTreeMap<(Duration, usize), Mend>,
    faults: usize,
    pushes: usize,
    kept: Option<Kept>,
    snapshot: Option<Snapshot>,
    registries: u64,
    judge: Judge,
}

/// Runs a seed.
pub(crate) fn run(seed: u64) -> Ran {
    let mut random = fastrand::Rng::with_seed(seed);
    let nodes = random.usize(2..=4);
    let mut story = Story {
        world: World::new(),
        nodes,
        who: who(&mut random),
        random,
        mends: BTreeMap::new(),
        faults: 0,
        pushes: 0,
        kept: None,
        snapshot: None,
        registries: 1,
        judge: Judge::default(),
    };
    story.storm();
    story.calm();
    let mut wrong = story.judge.of_pushes(&story.world);
    wrong.extend(story.stands());
    Ran {
        trace: story.world.trace.lines(),
        wrong,
    }
}

/// Each user has one or two devices, and each device one or two installations, of which at most one stays in the end.
fn who(random: &mut fastrand::Rng) -> Vec<Who> {
    let mut all = Vec::new();
    for user in 0..USERS {
        let stays = user + 1 < USERS;
        for device in 0..random.usize(1..=2) {
            for installation in 0..random.usize(1..=2) {
                all.push(Who {
                    name: format!("u{user}/{device}/{installation}"),
                    user: format!("u{user}"),
                    device: (user > 0).then(|| format!("d{device}")),
                    stays: stays && installation == 0 && (user > 0 || device == 0),
                });
            }
        }
    }
    all
}

impl Story {
    fn within(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.random.u64(from..to))
    }

    fn say(&self, what: impl AsRef<str>) {
        self.world.trace.say(what);
    }

    fn start(&mut self, node: usize) {
        // Clocks drift by up to 2 %.
        let rate = match self.random.bool() {
            true => 1.0,
            false => 0.98 + 0.04 * self.random.f64(),
        };
        self.world.start(node, rate);
    }

    fn storm(&mut self) {
        for node in 0..self.nodes {
            self.start(node);
        }
        let clients: Vec<Client> = self
            .who
            .clone()
            .into_iter()
            .map(|who| self.client(who))
            .collect();
        for client in clients {
            self.world.runtime.spawn(client.run());
        }
        let end = self.world.time.now() + STORM;
        // In a quiet beginning all nodes find each other.
        let begin = self.world.time.now() + Duration::from_secs(3);
        let pace = self.random.u64(50..400);
        while self.world.time.now() < end {
            self.world.tick();
            self.mends_what_is_due();
            if self.world.time.now() >= begin && self.random.u64(..pace) == 0 {
                self.fails();
            }
            if self.random.u8(..30) == 0 {
                self.pushes();
            }
        }
    }

    fn client(&mut self, who: Who) -> Client {
        let world = &self.world;
        Client {
            who,
            random: fastrand::Rng::with_seed(self.random.u64(..)),
            network: world.wires.network.clone(),
            doors: Arc::clone(&world.doors),
            phase: world.phase.subscribe(),
            links: Arc::clone(&world.links),
            acknowledged: Arc::clone(&world.acknowledged),
            time: Arc::clone(&world.time),
            trace: world.trace.clone(),
        }
    }

    /// Everything is mended, and has time to come into order.
    fn calm(&mut self) {
        self.say("from now on nothing fails");
        for (_, mend) in std::mem::take(&mut self.mends) {
            self.mends(mend);
        }
        self.world.phase.send_replace(Phase::Calm);
        for node in 0..self.nodes {
            if self
                .world
                .processes
                .get(&node)
                .is_some_and(|process| !process.stops())
            {
                continue;
            }
            self.world.kill(node);
            self.start(node);
        }
        self.world.pass(SUSPECT_FOR + RESUME_FOR + RETRIES + MARGIN);
    }

    fn mends_what_is_due(&mut self) {
        while let Some(entry) = self.mends.first_entry() {
            if entry.key().0 > self.world.time.elapsed() {
                return;
            }
            let mend = entry.remove();
            self.mends(mend);
        }
    }

    fn mends(&mut self, mend: Mend) {
        if let Mend::Start(node) = mend {
            if !self.world.processes.contains_key(&node) {
                self.start(node);
            }
            return;
        }
        self.say(format!("over: {mend:?}"));
        let now = self.world.time.ms();
        if let Mend::Between(one, other) = mend {
            self.world.wires.set(one, other, Way::Open);
            return;
        }
        for process in self.world.processes.values_mut() {
            let number = process.number;
            match mend {
                Mend::Thaw(of) if of == number => {
                    process.is_frozen = false;
                    self.judge.ends(Trouble::Frozen(number), now);
                }
                Mend::Registry(of) if of == number => {
                    process.registry.set(ToRegistry::Open);
                    self.judge.ends(Trouble::Registry(number), now);
                }
                Mend::Directory(of) if of == number => process.directory.set_fault(Fault::None),
                _ => {}
            }
        }
    }

    fn mends_after(&mut self, time: Duration, mend: Mend) {
        self.faults += 1;
        let at = self.world.time.elapsed() + time;
        self.mends.insert((at, self.faults), mend);
    }

    /// One node that runs, or sometimes all.
    fn some(&mut self) -> Vec<usize> {
        let all: Vec<usize> = self.world.processes.keys().copied().collect();
        match self.random.u8(..4) {
            0 => all,
            _ => self.random.choice(all).into_iter().collect(),
        }
    }

    /// Something fails.
    fn fails(&mut self) {
        match self.random.u8(..20) {
            0 | 1 => self.kills(),
            2 => self.stops(),
            3..6 => self.freezes(),
            6..9 => self.registry_fails(),
            9 => self.registry_goes_back(),
            10..13 => self.directory_fails(),
            13 => self.directory_is_empty(),
            14 | 15 => self.directory_goes_back(),
            16 => self.directory_spreads(),
            _ => self.wire_fails(),
        }
    }

    fn one(&mut self) -> Option<usize> {
        let all: Vec<usize> = self.world.processes.keys().copied().collect();
        self.random.choice(all)
    }

    fn kills(&mut self) {
        let Some(node) = self.one() else { return };
        self.say(format!("node {node} is killed"));
        self.world.kill(node);
        let time = self.within(10, 12_000);
        self.mends_after(time, Mend::Start(node));
    }

    fn stops(&mut self) {
        let Some(node) = self.one() else { return };
        self.say(format!("node {node} is told to stop"));
        self.world.doors.lock().remove(&node);
        let process = self.world.processes.get_mut(&node).unwrap();
        process.stop(Duration::from_secs(2));
        let number = process.number;
        self.world.ends_links_of(number);
        let time = self.within(3_000, 12_000);
        self.mends_after(time, Mend::Start(node));
    }

    fn freezes(&mut self) {
        let Some(node) = self.one() else { return };
        let time = self.within(50, 12_000);
        self.say(format!("node {node} is frozen for {time:?}"));
        let process = self.world.processes.get_mut(&node).unwrap();
        process.is_frozen = true;
        let number = process.number;
        self.judge
            .begins(Trouble::Frozen(number), self.world.time.ms());
        self.mends_after(time, Mend::Thaw(number));
    }

    fn registry_fails(&mut self) {
        let way = [ToRegistry::Stale, ToRegistry::Unanswered, ToRegistry::Cut];
        let way = way[self.random.usize(..way.len())];
        for node in self.some() {
            let time = self.within(100, 15_000);
            self.say(format!(
                "the registry is {way:?} to node {node} for {time:?}"
            ));
            let process = &self.world.processes[&node];
            process.registry.set(way);
            let number = process.number;
            self.judge
                .begins(Trouble::Registry(number), self.world.time.ms());
            self.mends_after(time, Mend::Registry(number));
        }
    }

    fn registry_goes_back(&mut self) {
        let Some(kept) = self.kept.take() else {
            self.kept = Some(self.world.registry.keep());
            return;
        };
        self.registries += 1;
        self.say("the registry is restored from a backup");
        self.world.registry.restore(&kept, self.registries);
        self.judge.restored.push(self.world.time.ms());
    }

    fn directory_fails(&mut self) {
        let faults = [Fault::Unreachable, Fault::Unheard, Fault::Unanswered];
        let fault = faults[self.random.usize(..faults.len())];
        for node in self.some() {
            let time = self.within(100, 10_000);
            self.say(format!(
                "the directory is {fault:?} to node {node} for {time:?}"
            ));
            let process = &self.world.processes[&node];
            process.directory.set_fault(fault);
            let number = process.number;
            self.mends_after(time, Mend::Directory(number));
        }
    }

    fn directory_is_empty(&mut self) {
        self.say("the directory is emptied");
        self.world.directory.empty(Shard(0));
    }

    fn directory_goes_back(&mut self) {
        let Some(snapshot) = self.snapshot.take() else {
            self.snapshot = Some(self.world.directory.snapshot(Shard(0)));
            return;
        };
        self.say("the directory fails over to what it had some time ago");
        self.world.directory.fail_over(Shard(0), snapshot);
    }

    fn directory_spreads(&mut self) {
        let shards = self.random.u16(1..=3);
        self.say(format!("the directory has {shards} shards"));
        self.snapshot = None;
        self.world.directory.spread(shards);
    }

    fn wire_fails(&mut self) {
        let one = self.random.usize(..self.nodes);
        let other = (one + self.random.usize(1..self.nodes)) % self.nodes;
        let way = match self.random.bool() {
            true => Way::Stalled,
            false => Way::Broken,
        };
        let time = self.within(100, 12_000);
        self.say(format!(
            "between {one} and {other} it is {way:?} for {time:?}"
        ));
        self.world.wires.set(one, other, way);
        self.mends_after(time, Mend::Between(one, other));
    }

    fn pushes(&mut self) {
        let Some(node) = self.one() else { return };
        let process = &self.world.processes[&node];
        if process.stops() {
            return;
        }
        self.pushes += 1;
        let mut users: Vec<usize> = (0..=USERS).collect();
        self.random.shuffle(&mut users);
        let most = match self.random.u8(..4) {
            0 => 3,
            _ => 1,
        };
        let request = PushRequest {
            key: format!("p{}", self.pushes),
            biz_id: "chat".into(),
            receiver_ids: users
                .iter()
                .take(most)
                .map(|user| format!("u{user}"))
                .collect(),
            body: "body".into(),
            all: self.random.u8(..4) == 0,
            ack: (self.random.u8(..5) == 0).then_some(false),
            ..PushRequest::default()
        };
        let request = match request.ack {
            Some(false) => PushRequest {
                all: false,
                ..request
            },
            _ => request,
        };
        self.world.push(node, request);
    }

    /// What is wrong with what stands in the end.
    fn stands(&mut self) -> Vec<String> {
        let before = self.world.pushes.lock().len();
        for node in 0..self.nodes {
            for user in 0..=USERS {
                self.world.push(
                    node,
                    PushRequest {
                        key: format!("last-{node}-{user}"),
                        biz_id: "chat".into(),
                        receiver_ids: vec![format!("u{user}")],
                        body: "body".into(),
                        ..PushRequest::default()
                    },
                );
            }
        }
        self.world.pass(Duration::from_secs(3));
        let mut wrong = Judge::of_last(&self.world, before, &self.who);
        for user in 0..USERS {
            for (node, found) in self.locate(&format!("u{user}")) {
                wrong.extend(Judge::of_whereabouts(
                    &self.world,
                    &format!("u{user}"),
                    node,
                    &found,
                ));
            }
        }
        wrong
    }

    fn locate(&mut self, user: &str) -> BTreeMap<usize, Whereabouts> {
        let found = Arc::new(Mutex::new(BTreeMap::new()));
        for (node, process) in &self.world.processes {
            let (node, reporter, found) =
                (*node, Arc::clone(&process.reporter), Arc::clone(&found));
            let user = ("chat".into(), user.into());
            process.runtime.spawn(async move {
                let whereabouts = reporter.locate(&user).await;
                found.lock().insert(node, whereabouts);
            });
        }
        self.world.pass(TICK * 20);
        std::mem::take(&mut *found.lock())
    }
}
