//! From an accepted client to a link at work, and its end.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use linkgate_filter::{Chains, CloseCode, Form, Identity, LinkInfo, Outcome, Pipeline};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;

use super::handle::LinkHandle;
use super::intake::Intake;
use super::mailbox::{PushBudget, gone};
use super::manager::LinkManager;
use super::metrics::{Closed, LinkMetrics};
use super::settings::LinkSettings;
use super::socket::{Read, Socket};
use super::task::Link;
use super::timing::Timing;

/// A client that has passed the listener.
pub struct NewLink<S> {
    /// The open WebSocket.
    pub socket: WebSocketStream<S>,
    /// Who the client is.
    pub identity: Identity,
    /// The agreed form of its messages.
    pub form: Form,
    /// The client's address.
    pub peer: IpAddr,
    /// When the link has to be closed because its token has expired.
    pub token_expires_at: Option<Instant>,
    /// The business's pipeline.
    pub pipeline: Arc<Pipeline>,
    /// The business's budget for pushes that wait.
    pub budget: Arc<PushBudget>,
    /// What the listener lays down.
    pub settings: Arc<LinkSettings>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> NewLink<S> {
    /// Serves the client until it is gone and nothing it sent is unsettled. `permit` is let go with the socket.
    pub async fn run<P>(self, manager: &LinkManager, metrics: &LinkMetrics, permit: P) {
        let Self {
            socket,
            identity,
            form,
            peer,
            token_expires_at,
            pipeline,
            budget,
            settings,
        } = self;
        let mut socket = Socket::new(socket);
        let describe = |id, session| {
            let info = LinkInfo::new(id, identity.clone())
                .with_form(form)
                .with_nacks(settings.nacks)
                .with_peer(peer);
            match session {
                Some(session) => info.with_session(session),
                None => info,
            }
        };
        let Ok(handle) = manager.enter(&identity, &settings, &budget, describe) else {
            metrics
                .closed
                .get_or_create(&Closed {
                    reason: CloseCode::ALREADY_CONNECTED.name(),
                })
                .inc();
            return refuse(&mut socket, CloseCode::ALREADY_CONNECTED, settings.close).await;
        };
        let entered = Entered {
            manager,
            metrics,
            handle,
        };
        metrics.open.inc();
        let chains = Chains::open(&pipeline, entered.handle.info());
        let timing = Timing::new(&settings, token_expires_at);
        let intake = Intake::new(&settings, Instant::now());
        let mut link = Link::new(
            chains,
            socket,
            timing,
            intake,
            permit,
            Arc::clone(&entered.handle),
            metrics,
        );
        poll_fn(|cx| link.poll(cx)).await;
    }
}

async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    code: CloseCode,
    patience: Duration,
) {
    let goodbye = poll_fn(|cx| {
        if ready!(socket.poll_ready(cx)).is_err() || socket.close(code).is_err() {
            return Poll::Ready(());
        }
        socket.poll_flush(cx).map(|_| ())
    });
    if tokio::time::timeout(patience, goodbye).await.is_ok() {
        let until_lost = poll_fn(|cx| {
            loop {
                match ready!(socket.poll_read(cx)) {
                    Read::Lost | Read::Broken(_) => return Poll::Ready(()),
                    _ => {}
                }
            }
        });
        let _ = tokio::time::timeout(patience, until_lost).await;
    }
}

/// Takes the link out of the table however its task ends.
struct Entered<'a> {
    manager: &'a LinkManager,
    metrics: &'a LinkMetrics,
    handle: Arc<LinkHandle>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let gauge = if self.handle.is_parked() {
            &self.metrics.parked
        } else {
            &self.metrics.open
        };
        gauge.dec();
        self.handle.park();
        self.manager.leave(&self.handle);
        for message in self.handle.mailbox.shut() {
            message.settle(Outcome::Failed(gone()));
        }
    }
}
