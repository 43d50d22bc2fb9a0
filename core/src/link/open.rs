//! From an accepted client to a link at work, and its end.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use linkgate_filter::runner::{Chains, Pipeline};
use linkgate_filter::{CloseCode, Form, Identity, LinkInfo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;

use super::entered::Entered;
use super::handle::LinkHandle;
use super::intake::Intake;
use super::mailbox::PushBudget;
use super::manager::LinkManager;
use super::metrics::{Closed, LinkMetrics};
use super::settings::LinkSettings;
use super::socket::{Read, Socket};
use super::task::Link;
use super::timing::Timing;
use crate::wire::Counted;

/// A client that has passed the listener.
pub struct NewLink<S> {
    /// The open WebSocket.
    pub socket: WebSocketStream<Counted<S>>,
    /// Who the client is.
    pub identity: Identity,
    /// The agreed form of its messages.
    pub form: Form,
    /// The client's address.
    pub peer: IpAddr,
    /// When the link has to be closed because its token has expired.
    pub token_expires_at: Option<Instant>,
    /// The name of the listener that let it in.
    pub listener: Arc<str>,
    /// The business's pipeline.
    pub pipeline: Arc<Pipeline>,
    /// The business's budget for pushes that wait.
    pub budget: Arc<PushBudget>,
    /// What the listener lays down.
    pub settings: Arc<LinkSettings>,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> NewLink<S> {
    /// Enters the link. The future that comes back serves the client until it is gone and nothing it sent is unsettled;
    /// it holds the link and nothing else, as an idle link is to cost little. `permit` is let go with the socket; `entered` is
    /// called once the table has the link.
    pub fn open<P: Send + Unpin + 'static>(
        self,
        (manager, metrics): (&Arc<LinkManager>, &Arc<LinkMetrics>),
        permit: P,
        entered: &dyn Fn(&LinkHandle),
    ) -> impl Future<Output = ()> + Send + use<S, P> {
        let describe = |id, session| {
            let info = LinkInfo::new(id, self.identity.clone())
                .with_form(self.form)
                .with_nacks(self.settings.nacks)
                .with_max_frame(self.settings.max_frame)
                .with_peer(self.peer);
            match session {
                Some(session) => info.with_session(session),
                None => info,
            }
        };
        let socket = Socket::new(self.socket);
        let place = (&self.listener, &self.pipeline);
        let Ok(handle) = manager.enter(
            &self.identity,
            place,
            &self.settings,
            &self.budget,
            describe,
        ) else {
            let reason = CloseCode::ALREADY_CONNECTED;
            metrics
                .closed
                .get_or_create(&Closed {
                    reason: reason.name(),
                })
                .inc();
            return Opened::Refused(Box::pin(refuse(
                socket,
                reason,
                self.settings.close,
                permit,
            )));
        };
        entered(&handle);
        metrics.open.inc();
        let chains = Chains::open(&self.pipeline, handle.info());
        let timing = Timing::new(&self.settings, self.token_expires_at);
        let intake = Intake::new(&self.settings, Instant::now());
        let entered = Entered {
            manager: Arc::clone(manager),
            metrics: Arc::clone(metrics),
            handle,
        };
        Opened::Link(Link::new(entered, chains, socket, timing, intake, permit))
    }
}

/// What has come of a new link.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every one is a link, and a box would cost it more"
)]
enum Opened<S, P> {
    Link(Link<S, P>),
    Refused(BoxFuture<'static, ()>),
}

impl<S: AsyncRead + AsyncWrite + Unpin, P: Unpin> Future for Opened<S, P> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.get_mut() {
            Self::Link(link) => link.poll(cx),
            Self::Refused(goodbye) => goodbye.as_mut().poll(cx),
        }
    }
}

/// Says why, and waits for the client to go; `_permit` counts its socket until then.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin, P>(
    mut socket: Socket<S>,
    code: CloseCode,
    patience: Duration,
    _permit: P,
) {
    let goodbye = poll_fn(|cx| {
        if ready!(socket.poll_ready(cx)).is_err() || socket.close(code).is_err() {
            return Poll::Ready(());
        }
        socket.poll_flush(cx).map(|_| ())
    });
    if tokio::time::timeout(patience, goodbye).await.is_ok() {
        let mut parted = false;
        let until_lost = poll_fn(|cx| {
            loop {
                if parted {
                    return socket.poll_flush(cx).map(drop);
                }
                match ready!(socket.poll_read(cx).0) {
                    Read::Lost => return Poll::Ready(()),
                    Read::Goodbye => parted = true,
                    // The client waits for the end of what is written; an error shows again when the rest is read.
                    Read::Broken(_) => drop(socket.poll_flush(cx)),
                    _ => {}
                }
            }
        });
        let _ = tokio::time::timeout(patience, until_lost).await;
    }
}
