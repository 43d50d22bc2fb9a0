//! Nodes in processes of their own, which are one cluster.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use linkgate_proto::v1::ReceiverOutcome;
use linkgate_proto::v1::receiver_outcome::Status;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::common::client::Client;
use crate::common::gateway::target;
use crate::common::metrics::Metrics;
use crate::common::process::Process;
use crate::common::push::{Caller, push};
use crate::services::{Etcd, Redis, free_address};

const PROGRAM: &str = env!("CARGO_BIN_EXE_linkgate");

/// A registration lasts so long, and who is not registered is given up after this. Both are in the configuration.
pub(super) const LEASE: Duration = Duration::from_secs(2);
pub(super) const SUSPECT_FOR: Duration = Duration::from_secs(4);

/// What a change may take until all nodes know it, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a node listens.
#[derive(Clone, Copy)]
pub(super) struct Addresses {
    pub(super) clients: SocketAddr,
    pub(super) pushes: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) peers: SocketAddr,
    /// Where other nodes reach it.
    pub(super) advertised: SocketAddr,
}

impl Addresses {
    pub(super) fn free() -> Self {
        let peers = free_address();
        Self {
            clients: free_address(),
            pushes: free_address(),
            admin: free_address(),
            peers,
            advertised: peers,
        }
    }
}

/// What the nodes of a cluster have in common.
pub(super) struct World {
    pub(super) etcd: Vec<Etcd>,
    /// The store of the directory, as the configuration names it.
    store: String,
    /// More of the configuration.
    pub(super) more: String,
    /// Another source of pushes.
    pub(super) source: String,
    addresses: HashMap<&'static str, Addresses>,
    folder: TempDir,
}

impl World {
    /// On one etcd and a Redis.
    pub(super) async fn on(redis: &Redis) -> Option<Self> {
        Self::new(1, &format!("url: 'redis://{}'", redis.address())).await
    }

    /// On so many members of etcd and this store.
    pub(super) async fn new(members: usize, store: &str) -> Option<Self> {
        Some(Self {
            etcd: Etcd::cluster(members).await?,
            store: store.to_owned(),
            more: String::new(),
            source: String::new(),
            addresses: HashMap::new(),
            folder: tempfile::tempdir().unwrap(),
        })
    }

    fn yaml(&self, id: &str, at: &Addresses) -> String {
        let endpoints = self
            .etcd
            .iter()
            .map(|etcd| format!("\"{}\"", etcd.address()));
        let endpoints = endpoints.collect::<Vec<_>>().join(", ");
        let Addresses {
            clients,
            pushes,
            admin,
            peers,
            advertised,
        } = at;
        let Self {
            store,
            more,
            source,
            ..
        } = self;
        format!(
            "schema: 1
node: {{ id: {id} }}
admin: {{ address: \"{admin}\" }}
stores: {{ main: {{ redis: {{ {store}, timeout: 1s }} }} }}
cluster:
  registry: {{ etcd: {{ endpoints: [{endpoints}], prefix: /linkgate/test, timeout: 1s }}, lease: {lease}s }}
  peers: {{ address: \"{peers}\", advertise: \"{advertised}\" }}
  directory: {{ store: main }}
  suspect_for: {suspect_for}s
listeners: [{{ name: public, address: \"{clients}\", auth: insecure_query, admission: {{ handshakes_per_ip: 1024 }} }}]
push:
  sources:
    - grpc: {{ address: \"{pushes}\" }}
{source}
{more}
pipelines:
  - biz_id: chat
    listeners: [public]
    filters:
      - {{ use: codec }}
      - {{ use: ack_retry, config: {{ retry: {{ initial: 1s }} }} }}
      - {{ use: echo }}
",
            lease = LEASE.as_secs(),
            suspect_for = SUSPECT_FOR.as_secs(),
        )
    }

    /// Where a node of this id is, or will be.
    pub(super) fn addresses(&mut self, id: &'static str) -> &mut Addresses {
        self.addresses.entry(id).or_insert_with(Addresses::free)
    }

    /// Starts a process at these addresses, and does not wait for it.
    pub(super) fn launch(&self, id: &'static str, at: Addresses) -> Member {
        let file = format!("{id}-{}.yaml", at.peers.port());
        std::fs::write(self.folder.path().join(&file), self.yaml(id, &at)).unwrap();
        let process = Process::start(Path::new(PROGRAM), self.folder.path(), &["run", &file]);
        Member {
            id,
            at,
            process: Some(process),
        }
    }

    /// Starts a node, and waits until it is ready.
    pub(super) async fn start(&mut self, id: &'static str) -> Member {
        let at = *self.addresses(id);
        let mut member = self.launch(id, at);
        member.process().line("admin:").await;
        member.is_ready().await;
        member
    }

    /// Starts three nodes, and waits until they know that all links stand.
    pub(super) async fn three(&mut self) -> [Member; 3] {
        let nodes = [
            self.start("node-a").await,
            self.start("node-b").await,
            self.start("node-c").await,
        ];
        all_is_well(&nodes, 3).await;
        nodes
    }
}

/// A node.
pub(super) struct Member {
    pub(super) id: &'static str,
    pub(super) at: Addresses,
    process: Option<Process>,
}

impl Member {
    pub(super) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it runs")
    }

    /// Waits for its end: the exit code and the log.
    pub(super) async fn exit(mut self) -> (Option<i32>, Vec<String>) {
        self.process.take().expect("it runs").exit().await
    }

    /// Ends it as if its power had gone.
    pub(super) fn kill(self) {
        self.signal("KILL");
    }

    /// Sends the signal of this name.
    pub(super) fn signal(&self, name: &str) {
        self.process.as_ref().expect("it runs").signal(name);
    }

    pub(super) fn caller(&self) -> Caller {
        Caller::new(self.at.pushes)
    }

    pub(super) async fn metrics(&self) -> Metrics {
        Metrics::of(self.at.admin).await
    }

    async fn is_ready(&self) {
        eventually(&format!("{} is ready", self.id), async || {
            let (status, said) = crate::common::metrics::get(self.at.admin, "/readyz").await;
            (status == 200).then_some(()).ok_or(said)
        })
        .await;
    }

    /// Opens a link that can be pushed to.
    pub(super) async fn connect(&self, user: &str, device: Option<&str>) -> Client {
        let mut target = target(self.at.clients, user);
        target.device_id = device.map(Into::into);
        let mut client = Client::connect(&target).await;
        client.heartbeat("there").await;
        client
    }

    /// What `linkgate nodes` says, and its exit code.
    pub(super) async fn nodes(&self) -> (i32, String) {
        run(vec!["nodes".to_owned(), self.url()]).await
    }

    /// What `linkgate where` says of a user, and its exit code.
    pub(super) async fn locate(&self, user: &str) -> (i32, String) {
        let args = ["where", user, "--biz", "chat", "--node", &self.url()];
        run(args.map(str::to_owned).to_vec()).await
    }

    fn url(&self) -> String {
        format!("http://{}", self.at.admin)
    }

    /// The life of a node, as this one knows it; `None`: there is no such node.
    pub(super) async fn life_of(&self, id: &str) -> Option<String> {
        let (_, said) = run(vec!["nodes".to_owned(), "--json".to_owned(), self.url()]).await;
        let nodes: serde_json::Value = serde_json::from_str(&said).unwrap();
        let nodes = nodes.as_array().unwrap();
        let node = nodes.iter().find(|node| node["id"] == id)?;
        node["incarnation"].as_str().map(str::to_owned)
    }

    /// How often this has changed: see the metric.
    pub(super) async fn changes(&self, change: &str) -> u64 {
        let metrics = self.metrics().await;
        metrics.sum("linkgate_cluster_changes_total", &[("change", change)])
    }
}

/// Runs a command to its end, which does not stop what goes on beside it.
async fn run(args: Vec<String>) -> (i32, String) {
    let ran = tokio::task::spawn_blocking(move || Command::new(PROGRAM).args(args).output());
    let Output {
        status,
        stdout,
        stderr,
    } = ran.await.unwrap().unwrap();
    let said = String::from_utf8([stdout, stderr].concat()).unwrap();
    (status.code().unwrap(), said)
}

/// Looks until there is a result; fails with the last reason why there is none.
pub(super) async fn eventually<T>(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(why) if begun.elapsed() > PATIENCE => panic!("{what}: not in time: {why}"),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Waits until each node knows so many, and that the links of all of them stand in the directory.
pub(super) async fn all_is_well(nodes: &[Member], number: usize) {
    for node in nodes {
        eventually(&format!("{} says that all is well", node.id), async || {
            let (code, said) = node.nodes().await;
            let is_well = code == 0 && said.lines().count() == number + 1;
            is_well.then_some(()).ok_or(said)
        })
        .await;
    }
}

/// Waits until a push to a user ends so.
pub(super) async fn push_ends(caller: &Caller, user: &str, status: Status) -> Vec<ReceiverOutcome> {
    let mut before = Vec::new();
    eventually(&format!("a push to {user} is {status:?}"), async || {
        let key = format!("to {user}, {}", fastrand::u64(..));
        let outcome = caller.push_one(push(&key, &[user])).await;
        if outcome.status() == status {
            return Ok(());
        }
        let said = format!("{outcome:?}");
        before.push(outcome);
        Err(said)
    })
    .await;
    before
}
