//! The server of a gRPC push source: address, TLS, bounds, graceful stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use linkgate_proto::FILE_DESCRIPTOR_SET;
use linkgate_proto::v1::push_service_server::PushServiceServer;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;

use super::call::Desk;
use super::connection::{self, Around};
use super::doorman::Doorman;
use super::service::Service;
use crate::network::{Binding, Network, Socket};
use crate::push::auth::Callers;
use crate::push::config::{GrpcCaller, GrpcSource};
use crate::push::router::Router;
use crate::reception::{Acceptor, Idle, Reception, ReceptionMetrics, TlsError};

/// A gRPC push source with its address bound.
pub struct GrpcPush {
    socket: Arc<Socket>,
    reception: Arc<Reception>,
    tls: Acceptor,
    service: Service,
    callers: Doorman,
    config: GrpcSource,
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
        source: TlsError,
    },
    /// The services' descriptors cannot be read.
    #[error("server reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl GrpcPush {
    /// Binds the source's address.
    ///
    /// # Errors
    /// The address is not free, or the certificates are of no use.
    pub fn bind(
        config: &GrpcSource,
        router: Router,
        (network, metrics): (&Network, &ReceptionMetrics),
    ) -> Result<Self, GrpcPushError> {
        let address = config.address;
        let bound = network.bind(address, Binding::default());
        let socket = bound.map_err(|source| GrpcPushError::Bind { address, source })?;
        Self::on(Arc::new(socket), config, router, metrics)
    }

    /// The source on an address that is bound, as that of its predecessor is.
    ///
    /// # Errors
    /// The certificates are of no use.
    pub fn on(
        socket: Arc<Socket>,
        config: &GrpcSource,
        router: Router,
        metrics: &ReceptionMetrics,
    ) -> Result<Self, GrpcPushError> {
        let address = config.address;
        let tls = Acceptor::new(config.tls.as_ref(), "h2")
            .map_err(|source| GrpcPushError::Tls { address, source })?;
        let callers = Doorman::new(&config.auth, router.metrics().clone());
        let service = Service {
            router,
            max_in_flight: config.max_in_flight as usize,
            stop: CancellationToken::new(),
        };
        let bound = socket.local_address().unwrap_or(address);
        Ok(Self {
            socket,
            // Callers that are known may be silent for long: pings tell which of them are gone.
            reception: Reception::new(bound, &config.connections, Idle::Stays, metrics),
            tls,
            service,
            callers,
            config: config.clone(),
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
    /// The services' descriptors cannot be read.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), GrpcPushError> {
        let Self {
            socket,
            reception,
            tls,
            mut service,
            callers,
            config,
        } = self;
        service.stop = stop.clone();
        let around = Around {
            tls,
            desk: Desk {
                routes: routes(service, callers, config.max_message.as_usize()).await?,
                largest: config.max_message.as_usize(),
                patience: *config.connections.request,
            },
            max_calls: config.max_calls,
            keep_alive: *config.keep_alive,
        };
        let connections = TaskTracker::new();
        while let Some((connection, seat)) = stop.run_until_cancelled(reception.next(&socket)).await
        {
            connections.spawn(connection::serve(
                connection,
                seat,
                around.clone(),
                stop.clone(),
            ));
        }
        drop(socket);
        connections.close();
        connections.wait().await;
        Ok(())
    }
}

/// What a source answers to. Health and reflection are there for everybody.
async fn routes(
    service: Service,
    callers: Doorman,
    max_message: usize,
) -> Result<Routes, GrpcPushError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<PushServiceServer<Service>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let push = PushServiceServer::new(service)
        .max_decoding_message_size(max_message)
        .max_encoding_message_size(usize::MAX);
    let routes = Routes::new(InterceptedService::new(push, callers))
        .add_service(health_service)
        .add_service(reflection);
    Ok(routes.prepare())
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
