//! The primaries of a Redis Cluster: found, and found again when they change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, RedisResult,
    TlsCertificates, Value,
};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::Spreading;
use super::primary::{Common, Primary};
use super::slots::{Address, Map};
use crate::edges::config::RedisConfig;
use crate::edges::redis::connection::{Connections, authorities};
use crate::edges::redis::is_broken;

/// A Cluster.
pub(super) struct Cluster {
    common: Arc<Common>,
    seeds: Vec<Address>,
    /// How its nodes are reached, but for the address.
    login: ConnectionInfo,
    tls: Option<TlsCertificates>,
    nodes: Mutex<BTreeMap<Address, Arc<Connections>>>,
    map: Mutex<Map>,
    /// By shard. There is no one for slots that nobody serves.
    primaries: ArcSwap<Vec<Arc<Primary>>>,
    topology: Spreading,
}

impl Cluster {
    /// The map is read so often, if nothing asks for it sooner.
    const EVERY: Duration = Duration::from_secs(10);
    /// It is not read again sooner.
    const PAUSE: Duration = Duration::from_millis(100);
    /// Between attempts while nobody has a map.
    const LONGEST_PAUSE: Duration = Duration::from_secs(2);

    pub(super) fn new(common: &Arc<Common>, config: &RedisConfig) -> RedisResult<Self> {
        let mut seeds = Vec::new();
        let mut login = None;
        for url in &config.cluster {
            let info = url.expose().into_connection_info()?;
            seeds.push(address(info.addr())?);
            login.get_or_insert(info);
        }
        let none = || RedisError::from((ErrorKind::InvalidClientConfig, "no node is named"));
        let cluster = Self {
            common: Arc::clone(common),
            login: login.ok_or_else(none)?,
            tls: authorities(config),
            nodes: Mutex::default(),
            map: Mutex::default(),
            primaries: ArcSwap::default(),
            topology: watch::Sender::new(None),
            seeds,
        };
        for seed in &cluster.seeds {
            // What is wrong with the configuration shows now.
            cluster.client(seed)?;
        }
        Ok(cluster)
    }

    pub(super) fn topology(&self) -> &Spreading {
        &self.topology
    }

    pub(super) fn primary(&self, shard: u16) -> Option<Arc<Primary>> {
        self.primaries.load().get(usize::from(shard)).cloned()
    }

    /// Keeps the map.
    pub(super) async fn follow(self: Arc<Self>) {
        let mut pause = Self::PAUSE;
        loop {
            let read = self.read().await;
            sleep(pause).await;
            match read {
                Ok(()) => {
                    pause = Self::PAUSE;
                    let asked = self.common.has_moved.notified();
                    let _ = timeout(Self::EVERY, asked).await;
                }
                Err(error) => {
                    pause = Self::LONGEST_PAUSE.min(pause * 2);
                    self.common.failed(&error);
                }
            }
        }
    }

    /// Reads the map from the first node that has one: each time from another one, as a node that is cut off from the
    /// others goes by an old one.
    async fn read(&self) -> RedisResult<()> {
        let mut nodes = self.map.lock().nodes.clone();
        fastrand::shuffle(&mut nodes);
        let mut failed = RedisError::from((ErrorKind::Io, "no node of the cluster is known"));
        for node in nodes.iter().chain(&self.seeds) {
            match self.ask(node).await {
                Ok(map) => return self.publish(map),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn ask(&self, node: &Address) -> RedisResult<Map> {
        let connections = self.node(node)?;
        let late = |_| down("a node does not answer in time");
        let opened = timeout(self.common.timeout, connections.get()).await;
        let (mut connection, number) = opened.map_err(late)??;
        let mut question = redis::pipe();
        question.cmd("CLUSTER").arg("INFO");
        question.cmd("CLUSTER").arg("SLOTS");
        let answers = timeout(self.common.timeout, connection.run(&question)).await;
        let answers = answers.map_err(late).and_then(|answers| answers);
        let answers = answers.inspect_err(|error| {
            if is_broken(error) {
                connections.drop_broken(number);
            }
        })?;
        let answers = answers.into_iter().map(Value::extract_error);
        let answers = answers.collect::<RedisResult<Vec<_>>>()?;
        let [info, slots] = &answers[..] else {
            return Err(down("a node did not answer every command"));
        };
        let info: String = redis::from_redis_value(info.clone())?;
        if !info.lines().any(|line| line == "cluster_state:ok") {
            return Err(down("a node says that the cluster is down"));
        }
        Map::read(slots, node)
    }

    fn publish(&self, map: Map) -> RedisResult<()> {
        let mut now = self.map.lock();
        if *now == map {
            return Ok(());
        }
        let is_spread_anew = now.primaries != map.primaries;
        let before = self.primaries.load_full();
        let mut primaries = Vec::with_capacity(map.primaries.len());
        for served in &map.primaries {
            let kept = before.iter().find(|primary| primary.is(served));
            primaries.push(match kept {
                Some(kept) => Arc::clone(kept),
                None => {
                    let connections = self.node(&served.address)?;
                    Arc::new(Primary::new(&self.common, connections, Some(served)))
                }
            });
        }
        self.nodes
            .lock()
            .retain(|address, _| map.nodes.contains(address));
        if is_spread_anew {
            let spread = Arc::new(map.spread(self.common.prefix));
            self.primaries.store(Arc::new(primaries));
            self.topology.send_replace(Some(spread));
        }
        *now = map;
        Ok(())
    }

    fn node(&self, address: &Address) -> RedisResult<Arc<Connections>> {
        let mut nodes = self.nodes.lock();
        if let Some(connections) = nodes.get(address) {
            return Ok(Arc::clone(connections));
        }
        let client = self.client(address)?;
        let connections = Arc::new(Connections::to(client, self.common.timeout));
        nodes.insert(address.clone(), Arc::clone(&connections));
        Ok(connections)
    }

    fn client(&self, (host, port): &Address) -> RedisResult<Client> {
        let (host, port) = (host.clone(), *port);
        let address = match self.login.addr() {
            ConnectionAddr::TcpTls { insecure, .. } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: *insecure,
                tls_params: None,
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        let info = self.login.clone().set_addr(address);
        match &self.tls {
            Some(tls) => Client::build_with_tls(info, tls.clone()),
            None => Client::open(info),
        }
    }
}

fn address(address: &ConnectionAddr) -> RedisResult<Address> {
    match address {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Ok((host.clone(), *port))
        }
        _ => Err(RedisError::from((
            ErrorKind::InvalidClientConfig,
            "a node of a cluster has a host",
        ))),
    }
}

fn down(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Io, what))
}
