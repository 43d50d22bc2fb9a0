//! What a node tells whoever runs it of its cluster: which nodes there are, and where a user is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::inbox::{Inbox, News};
use super::machine::Machine;
use super::peers::Peers;
use super::registry::{Incarnation, NodeState, View};
use super::state::State;
use crate::edges::directory::{
    Claim, ClaimState, Directory, DirectoryError, Life, Operation, Record, Topology, User,
};

/// A node has so long to say which links it has.
const PATIENCE: Duration = Duration::from_secs(2);

/// Questions of people have these numbers and greater ones; those of the machine begin at 1.
const BY_HAND: u64 = 1 << 62;

/// One node, as another one knows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its id.
    pub id: String,
    /// Its life; an older gateway has none.
    pub incarnation: Option<String>,
    /// What it does; `unregistered` for one whose lease has run out.
    pub state: String,
    /// Links.
    pub links: u64,
    /// Links that it may hold; 0 if it does not say.
    pub capacity: u64,
    /// Its share of links against others.
    pub weight: u32,
    /// Its labels.
    pub labels: Vec<String>,
    /// Where it stands.
    pub location: String,
    /// Where other nodes reach it.
    pub peer: String,
    /// Its version of linkgate.
    pub version: String,
    /// The generation of its configuration.
    pub generation: u64,
    /// Shards of the directory in which links of it may be missing, of those that the node that was asked knows.
    pub behind: Vec<u16>,
    /// It is the node that was asked.
    pub is_own: bool,
}

/// Where a user is: by the directory, and by the nodes' own tables, which are the truth.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Whereabouts {
    /// What the directory says, or why it does not.
    pub directory: Result<DirectoryReport, String>,
    /// What each node says that it has; `None`: it does not answer.
    pub nodes: BTreeMap<String, Option<Vec<LinkReport>>>,
}

/// What the directory says of a user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DirectoryReport {
    /// The shard that has the user.
    pub shard: u16,
    /// Its life.
    pub life: String,
    /// The user's epoch.
    pub epoch: u64,
    /// Links that stand there.
    pub claims: Vec<LinkReport>,
    /// Links that newer ones have displaced, and whose nodes have not confirmed that yet.
    pub displaced: Vec<LinkReport>,
}

/// A link of a user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinkReport {
    /// Its node; a life that is over is told by its incarnation.
    pub node: String,
    /// Its id there.
    pub link: u64,
    /// Its device.
    pub device: Option<String>,
    /// The epoch of its claim; 0 if it has none yet.
    pub epoch: u64,
    /// It may be resumed, and is not open.
    pub is_resumable: bool,
}

/// Whoever waits for what a node says.
type Asked = HashMap<u64, oneshot::Sender<Option<Vec<Claim>>>>;

/// Questions of people that nodes have not answered.
#[derive(Default)]
pub(super) struct ByHand {
    asked: Mutex<Asked>,
    numbers: AtomicU64,
}

impl ByHand {
    /// Takes an answer that is for a person; gives back the number of one that is not.
    pub(super) fn told(&self, number: u64, claims: &mut Option<Vec<Claim>>) -> bool {
        if number < BY_HAND {
            return false;
        }
        if let Some(waits) = self.asked.lock().remove(&number) {
            let _ = waits.send(claims.take());
        }
        true
    }

    async fn ask(&self, peers: &Peers, life: Incarnation, user: &User) -> Option<Vec<Claim>> {
        let number = BY_HAND + self.numbers.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.asked.lock().insert(number, answer);
        peers.ask(life, number, user);
        let answered = timeout(PATIENCE, answered).await;
        self.asked.lock().remove(&number);
        answered.ok()?.ok()?
    }
}

/// Tells whoever runs a node of its cluster.
pub struct Reporter {
    pub(super) inbox: Arc<Inbox>,
    pub(super) state: Arc<State>,
    pub(super) peers: Peers,
    pub(super) directory: Option<Arc<dyn Directory>>,
    pub(super) topology: watch::Receiver<Option<Arc<dyn Topology>>>,
    pub(super) by_hand: Arc<ByHand>,
}

impl Reporter {
    /// What the machine says.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Machine) -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let look = move |machine: &Machine| drop(tell.send(look(machine)));
        self.inbox.put(News::LookAt(Box::new(look)));
        told.await.ok()
    }

    /// All nodes of the cluster, as this one knows them.
    pub async fn nodes(&self) -> Vec<NodeReport> {
        let looked = self
            .look(|machine| (machine.incarnation(), machine.lives()))
            .await;
        let (own, lives) = looked.unwrap_or_default();
        nodes(&self.state.view(), own, &lives)
    }

    /// Where a user is: asks the directory and all nodes.
    pub async fn locate(&self, user: &User) -> Whereabouts {
        let view = self.state.view();
        let own = self.look(Machine::incarnation).await.flatten();
        let directory = self.ask_directory(user).await;
        let directory = directory.map(|(shard, life, record)| DirectoryReport {
            shard,
            life: life.to_string(),
            epoch: record.epoch,
            claims: links(&view, &record.claims),
            displaced: links(&view, &record.displaced),
        });
        let others = view.boots.iter().filter(|(life, _)| Some(**life) != own);
        let asked = others.map(|(life, boot)| {
            let view = &view;
            async move {
                let claims = self.by_hand.ask(&self.peers, *life, user).await;
                let links = claims.map(|claims| links(view, &claims));
                (boot.node.to_string(), links)
            }
        });
        let mut nodes: BTreeMap<_, _> = join_all(asked).await.into_iter().collect();
        if let Some(own) = own {
            let user = user.clone();
            let claims = self.look(move |machine| machine.claims(&user)).await;
            let name = view
                .boots
                .get(&own)
                .map_or_else(|| own.to_string(), |boot| boot.node.to_string());
            nodes.insert(name, claims.map(|claims| links(&view, &claims)));
        }
        Whereabouts { directory, nodes }
    }

    async fn ask_directory(&self, user: &User) -> Result<(u16, Life, Record), String> {
        let Some(directory) = &self.directory else {
            return Err("this cluster has no directory".to_owned());
        };
        let Some(topology) = self.topology.borrow().clone() else {
            return Err("the directory has not answered yet".to_owned());
        };
        let shard = topology.shard(user);
        let life = directory.life(shard).await.map_err(said)?;
        let find = vec![Operation::Find(user.clone())];
        let mut answers = directory.run(shard, life, find).await.map_err(said)?;
        let record = answers.pop().unwrap_or(Ok(Record::default()));
        Ok((shard.0, life, record.map_err(said)?))
    }
}

fn said(error: DirectoryError) -> String {
    match error {
        DirectoryError::OtherLife => "the shard has failed over just now: ask again".to_owned(),
        DirectoryError::Moved => "the shards are exchanging users: ask again".to_owned(),
        DirectoryError::Store(error) => error.to_string(),
    }
}

fn nodes(view: &View, own: Option<Incarnation>, lives: &[Option<Life>]) -> Vec<NodeReport> {
    let mut reports: BTreeMap<&str, NodeReport> = BTreeMap::new();
    for (id, record) in &view.nodes {
        let life = record.incarnation;
        let is_over = life.is_some_and(|life| !view.boots.contains_key(&life));
        let behind = (0..).zip(lives).filter(|(_, life)| {
            record.incarnation.is_some() && life.is_none_or(|life| !record.lives.contains(&life))
        });
        let state = match record.state {
            _ if is_over => "ended",
            NodeState::Starting => "starting",
            NodeState::Serving => "serving",
            NodeState::Draining => "draining",
            NodeState::Stopping => "stopping",
        };
        let report = NodeReport {
            id: id.to_string(),
            incarnation: life.map(|life| life.to_string()),
            state: state.to_owned(),
            links: record.load.links,
            capacity: record.capacity,
            weight: record.weight,
            labels: record.labels.clone(),
            location: record.location.clone(),
            peer: record.peer.clone(),
            version: record.version.clone(),
            generation: record.generation,
            behind: behind.map(|(shard, _)| shard).collect(),
            is_own: own.is_some() && own == life,
        };
        reports.insert(id, report);
    }
    for (life, boot) in &view.boots {
        let is_known = view
            .nodes
            .get(&boot.node)
            .is_some_and(|record| record.incarnation == Some(*life));
        if !is_known {
            let report = NodeReport {
                id: boot.node.to_string(),
                incarnation: Some(life.to_string()),
                state: "unregistered".to_owned(),
                links: 0,
                capacity: 0,
                weight: 0,
                labels: Vec::new(),
                location: String::new(),
                peer: String::new(),
                version: String::new(),
                generation: 0,
                behind: (0..).zip(lives).map(|(shard, _)| shard).collect(),
                is_own: own == Some(*life),
            };
            reports.insert(&boot.node, report);
        }
    }
    reports.into_values().collect()
}

fn links(view: &View, claims: &[Claim]) -> Vec<LinkReport> {
    let link = |claim: &Claim| {
        let life = claim.id.incarnation;
        let boot = view.boots.get(&life);
        LinkReport {
            node: boot.map_or_else(|| format!("ended {life}"), |boot| boot.node.to_string()),
            link: claim.id.link,
            device: claim.device.as_deref().map(str::to_owned),
            epoch: claim.epoch,
            is_resumable: claim.state == ClaimState::Resumable,
        }
    };
    claims.iter().map(link).collect()
}
