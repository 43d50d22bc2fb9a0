//! The server of the admin address: connections, HTTP/1, and the way to its routes.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::guard::{self, Guard};
use super::{Admin, AdminConfig, own_routes};
use crate::network::{Binding, Connection, Network, Socket};
use crate::reception::{Acceptor, Idle, Reception, ReceptionMetrics, Seat, TlsError};

/// The admin address, bound.
pub struct AdminServer {
    socket: Socket,
    reception: Arc<Reception>,
    tls: Acceptor,
    guard: Arc<Guard>,
}

/// Why the admin address is not served.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address cannot be bound.
    #[error("it cannot be bound: {0}")]
    Bind(#[from] io::Error),
    /// The certificates are of no use.
    #[error("its certificates are of no use: {0}")]
    Tls(#[from] TlsError),
}

impl AdminServer {
    /// What a request's head may weigh, and what is read ahead of its body.
    const BUFFER: usize = 64 * 1024;

    /// Binds the address.
    ///
    /// # Errors
    /// What the system says; or the certificates are of no use.
    pub fn bind(
        config: &AdminConfig,
        (network, metrics): (&Network, &ReceptionMetrics),
    ) -> Result<Self, AdminError> {
        let tls = Acceptor::new(config.tls.as_ref(), "http/1.1")?;
        let socket = network.bind(config.address, Binding::default())?;
        let bound = socket.local_address()?;
        Ok(Self {
            socket,
            reception: Reception::new(bound, &config.connections, Idle::Leaves, metrics),
            tls,
            guard: Arc::new(Guard::new(config)),
        })
    }

    /// The address in use, for one that was bound with port 0.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_address()
    }

    /// Answers until `stop` is cancelled, by `more` routes too.
    pub async fn run(self, admin: Arc<Admin>, more: Router, stop: CancellationToken) {
        let Self {
            socket,
            reception,
            tls,
            guard,
        } = self;
        let guarded = axum::middleware::from_fn_with_state(guard, guard::guard);
        let routes = own_routes(admin).merge(more).layer(guarded);
        let connections = TaskTracker::new();
        while let Some((connection, seat)) = stop.run_until_cancelled(reception.next(&socket)).await
        {
            connections.spawn(serve(
                connection,
                seat,
                (tls.clone(), routes.clone()),
                stop.clone(),
            ));
        }
        drop(socket);
        connections.close();
        connections.wait().await;
    }
}

/// Serves a connection until it ends, has to leave, or `stop` and its request is answered.
async fn serve(
    connection: Connection,
    seat: Seat,
    (tls, routes): (Acceptor, Router),
    stop: CancellationToken,
) {
    let mut leaves = pin!(seat.leaves());
    let opened = tokio::select! {
        opened = tls.open(connection) => opened,
        _ = &mut leaves => return,
        () = stop.cancelled() => return,
    };
    let (stream, shown) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            tracing::debug!(peer = %seat.guest().peer(), %error, "an operator's TLS handshake failed");
            return;
        }
    };
    let guest = seat.guest().clone();
    let service = routes.map_request(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(guest.clone());
        if let Some(shown) = &shown {
            request.extensions_mut().insert(shown.clone());
        }
        request
    });
    let http = http1::Builder::new()
        .max_buf_size(AdminServer::BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut http = pin!(http);
    let mut is_stopping = false;
    loop {
        tokio::select! {
            ended = &mut http => {
                if let Err(error) = ended {
                    tracing::debug!(peer = %seat.guest().peer(), %error, "an operator's connection broke");
                }
                return;
            }
            _ = &mut leaves => return,
            () = stop.cancelled(), if !is_stopping => {
                is_stopping = true;
                http.as_mut().graceful_shutdown();
            }
        }
    }
}
