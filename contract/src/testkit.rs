//! Drives filters and chains in virtual time, with the production runner.
//!
//! Run tests under tokio's paused clock. A [`Testkit`] holds a pipeline written as YAML; [`Testkit::link`] opens it for
//! a link; the test sends, moves time and looks at what came out at either end. Where no backend is wanted, the pipeline
//! ends with `use: test_end`, and the messages that reach it are for the test to settle: [`Testkit::taken`]. Where the
//! test sends decoded messages to filters that need a codec, `use: test_decoded` takes its place; `use: test_answers`
//! answers the client as an `ack_retry` would.
//!
//! ```
//! use linkgate_filter::testkit::Testkit;
//! use linkgate_filter::{Outcome, Registry};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let kit = Testkit::new(Registry::new(), "[{ use: test_end }]");
//! let mut link = kit.link("alice");
//! link.business("k1", "hello");
//! link.run().await;
//! let [message] = kit.taken().try_into().unwrap();
//! assert_eq!(message.body, "hello");
//! message.settle(Outcome::accepted("hi"));
//! # });
//! ```

mod answers;
mod decoded;
mod end;
mod link;

use std::cell::Cell;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Map, Value};

pub use self::answers::Answers;
pub use self::decoded::Decoded;
pub use self::end::End;
pub use self::link::{Pushed, TestLink};
use crate::backend::Backends;
use crate::clock::Clock;
use crate::edges::{Declared, Edges};
use crate::link::{Identity, LinkInfo};
use crate::message::Message;
use crate::registry::Registry;
use crate::runner::OnPanic;
use crate::runner::{Entry, EntryProblem, Limits, Pipeline, Plan};
use crate::runner::{Host, Seeds};

/// Tokio's clock; the wall clock starts at 2026-01-01 and moves with it.
struct VirtualClock(tokio::time::Instant);

/// Tokio's clock, for edges in memory.
pub fn virtual_clock() -> Arc<dyn Clock> {
    Arc::new(VirtualClock(tokio::time::Instant::now()))
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600) + self.0.elapsed()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(at.into()))
    }
}

/// Numbers the nodes of a test: the same each time it runs, and no two alike.
fn nodes() -> u64 {
    thread_local!(static NODES: Cell<u64> = const { Cell::new(0) });
    NODES.with(|nodes| nodes.replace(nodes.get() + 1))
}

type Panics = Vec<(String, String)>;

/// A node's worth of test: a pipeline, its state, its links.
pub struct Testkit {
    registry: Registry,
    declared: Declared,
    limits: Limits,
    host: Arc<Host>,
    pipeline: Arc<Pipeline>,
    links: AtomicU64,
    /// The filters that have panicked, and the keys of the messages they were at, where panics are contained.
    panics: Arc<Mutex<Option<Panics>>>,
}

impl Testkit {
    /// The business of the kit's pipelines.
    pub const BIZ_ID: &'static str = "chat";

    /// A kit with the pipeline of these entries, a YAML list of `{ id, use, config }`.
    ///
    /// # Panics
    /// With the problems, if the pipeline has any.
    pub fn new(registry: Registry, entries: &str) -> Self {
        Self::with(registry, Backends::new(), Limits::default(), entries)
    }

    /// The same with backends and limits.
    ///
    /// # Panics
    /// With the problems, if the pipeline has any.
    pub fn with(registry: Registry, backends: Backends, limits: Limits, entries: &str) -> Self {
        Self::with_edges(registry, backends, limits, Edges::new(), entries)
    }

    /// The same with edges; [`virtual_clock`] is the clock for stores and brokers in memory.
    ///
    /// # Panics
    /// With the problems, if the pipeline has any.
    pub fn with_edges(
        registry: Registry,
        backends: Backends,
        limits: Limits,
        edges: Edges,
        entries: &str,
    ) -> Self {
        let registry = registry.with::<Answers>().with::<Decoded>().with::<End>();
        let declared = Declared {
            backends,
            ..edges.declared()
        };
        let panics = Arc::<Mutex<Option<Panics>>>::default();
        let told = Arc::clone(&panics);
        let on_panic = OnPanic::new(move |panicked, payload| match &mut *told.lock() {
            Some(panics) => panics.push((panicked.filter.to_owned(), panicked.key.to_owned())),
            None => resume_unwind(payload),
        });
        let host = Arc::new(Host {
            clock: virtual_clock(),
            on_panic,
            states: Arc::default(),
            edges,
            seeds: Arc::new(Seeds::fixed(nodes() << 32)),
        });
        let pipeline = start(&registry, &declared, limits, &host, entries);
        Self {
            registry,
            declared,
            limits,
            host,
            pipeline,
            links: AtomicU64::new(1),
            panics,
        }
    }

    /// Lets panics of filters end as they do on a node. Otherwise they fail the test.
    pub fn contain_panics(&self) {
        self.panics.lock().get_or_insert_default();
    }

    /// The filters that have panicked since the last call, by their ids, each with the key of the message that it was at.
    pub fn panics(&self) -> Vec<(String, String)> {
        let mut panics = self.panics.lock();
        panics.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Another pipeline on the same node, for [`TestLink::change`].
    ///
    /// # Panics
    /// With the problems, if the pipeline has any.
    pub fn pipeline(&self, entries: &str) -> Arc<Pipeline> {
        start(
            &self.registry,
            &self.declared,
            self.limits,
            &self.host,
            entries,
        )
    }

    /// The kit's own pipeline, for its meters.
    pub fn own(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// The node's parts.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// A link of this user.
    pub fn link(&self, user_id: &str) -> TestLink {
        self.open(Identity::new(Self::BIZ_ID, user_id), |link| link)
    }

    /// A link of this identity, with what `adapt` changes.
    pub fn open(&self, identity: Identity, adapt: impl FnOnce(LinkInfo) -> LinkInfo) -> TestLink {
        let id = self.links.fetch_add(1, Ordering::Relaxed);
        TestLink::open(&self.pipeline, Arc::new(adapt(LinkInfo::new(id, identity))))
    }

    /// The next login of the same user: it takes the session over, as the link manager does it.
    pub fn relogin(&self, earlier: &mut TestLink) -> TestLink {
        let session = Arc::clone(&earlier.info().session);
        let link = self.open(earlier.info().identity.clone(), |link| {
            link.with_session(session)
        });
        earlier.fence();
        link
    }

    /// The messages that have reached a `test_end` since the last call, in order.
    pub fn taken(&self) -> Vec<Message> {
        end::taken(&self.host)
    }
}

fn start(
    registry: &Registry,
    declared: &Declared,
    limits: Limits,
    host: &Arc<Host>,
    entries: &str,
) -> Arc<Pipeline> {
    let plan = Plan::prepare(registry, Testkit::BIZ_ID, &parse(entries), declared);
    let (pipeline, shards) = plan
        .unwrap_or_else(|problems| panic!("{}", list(&problems)))
        .start(Testkit::BIZ_ID, limits, host, None);
    for shard in shards {
        tokio::spawn(shard.run());
    }
    pipeline
}

/// Reads a YAML list of `{ id, use, config }`; `id` is the filter's name where it is left out.
///
/// # Panics
/// When the text is no such list.
pub fn parse(entries: &str) -> Vec<Entry> {
    let entries: Vec<Map<String, Value>> = serde_yaml::from_str(entries)
        .unwrap_or_else(|error| panic!("not a list of entries: {error}"));
    let text = |entry: &Map<String, Value>, key| {
        let value = entry.get(key).and_then(Value::as_str);
        value.map(str::to_owned)
    };
    let read = |mut entry: Map<String, Value>| {
        let uses = text(&entry, "use").unwrap_or_else(|| panic!("an entry has no `use`"));
        let config = entry.remove("config");
        Entry {
            id: text(&entry, "id").unwrap_or_else(|| uses.clone()),
            uses,
            config: config.unwrap_or_else(|| Map::new().into()),
        }
    };
    entries.into_iter().map(read).collect()
}

fn list(problems: &[EntryProblem]) -> String {
    let line = |p: &EntryProblem| {
        format!(
            "entry {:?}: {}: {}",
            p.entry, p.problem.path, p.problem.message
        )
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}
