//! A listener's config, prepared: what a connection passes on its way to a link.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::Clock;
use linkgate_filter::problem::Problems;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::admission::{Admission, Quota, Shared, Shares, client_of};
use super::auth::Authenticator;
use super::config::{
    AdmissionConfig, Compression, FormChoice, ListenerConfig, ProxyProtocol, WebSocketOptions,
};
use super::forwarded::TrustedProxies;
use super::metrics::{Counters, ListenerMetrics};
use super::origin::Origins;
use super::refusal::Refusal;
use super::{proxy_protocol, tls};
use crate::network::{self, Connection, Stream};
use crate::wire::{Share, Unfinished, deflate};

/// Allocated for every link, idle or not.
const READ_BUFFER: usize = 1024;
/// Frames are gathered up to this much before they are written without being asked to.
const WRITE_BUFFER: usize = 8 * 1024;
/// The largest frame header.
const FRAME_HEADER: usize = 14;

pub(super) struct Door {
    pub(super) name: Arc<str>,
    pub(super) counters: Counters,
    pub(super) path: String,
    /// Where the health is asked for.
    pub(super) health: Option<String>,
    pub(super) max_header: usize,
    pub(super) socket: WebSocketConfig,
    pub(super) compression: Compression,
    pub(super) form: FormChoice,
    pub(super) origins: Origins,
    pub(super) trusted: TrustedProxies,
    pub(super) auth: Authenticator,
    pub(super) admission: Arc<Admission>,
    pub(super) retry_after: Duration,
    pub(super) handshake_timeout: Duration,
    proxy_protocol: ProxyProtocol,
    tls: Option<Arc<ServerConfig>>,
    /// Handshakes in progress, of clients that are no trusted proxies.
    handshakes: Shares,
    /// Room for unfinished messages.
    unfinished: Arc<Unfinished>,
    /// Refused connections that are seen off.
    pub(super) farewells: Arc<Quota>,
    pub(super) clock: Arc<dyn Clock>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The limits of a config that hold for what is open already.
#[derive(Debug)]
pub(super) struct Limits {
    admission: AdmissionConfig,
    max_unfinished: usize,
    unfinished_of_one: usize,
}

impl From<&ListenerConfig> for Limits {
    fn from(config: &ListenerConfig) -> Self {
        Self {
            admission: config.admission.clone(),
            max_unfinished: config.websocket.max_unfinished.as_usize(),
            unfinished_of_one: config.websocket.unfinished_of_one().as_usize(),
        }
    }
}

/// What connections hold of a listener's limits, whatever its config is changed to.
struct Held {
    admission: Arc<Admission>,
    handshakes: Shares,
    unfinished: Arc<Unfinished>,
    farewells: Arc<Quota>,
    clock: Arc<dyn Clock>,
}

impl Door {
    pub(super) fn prepare(
        config: &ListenerConfig,
        metrics: &ListenerMetrics,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Problems> {
        let counters = metrics.of(&config.name);
        let admission = Admission::new(&config.admission, counters.open_links.clone());
        let held = Held {
            admission: Arc::new(admission),
            handshakes: Shares::new(&config.admission),
            unfinished: Unfinished::new(
                config.websocket.max_unfinished.as_usize(),
                config.websocket.unfinished_of_one().as_usize(),
                counters.unfinished_bytes.clone(),
            ),
            farewells: Quota::new(config.admission.farewells()),
            clock: Arc::clone(clock),
        };
        Self::build(config, counters, held)
    }

    /// A door with another config in the same place: what is held of the limits stays held.
    pub(super) fn changed(&self, config: &ListenerConfig) -> Result<Self, Problems> {
        let counters = self.counters.clone();
        let held = Held {
            admission: Arc::clone(&self.admission),
            handshakes: self.handshakes.clone(),
            unfinished: Arc::clone(&self.unfinished),
            farewells: Arc::clone(&self.farewells),
            clock: Arc::clone(&self.clock),
        };
        let door = Self::build(config, counters, held)?;
        Ok(Self {
            name: Arc::clone(&self.name),
            ..door
        })
    }

    /// Takes changed limits over.
    pub(super) fn limit(&self, limits: &Limits) {
        let Limits {
            admission,
            max_unfinished,
            unfinished_of_one,
        } = limits;
        self.admission.change(admission);
        self.handshakes.change(admission);
        self.unfinished
            .set_limits(*max_unfinished, *unfinished_of_one);
    }

    fn build(config: &ListenerConfig, counters: Counters, held: Held) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        config.check(&mut problems);
        config.check_certificate(&mut problems);
        problems.into_result(())?;
        let Held {
            admission,
            handshakes,
            unfinished,
            farewells,
            clock,
        } = held;
        let tls = config.tls.as_ref().map(tls::server_config).transpose()?;
        Ok(Self {
            name: config.name.as_str().into(),
            handshake_timeout: *config.timeouts.handshake,
            counters,
            path: config.websocket.path.clone(),
            health: config.health.clone(),
            max_header: config.websocket.max_header.as_usize(),
            socket: socket_config(&config.websocket),
            compression: config.websocket.compression.clone(),
            form: config.form,
            origins: Origins::prepare(&config.origins)?,
            trusted: TrustedProxies::new(config.trusted_proxies.clone()),
            auth: Authenticator::prepare(&config.auth)?,
            admission,
            retry_after: *config.admission.retry_after,
            proxy_protocol: config.proxy_protocol,
            tls,
            handshakes,
            unfinished,
            farewells,
            clock,
        })
    }

    /// The share of a link's unfinished message in the room for such, and the largest it may be. `client` as for
    /// [`Admission::seat`].
    pub(super) fn room(&self, client: Option<IpAddr>) -> (usize, Share) {
        let largest = self.socket.max_message_size.unwrap_or(usize::MAX);
        (largest, self.unfinished.share(client.map(client_of)))
    }

    /// The client at this address; `None`: a trusted proxy, which may stand for many.
    pub(super) fn client(&self, address: IpAddr) -> Option<IpAddr> {
        (!self.trusted.contains(address)).then_some(address)
    }

    /// Whose connection it is: a trusted proxy's header says so, where there is one.
    pub(super) async fn named(
        &self,
        stream: &mut Connection,
        peer: IpAddr,
    ) -> Result<IpAddr, Refusal> {
        network::set_nodelay(stream).map_err(|_| Refusal::Gone)?;
        // Within this process an address is nobody else's.
        let is_told = matches!(stream, Connection::Right(_)) || !self.trusted.contains(peer);
        if self.proxy_protocol == ProxyProtocol::Off || is_told {
            return Ok(peer);
        }
        let client = proxy_protocol::read(stream, self.proxy_protocol).await;
        Ok(client.map_err(|_| Refusal::ProxyHeader)?.unwrap_or(peer))
    }

    /// One of the handshakes that `client` may have in progress.
    ///
    /// A trusted proxy has no share: it stands for many. One that speaks the PROXY protocol names the client before this
    /// is asked. One that speaks HTTP names it in the request, which it sends in one piece: from there on a handshake
    /// waits for nobody, and there is nothing left to share out.
    pub(super) fn share(&self, client: IpAddr) -> Result<Option<Shared>, Refusal> {
        let client = self.client(client);
        client
            .map(|client| self.handshakes.take(client))
            .transpose()
    }

    /// TLS, where the listener speaks it. A connection within this process has nobody to hide from.
    pub(super) async fn secured(&self, stream: Connection) -> Result<Stream, Refusal> {
        let tls = match (&self.tls, &stream) {
            (Some(tls), Connection::Left(_)) => Arc::clone(tls),
            _ => return Ok(Stream::Left(stream)),
        };
        match TlsAcceptor::from(tls).accept(stream).await {
            Ok(stream) => Ok(Stream::Right(Box::new(stream))),
            Err(_) => Err(Refusal::Tls),
        }
    }
}

fn socket_config(options: &WebSocketOptions) -> WebSocketConfig {
    let largest = Some(options.max_message.as_usize());
    let outgoing = options.max_outgoing.as_usize() + deflate::GROWTH;
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER + outgoing + FRAME_HEADER)
        .max_message_size(largest)
        .max_frame_size(largest)
}
