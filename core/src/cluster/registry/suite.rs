//! What every registry does: held against the one in this process here, and against etcd by the tests of real services.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::{
    Boot, BootError, Incarnation, Load, NodeRecord, NodeState, Registered, Registry, Told, View,
};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// As short as a lease may be.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// A way of its own to the one registry.
pub(crate) type Open<'a> = &'a dyn Fn() -> Arc<dyn Registry>;

/// Runs all of it.
pub(crate) async fn run(open: Open<'_>) {
    a_life_begins_is_told_and_leaves(open).await;
    a_life_that_stands_is_not_taken_but_replaced(open).await;
    a_life_ends_only_unregistered(open).await;
    what_is_told_last_stands_last(open).await;
    a_node_that_is_kept_alive_no_longer_goes(open).await;
}

pub(crate) fn boot_of(node: &str, instance: &str) -> Boot {
    Boot {
        node: node.into(),
        instance: instance.into(),
    }
}

pub(crate) async fn boot(registry: &Arc<dyn Registry>, node: &str) -> Incarnation {
    let boot = boot_of(node, &format!("instance of {node}"));
    registry.boot(node, &boot, None).await.unwrap()
}

pub(crate) fn record(node: &str, incarnation: Incarnation, links: u64) -> Arc<NodeRecord> {
    Arc::new(NodeRecord {
        id: node.into(),
        ip: "127.0.0.1".to_owned(),
        port: 8080,
        weight: 100,
        location: String::new(),
        labels: Vec::new(),
        capacity: 1000,
        load: Load { links, pressure: 0 },
        incarnation: Some(incarnation),
        peer: "127.0.0.1:7070".to_owned(),
        public: String::new(),
        state: NodeState::Serving,
        version: "0.1.0".to_owned(),
        schema: 1,
        generation: 1,
        lives: [].into(),
    })
}

/// A node that is registered.
pub(crate) struct Node {
    pub(crate) record: watch::Sender<Arc<NodeRecord>>,
    pub(crate) told: mpsc::Receiver<Registered>,
}

impl Node {
    pub(crate) fn register(
        registry: &Arc<dyn Registry>,
        node: &str,
        incarnation: Incarnation,
    ) -> Self {
        let (sender, receiver) = watch::channel(record(node, incarnation, 0));
        let told = registry.register(incarnation, LEASE, receiver);
        let record = sender;
        Self { record, told }
    }

    pub(crate) async fn hears(
        &mut self,
        what: &str,
        mut holds: impl FnMut(&Registered) -> bool,
    ) -> Registered {
        let heard = async {
            loop {
                let told = self.told.recv().await.expect("the registration goes on");
                if holds(&told) {
                    return told;
                }
            }
        };
        let heard = timeout(PATIENCE, heard).await;
        heard.unwrap_or_else(|_| panic!("not in time: {what}"))
    }

    pub(crate) async fn stands(&mut self) {
        self.hears("it stands", |told| matches!(told, Registered::Stands(_)))
            .await;
    }
}

/// Somebody who follows.
pub(crate) struct Follower(mpsc::Receiver<Told>);

impl Follower {
    pub(crate) fn start(registry: &Arc<dyn Registry>) -> Self {
        Self(registry.follow())
    }

    pub(crate) async fn hears(&mut self, what: &str, mut holds: impl FnMut(&Told) -> bool) -> Told {
        let heard = async {
            loop {
                let told = self.0.recv().await.expect("the following goes on");
                if holds(&told) {
                    return told;
                }
            }
        };
        let heard = timeout(PATIENCE, heard).await;
        heard.unwrap_or_else(|_| panic!("not in time: {what}"))
    }

    pub(crate) async fn sees(
        &mut self,
        what: &str,
        mut holds: impl FnMut(&View) -> bool,
    ) -> Arc<View> {
        let is_it = |told: &Told| matches!(told, Told::View(view) if holds(view));
        match self.hears(what, is_it).await {
            Told::View(view) => view,
            other => panic!("{other:?}"),
        }
    }
}

async fn a_life_begins_is_told_and_leaves(open: Open<'_>) {
    let (registry, other) = (open(), open());
    let mut follower = Follower::start(&other);
    follower.sees("nothing yet", |_| true).await;
    let a = boot(&registry, "a").await;
    let view = follower
        .sees("the life", |view| view.boots.contains_key(&a))
        .await;
    assert_eq!(&*view.boots[&a].node, "a");
    assert_eq!(&*view.boots[&a].instance, "instance of a");
    assert!(!view.nodes.contains_key("a"));
    assert_eq!(a.registry, view.mark.registry);

    let mut node = Node::register(&registry, "a", a);
    let stands = node.hears("it stands", |_| true).await;
    assert_eq!(stands, Registered::Stands(record("a", a, 0)));
    for _ in 0..3 {
        let kept = |told: &Registered| matches!(told, Registered::KeptAlive(_));
        node.hears("it is kept alive", kept).await;
    }
    let view = follower
        .sees("the node", |view| view.nodes.contains_key("a"))
        .await;
    assert_eq!(view.nodes["a"], record("a", a, 0));
    let newest = other.newest().await.unwrap();
    assert!(newest.boots == a.revision && newest.nodes > a.revision);
    assert!(view.mark.covers(&newest), "{:?} {newest:?}", view.mark);
    let read = other.read().await.unwrap();
    assert_eq!((&read.boots, &read.nodes), (&view.boots, &view.nodes));
    assert!(read.mark.covers(&view.mark));

    registry.leave("a", a).await.unwrap();
    let read = other.read().await.unwrap();
    assert!(read.boots.is_empty() && read.nodes.is_empty(), "{read:?}");
    let is_gone = |view: &View| view.boots.is_empty() && view.nodes.is_empty();
    let view = follower.sees("it has left", is_gone).await;
    assert!(view.mark.covers(&newest));
    assert!(other.end("a", a).await.unwrap(), "what has ended has ended");
    registry.leave("a", a).await.unwrap();
    node.record.send_replace(record("a", a, 1));
    let ended = |told: &Registered| *told == Registered::Ended;
    node.hears("nothing is written any more", ended).await;
    assert_eq!(other.read().await.unwrap().nodes.get("a"), None);
}

async fn a_life_that_stands_is_not_taken_but_replaced(open: Open<'_>) {
    let (registry, other) = (open(), open());
    let first = boot(&registry, "b").await;
    let again = boot(&registry, "b").await;
    assert_eq!(first, again, "an attempt without an answer is made again");
    let mut node = Node::register(&registry, "b", first);
    node.stands().await;

    let newcomer = boot_of("b", "a newcomer");
    match other.boot("b", &newcomer, None).await {
        Err(BootError::Taken(life, boot)) => {
            assert_eq!((life, &*boot.instance), (first, "instance of b"));
        }
        other => panic!("{other:?}"),
    }
    let second = other.boot("b", &newcomer, Some(first)).await.unwrap();
    assert!(second > first);
    let read = registry.read().await.unwrap();
    assert_eq!(read.boots.get(&second), Some(&newcomer));
    assert_eq!(read.boots.get(&first), None);
    node.record.send_replace(record("b", first, 1));
    node.hears("the first one has ended", |told| *told == Registered::Ended)
        .await;

    // Whoever comes too late with an old finding finds the new life in the way.
    let late = registry.boot("b", &boot_of("b", "late"), Some(first)).await;
    assert!(matches!(late, Err(BootError::Taken(life, _)) if life == second));
    assert!(other.end("b", first).await.unwrap());
    registry.leave("b", first).await.unwrap();
    assert!(registry.read().await.unwrap().boots.contains_key(&second));

    let mut node = Node::register(&other, "b", second);
    node.stands().await;
    let read = registry.read().await.unwrap();
    assert_eq!(read.nodes["b"].incarnation, Some(second));
    other.leave("b", second).await.unwrap();
}

async fn a_life_ends_only_unregistered(open: Open<'_>) {
    let (registry, other) = (open(), open());
    let life = boot(&registry, "c").await;
    let mut node = Node::register(&registry, "c", life);
    node.stands().await;
    assert!(!other.end("c", life).await.unwrap(), "it is registered");
    assert!(other.read().await.unwrap().boots.contains_key(&life));

    // Registered is the life before, not this one.
    let next = other
        .boot("c", &boot_of("c", "next"), Some(life))
        .await
        .unwrap();
    let read = other.read().await.unwrap();
    assert_eq!(read.nodes["c"].incarnation, Some(life));
    assert!(registry.end("c", next).await.unwrap());
    assert!(registry.read().await.unwrap().boots.is_empty());
}

async fn what_is_told_last_stands_last(open: Open<'_>) {
    let (registry, other) = (open(), open());
    let life = boot(&registry, "d").await;
    let mut follower = Follower::start(&other);
    let mut node = Node::register(&registry, "d", life);
    for links in 1..=20 {
        node.record.send_replace(record("d", life, links));
    }
    let last = Registered::Stands(record("d", life, 20));
    node.hears("the last one stands", |told| *told == last)
        .await;
    let is_last = |view: &View| {
        let said = view.nodes.get("d");
        said.is_some_and(|said| said.load.links == 20)
    };
    let view = follower.sees("the last one", is_last).await;
    let newest = other.newest().await.unwrap();
    assert!(view.mark.covers(&newest), "{:?} {newest:?}", view.mark);
    registry.leave("d", life).await.unwrap();
}

async fn a_node_that_is_kept_alive_no_longer_goes(open: Open<'_>) {
    let (registry, other) = (open(), open());
    let life = boot(&registry, "e").await;
    let mut follower = Follower::start(&other);
    let mut node = Node::register(&registry, "e", life);
    node.stands().await;
    follower
        .sees("the node", |view| view.nodes.contains_key("e"))
        .await;
    drop(node);
    let view = follower
        .sees("its lease has run out", |view| {
            !view.nodes.contains_key("e")
        })
        .await;
    assert!(view.boots.contains_key(&life), "its life goes on");
    assert!(other.end("e", life).await.unwrap());
    follower
        .sees("the end", |view| !view.boots.contains_key(&life))
        .await;
}
