//! Whatever comes and goes, and whenever readers look: what they were told of adds up to the links that are there.

use std::collections::{BTreeMap, BTreeSet};

use linkgate_filter::LinkInfo;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Come {
        user: u8,
        device: u8,
        allows: u32,
    },
    /// The socket of a link is gone; the link may stay in the table.
    Go {
        link: usize,
        stays: bool,
    },
    /// Another reader begins.
    Begin,
    Read {
        reader: usize,
        most: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let come = (0..3_u8, 0..2_u8, 1..3_u32).prop_map(|(user, device, allows)| Step::Come {
        user,
        device,
        allows,
    });
    let go = (any::<usize>(), any::<bool>()).prop_map(|(link, stays)| Step::Go { link, stays });
    let read = (any::<usize>(), 1..4_usize).prop_map(|(reader, most)| Step::Read { reader, most });
    let step = prop_oneof![5 => come, 4 => go, 1 => Just(Step::Begin), 2 => read];
    proptest::collection::vec(step, 0..80)
}

/// When what happened to a link, in steps.
struct Life {
    user: String,
    came: usize,
    /// Gone or replaced.
    counted_until: usize,
    went: usize,
}

const NEVER: usize = usize::MAX;

struct Table {
    kit: Testkit,
    manager: LinkManager,
    here: Vec<Arc<LinkHandle>>,
    lives: BTreeMap<u64, Life>,
    now: usize,
}

/// What a reader was told.
struct Told {
    reader: Reader,
    backlog: Backlog,
    begun: usize,
    /// Every link that it was told had come, and those of them that it was told had gone.
    came: BTreeSet<u64>,
    went: BTreeSet<u64>,
}

impl Table {
    fn new() -> Self {
        Self {
            kit: Testkit::new(
                panics::with(Registry::new().with::<Mirror>()),
                "[{ use: mirror }]",
            ),
            manager: LinkManager::new(),
            here: Vec::new(),
            lives: BTreeMap::new(),
            now: 0,
        }
    }

    fn come(&mut self, user: &str, device: &str, allows: u32) {
        let identity = Identity::new("chat", user).at_device(device);
        let settings = LinkSettings {
            second_login: match allows {
                1 => SecondLogin::Replace,
                most => SecondLogin::Allow(most),
            },
            ..LinkSettings::default()
        };
        let describe = |id, session| match session {
            Some(session) => LinkInfo::new(id, identity.clone()).with_session(session),
            None => LinkInfo::new(id, identity.clone()),
        };
        let (listener, budget) = ("public".into(), PushBudget::new(0));
        let place = (&listener, self.kit.own());
        let entered = self
            .manager
            .enter(&identity, place, &settings, &budget, describe);
        let Ok(handle) = entered else {
            panic!("no policy that rejects");
        };
        let life = Life {
            user: user.to_owned(),
            came: self.now,
            counted_until: NEVER,
            went: NEVER,
        };
        self.lives.insert(handle.info().id, life);
        for replaced in self.here.iter().filter(|link| link.is_replaced()) {
            let life = self.lives.get_mut(&replaced.info().id).unwrap();
            life.counted_until = life.counted_until.min(self.now);
        }
        self.here.push(handle);
    }

    fn go(&mut self, link: usize, stays: bool) {
        if self.here.is_empty() {
            return;
        }
        let handle = self.here.swap_remove(link % self.here.len());
        self.manager.park(&handle);
        if !stays {
            self.manager.leave(&handle);
        }
        let life = self.lives.get_mut(&handle.info().id).unwrap();
        life.counted_until = life.counted_until.min(self.now);
        life.went = self.now;
    }

    fn begin(&self) -> Told {
        let backlog = Backlog::default();
        Told {
            reader: self.manager.read(backlog.clone()),
            backlog,
            begun: self.now,
            came: BTreeSet::new(),
            went: BTreeSet::new(),
        }
    }

    fn here(&self) -> BTreeSet<u64> {
        self.here.iter().map(|link| link.info().id).collect()
    }
}

impl Told {
    /// Reads once; says whether there was something.
    fn read(&mut self, table: &Table, most: usize) -> bool {
        let changes = self.reader.changes(most).now_or_never().flatten();
        let changes = changes.unwrap_or_default();
        assert!(changes.len() <= most);
        for change in &changes {
            self.hear(table, change);
        }
        !changes.is_empty()
    }

    fn hear(&mut self, table: &Table, change: &Change) {
        let id = change.link.id;
        let life = &table.lives[&id];
        let at = if change.is_online {
            assert!(self.came.insert(id), "told once");
            life.came
        } else {
            assert!(self.came.contains(&id), "nobody goes who was not told of");
            assert!(self.went.insert(id), "told once");
            life.went
        };
        let of_user = |id: &&u64| table.lives[id].user == life.user;
        let known: Vec<_> = self.came.iter().filter(of_user).collect();
        if at >= self.begun {
            let counts = |id: &&&u64| {
                let life = &table.lives[**id];
                life.came <= at && at < life.counted_until
            };
            let links = known.iter().filter(counts).count();
            assert_eq!(change.links, links, "of those that were told");
        }
        let left = known.iter().filter(|id| !self.went.contains(id)).count();
        assert!(change.links <= left);
    }

    fn check(&self, table: &Table) {
        let told = self.came.difference(&self.went);
        let users: BTreeSet<_> = told
            .chain(&table.here())
            .map(|id| table.lives[id].user.clone())
            .collect();
        assert!(self.backlog.users.get() as usize <= users.len());
    }
}

proptest! {
    #[test]
    fn what_readers_are_told_adds_up_to_what_is_there(steps in steps()) {
        let mut table = Table::new();
        let mut readers = vec![table.begin()];
        for step in steps {
            table.now += 1;
            match step {
                Step::Come { user, device, allows } => {
                    table.come(&format!("user{user}"), &format!("device{device}"), allows);
                }
                Step::Go { link, stays } => table.go(link, stays),
                Step::Begin => readers.push(table.begin()),
                Step::Read { reader, most } => {
                    let reader = reader % readers.len();
                    readers[reader].read(&table, most);
                }
            }
            readers.iter().for_each(|told| told.check(&table));
        }
        for mut told in readers {
            told.reader.close();
            while told.read(&table, 3) {}
            let there: BTreeSet<_> = told.came.difference(&told.went).copied().collect();
            prop_assert_eq!(there, table.here());
            prop_assert_eq!(told.backlog.users.get(), 0);
            let ended = told.reader.changes(1).now_or_never();
            prop_assert!(ended.is_some_and(|changes| changes.is_none()));
        }
    }
}

#[test]
fn a_reader_that_begins_while_links_come_and_go_misses_none() {
    let table = Table::new();
    let pipeline = table.kit.own();
    let listener = "public".into();
    let budget = PushBudget::new(0);
    let settings = LinkSettings::default();
    let churn = |user: usize| {
        let mut here = Vec::new();
        for step in 0..2_000_usize {
            let identity = Identity::new("chat", &format!("user{}", (user * 7 + step) % 20));
            let describe = |id, _| LinkInfo::new(id, identity.clone());
            let place = (&listener, pipeline);
            let entered = table
                .manager
                .enter(&identity, place, &settings, &budget, describe);
            here.extend(entered.ok());
            if here.len() > 5 {
                let link: Arc<LinkHandle> = here.swap_remove(step % 5);
                table.manager.park(&link);
                table.manager.leave(&link);
            }
        }
        here
    };
    let mut there = BTreeSet::new();
    std::thread::scope(|threads| {
        let churning: Vec<_> = (0..3)
            .map(|user| threads.spawn(move || churn(user)))
            .collect();
        let reader = table.manager.read(Backlog::default());
        let mut read = || {
            let changes = reader.changes(50).now_or_never().flatten();
            let changes = changes.unwrap_or_default();
            for change in &changes {
                let id = change.link.id;
                match change.is_online {
                    true => assert!(there.insert(id)),
                    false => assert!(there.remove(&id)),
                }
            }
            !changes.is_empty()
        };
        while !churning.iter().all(|thread| thread.is_finished()) {
            read();
        }
        let links = churning
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        let links: BTreeSet<_> = links.map(|link| link.info().id).collect();
        while read() {}
        assert_eq!(there, links);
    });
}
