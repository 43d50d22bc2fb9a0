//! The connection of a store: opened when it is needed, given up when it breaks.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use linkgate_grpc::Behind;
use parking_lot::Mutex;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, TlsMode, Value,
};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::edges::config::{RedisConfig, RedisSentinel};
use crate::secret::Secret;

/// A connection; clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    /// Its driver ends with the last clone.
    Tcp(
        MultiplexedConnection,
        #[allow(dead_code)] Arc<AbortOnDropHandle<()>>,
    ),
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) async fn call(&mut self, command: &redis::Cmd) -> RedisResult<Value> {
        let answer = match self {
            Self::Server(connection) | Self::Tcp(connection, _) => {
                connection.req_packed_command(command).await?
            }
            Self::Cluster(connection) => connection.req_packed_command(command).await?,
        };
        answer.extract_error()
    }

    /// Sends commands in one piece. An answer for each, which may be an error.
    pub(super) async fn run(&mut self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        let count = commands.len();
        match self {
            Self::Server(connection) | Self::Tcp(connection, _) => {
                connection.req_packed_commands(commands, 0, count).await
            }
            Self::Cluster(connection) => connection.req_packed_commands(commands, 0, count).await,
        }
    }
}

/// Who opens connections.
enum Opener {
    Server(Client),
    Cluster(ClusterClient),
    Sentinel(tokio::sync::Mutex<SentinelClient>),
}

/// Opens the one connection, again if need be.
pub(super) struct Connections {
    opener: Opener,
    timeout: Duration,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    open: Option<Connection>,
    /// Counts connections, so that a broken one is given up once.
    number: u64,
    opening: Option<Opening>,
    /// When opening failed last, and why. Those that wait do not try one after the other.
    failed: Option<(Instant, RedisError)>,
}

/// A connection that is being opened, by a task of its own: if that takes longer than one operation may, it serves the
/// next ones.
type Opening = Shared<BoxFuture<'static, RedisResult<(Connection, u64)>>>;

impl Connections {
    /// Opening is not tried again sooner.
    const PAUSE: Duration = Duration::from_millis(100);
    /// How long opening may take, names included.
    const PATIENCE: Duration = Duration::from_secs(15);

    pub(super) fn new(config: &RedisConfig) -> Result<Self, String> {
        let opener = Opener::new(config).map_err(|error| unusable(&error))?;
        Ok(Self::by(opener, *config.timeout))
    }

    /// To one server.
    pub(super) fn to(server: Client, timeout: Duration) -> Self {
        Self::by(Opener::Server(server), timeout)
    }

    fn by(opener: Opener, timeout: Duration) -> Self {
        Self {
            opener,
            timeout,
            slot: Mutex::default(),
        }
    }

    /// The connection and its number, if it is open.
    pub(super) fn opened(&self) -> Option<(Connection, u64)> {
        let slot = self.slot.lock();
        let open = slot.open.clone()?;
        Some((open, slot.number))
    }

    /// The connection and its number.
    pub(super) async fn get(self: &Arc<Self>) -> RedisResult<(Connection, u64)> {
        let opening = {
            let mut slot = self.slot.lock();
            if let Some(open) = &slot.open {
                return Ok((open.clone(), slot.number));
            }
            if let Some((at, error)) = &slot.failed
                && at.elapsed() < Self::PAUSE
            {
                return Err(error.clone());
            }
            let opening = slot.opening.get_or_insert_with(|| self.begin());
            opening.clone()
        };
        opening.await
    }

    fn begin(self: &Arc<Self>) -> Opening {
        let this = Arc::clone(self);
        let opening = tokio::spawn(async move {
            let opened = tokio::time::timeout(Self::PATIENCE, this.opener.open(this.timeout)).await;
            let opened = opened.unwrap_or_else(|_| Err(failed("connecting took too long")));
            let mut slot = this.slot.lock();
            slot.opening = None;
            let error = opened.as_ref().err();
            slot.failed = error.map(|error| (Instant::now(), error.clone()));
            opened.map(|open| {
                slot.number += 1;
                slot.open = Some(open.clone());
                (open, slot.number)
            })
        });
        let ended = |opened: Result<_, _>| opened.unwrap_or_else(|_| Err(failed("the node stops")));
        opening.map(ended).boxed().shared()
    }

    /// Gives up a connection, unless that has been done.
    pub(super) fn drop_broken(&self, number: u64) {
        let mut slot = self.slot.lock();
        if slot.number == number {
            slot.open = None;
        }
    }
}

/// Of what is wrong with a URL nothing is repeated: it may hold a password.
pub(super) fn unusable(error: &RedisError) -> String {
    let kind = error.kind();
    format!("the configuration of Redis cannot be used ({kind:?})")
}

/// Authorities to trust in place of the system's.
pub(super) fn authorities(config: &RedisConfig) -> Option<TlsCertificates> {
    let authorities = |ca: &String| TlsCertificates {
        client_tls: None,
        root_cert: Some(ca.clone().into_bytes()),
    };
    config.ca.as_ref().map(authorities)
}

fn failed(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Io, what))
}

impl Opener {
    fn new(config: &RedisConfig) -> RedisResult<Self> {
        let tls = authorities(config);
        if let Some(sentinel) = &config.sentinel {
            return Ok(Self::Sentinel(tokio::sync::Mutex::new(sentinels(
                sentinel, tls,
            )?)));
        }
        if let Some(url) = &config.url {
            return Ok(Self::Server(match tls {
                Some(tls) => Client::build_with_tls(url.expose(), tls)?,
                None => Client::open(url.expose())?,
            }));
        }
        let mut cluster = ClusterClientBuilder::new(config.cluster.iter().map(Secret::expose))
            .connection_timeout(*config.timeout)
            .response_timeout(*config.timeout);
        if let Some(tls) = tls {
            cluster = cluster.certs(tls);
        }
        Ok(Self::Cluster(cluster.build()?))
    }

    async fn open(&self, timeout: Duration) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Connections::PATIENCE))
            .set_response_timeout(Some(timeout));
        Ok(match self {
            Self::Server(client) => match client.get_connection_info().addr() {
                ConnectionAddr::Tcp(host, port) => {
                    let login = client.get_connection_info().redis_settings();
                    over_tcp((host, *port), login, config).await?
                }
                _ => Connection::Server(
                    client
                        .get_multiplexed_async_connection_with_config(&config)
                        .await?,
                ),
            },
            Self::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
            Self::Sentinel(client) => {
                let mut client = client.lock().await;
                Connection::Server(client.get_async_connection_with_config(&config).await?)
            }
        })
    }
}

/// Opens a connection whose driver writes what several operations say at once.
async fn over_tcp(
    address: (&str, u16),
    login: &RedisConnectionInfo,
    config: AsyncConnectionConfig,
) -> RedisResult<Connection> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let opened = MultiplexedConnection::new_with_config(login, stream, config).await?;
    let (connection, driver) = opened;
    let driver = tokio::spawn(Behind::others(Box::pin(driver)));
    let driver = Arc::new(AbortOnDropHandle::new(driver));
    Ok(Connection::Tcp(connection, driver))
}

fn sentinels(config: &RedisSentinel, tls: Option<TlsCertificates>) -> RedisResult<SentinelClient> {
    let mut addresses = Vec::new();
    let mut sentinel_login = (None, None);
    for url in &config.urls {
        let info = url.expose().into_connection_info()?;
        let login = info.redis_settings();
        sentinel_login = (
            login.username().map(str::to_owned),
            login.password().map(str::to_owned),
        );
        addresses.push(info.addr().clone());
    }
    let over_tls = |address: &ConnectionAddr| matches!(address, ConnectionAddr::TcpTls { .. });
    let sentinels_over_tls = addresses.iter().any(over_tls);
    let mut builder =
        SentinelClientBuilder::new(addresses, &config.master, SentinelServerType::Master)?;
    if let Some(username) = sentinel_login.0 {
        builder = builder.set_client_to_sentinel_username(username);
    }
    if let Some(password) = sentinel_login.1 {
        builder = builder.set_client_to_sentinel_password(password);
    }
    if let (true, Some(tls)) = (sentinels_over_tls, &tls) {
        builder = builder.set_client_to_sentinel_certificates(tls.clone());
    }
    if let Some(url) = &config.master_url {
        let info = url.expose().into_connection_info()?;
        let login = info.redis_settings();
        builder = builder.set_client_to_redis_db(login.db());
        if let Some(username) = login.username() {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = login.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if over_tls(info.addr()) {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
            if let Some(tls) = tls {
                builder = builder.set_client_to_redis_certificates(tls);
            }
        }
    }
    builder.build()
}
