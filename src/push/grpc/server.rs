//! The server of a gRPC push source: address, TLS, bounds, graceful stop.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, stream};
use linkgate_proto::FILE_DESCRIPTOR_SET;
use linkgate_proto::v1::push_service_server::PushServiceServer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use super::doorman::Doorman;
use super::service::Service;
use crate::network::{self, Binding, Network, Socket};
use crate::push::auth::Callers;
use crate::push::config::{GrpcCaller, GrpcSource};
use crate::push::router::Router;

/// A gRPC push source with its address bound.
pub struct GrpcPush {
    socket: Arc<Socket>,
    server: Server,
    service: Service,
    callers: Doorman,
    max_message: usize,
    max_connections: usize,
}

/// Why a gRPC push source does not serve.
#[derive(Debug, thiserror::Error)]
pub enum GrpcPushError {
    /// The address cannot be served on.
    #[error("cannot serve pushes on {address}: {source}; is another process using the address?")]
    Bind {
        /// The source's address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Certificate and key are no pair, or not readable.
    #[error("the certificates of the push source on {address} are of no use: {source}")]
    Tls {
        /// The source's address.
        address: SocketAddr,
        /// What is wrong with them.
        source: tonic::transport::Error,
    },
    /// Serving broke off.
    #[error("the push source stopped: {0}")]
    Serve(#[from] tonic::transport::Error),
    /// The services' descriptors cannot be read.
    #[error("server reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl GrpcPush {
    /// How long a connection may take to answer a ping.
    const PING_TIMEOUT: Duration = Duration::from_secs(10);
    const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

    /// Binds the source's address.
    ///
    /// # Errors
    /// The address is not free, or the certificates are of no use.
    pub fn bind(
        config: &GrpcSource,
        router: Router,
        network: &Network,
    ) -> Result<Self, GrpcPushError> {
        let address = config.address;
        let bound = network.bind(address, Binding::default());
        let socket = bound.map_err(|source| GrpcPushError::Bind { address, source })?;
        Self::on(Arc::new(socket), config, router)
    }

    /// The source on an address that is bound, as that of its predecessor is.
    ///
    /// # Errors
    /// The certificates are of no use.
    pub fn on(
        socket: Arc<Socket>,
        config: &GrpcSource,
        router: Router,
    ) -> Result<Self, GrpcPushError> {
        let address = config.address;
        let server = server(config).map_err(|source| GrpcPushError::Tls { address, source })?;
        let callers = Doorman::new(&config.auth, router.metrics().clone());
        let service = Service {
            router,
            max_in_flight: config.max_in_flight as usize,
            stop: CancellationToken::new(),
        };
        Ok(Self {
            socket,
            server,
            service,
            callers,
            max_message: config.max_message.as_usize(),
            max_connections: config.max_connections as usize,
        })
    }

    /// The address bound, with the port that the system chose for port 0.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_address()
    }

    /// What of it can be changed or taken over while it serves.
    pub fn control(&self) -> GrpcControl {
        GrpcControl {
            socket: Arc::clone(&self.socket),
            callers: self.callers.callers().clone(),
        }
    }

    /// Serves until `stop` is cancelled and the calls that were open then are answered. A call may be open for as long as
    /// `max_wait`: who cannot wait for that drops the future.
    ///
    /// # Errors
    /// Serving breaks off.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), GrpcPushError> {
        let Self {
            socket,
            mut server,
            mut service,
            callers,
            max_message,
            max_connections,
        } = self;
        service.stop = stop.clone();
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<PushServiceServer<Service>>().await;
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .build_v1()?;
        let push = PushServiceServer::new(service)
            .max_decoding_message_size(max_message)
            .max_encoding_message_size(usize::MAX);
        server
            .add_service(InterceptedService::new(push, callers))
            .add_service(health_service)
            .add_service(reflection)
            .serve_with_incoming_shutdown(accept(socket, max_connections), stop.cancelled_owned())
            .await?;
        Ok(())
    }
}

/// What of a source can be changed or taken over while it serves.
pub struct GrpcControl {
    socket: Arc<Socket>,
    callers: Callers,
}

impl GrpcControl {
    /// From now on these may call.
    pub fn admit(&self, callers: &[GrpcCaller]) {
        self.callers.replace(callers);
    }

    /// The bound address, for a successor.
    pub fn socket(&self) -> Arc<Socket> {
        Arc::clone(&self.socket)
    }
}

fn server(config: &GrpcSource) -> Result<Server, tonic::transport::Error> {
    let server = Server::builder()
        .max_concurrent_streams(config.max_calls)
        .http2_keepalive_interval(Some(*config.keep_alive))
        .http2_keepalive_timeout(Some(GrpcPush::PING_TIMEOUT));
    let Some(tls) = &config.tls else {
        return Ok(server);
    };
    let identity = Identity::from_pem(&tls.cert, tls.key.expose());
    let mut settings = ServerTlsConfig::new()
        .identity(identity)
        .timeout(GrpcPush::HANDSHAKE_TIMEOUT);
    if let Some(authorities) = &tls.client_ca {
        // Optional: whoever comes without a certificate needs a token.
        settings = settings
            .client_ca_root(Certificate::from_pem(authorities))
            .client_auth_optional(true);
    }
    server.tls_config(settings)
}

/// Accepted connections, no more than `most` at a time.
fn accept(socket: Arc<Socket>, most: usize) -> impl Stream<Item = io::Result<Connection>> {
    let room = Arc::new(Semaphore::new(most));
    stream::unfold((socket, room), async |(socket, room)| {
        let permit = Arc::clone(&room).acquire_owned().await.ok()?;
        let accepted = match socket.accept().await {
            Ok((stream, _)) => stream.set_nodelay().map(|()| Connection {
                stream,
                _permit: permit,
            }),
            Err(error) => {
                // Out of descriptors, most likely: trying again at once would only spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
                Err(error)
            }
        };
        Some((accepted, (socket, room)))
    })
}

/// A connection that counts among those allowed.
struct Connection {
    stream: network::Connection,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        match &self.stream {
            network::Connection::System(stream) => stream.connect_info(),
            network::Connection::Memory(_) => TcpConnectInfo {
                local_addr: None,
                remote_addr: None,
            },
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
