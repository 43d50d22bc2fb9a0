//! From a connection to an open WebSocket of a known client: the request is read, checked and answered here, over any
//! stream. tungstenite takes over behind the answer; its own handshake would leave most refusals without one.

mod head;
mod request;

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;
use http::request::Request;
use linkgate_filter::{Form, Identity};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;

use super::admission::Permit;
use super::answer::{self, refuse, tell_health};
use super::auth::Authenticated;
use super::door::Door;
use super::farewell::Farewell;
use super::refusal::Refusal;
use super::{Handler, Offer, extensions, subprotocol};
use crate::network::{Connection, Stream};
use crate::wire::Counted;
use crate::wire::deflate::Agreement;

/// An open link, before its first frame.
#[derive(Debug)]
pub struct Accepted<P, S = Stream> {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The open WebSocket. Its read buffer has 1 KiB; it limits messages as the config says.
    pub socket: WebSocketStream<Counted<S>>,
    /// Who the client is.
    pub identity: Identity,
    /// The form of its messages.
    pub form: Form,
    /// The client's address, as far as trusted proxies tell.
    pub peer: IpAddr,
    /// To be kept until the socket is closed.
    pub permit: Permit,
    /// When the link has to be closed because its token has expired. `None`: it may stay.
    pub token_expires_at: Option<Instant>,
    /// What the handler found for the client's business.
    pub pipeline: P,
}

/// What the request came to, when all is well.
struct Admitted<P> {
    answer: Vec<u8>,
    form: Form,
    compression: Option<Agreement>,
    authenticated: Authenticated,
    permit: Permit,
    pipeline: P,
}

/// What a request comes to.
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
enum Visit<P> {
    Link(Admitted<P>),
    /// It asks for the health.
    Health,
}

/// A connection that becomes no link.
#[derive(Debug)]
pub(super) struct NoLink<S = Stream> {
    pub(super) why: Why,
    /// The client's address, as far as trusted proxies have told.
    pub(super) client: IpAddr,
    pub(super) farewell: Farewell<S>,
}

/// Why a connection becomes no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Refused(Refusal),
    /// It asked for the health, and has its answer.
    Health,
}

impl<S> NoLink<S> {
    /// One that gets no answer.
    fn silently(refusal: Refusal, client: IpAddr) -> Self {
        Self {
            why: Why::Refused(refusal),
            client,
            farewell: Farewell::Close,
        }
    }
}

/// Takes a connection through its handshake, within the handshake timeout.
pub(super) async fn open<H: Handler>(
    door: &Door,
    handler: &H,
    mut stream: Connection,
    peer: IpAddr,
    stop: &CancellationToken,
) -> Result<Accepted<H::Pipeline>, NoLink> {
    let deadline = Instant::now() + door.handshake_timeout;
    let named = within(deadline, door.named(&mut stream, peer)).await;
    let client = named.map_err(|refusal| NoLink::silently(refusal, peer))?;
    let _in_progress = match door.share(client) {
        Ok(share) => share,
        Err(refusal) => {
            return Err(NoLink {
                why: Why::Refused(refusal),
                client,
                farewell: Farewell::Answer(stream, refusal),
            });
        }
    };
    let secured = within(deadline, door.secured(stream)).await;
    let stream = secured.map_err(|refusal| NoLink::silently(refusal, client))?;
    upgrade(door, handler, stream, client, deadline, stop).await
}

/// Reads the request and answers it. A refusal has been sent, if its kind is sent at all.
pub(super) async fn upgrade<S, H>(
    door: &Door,
    handler: &H,
    mut stream: S,
    peer: IpAddr,
    deadline: Instant,
    stop: &CancellationToken,
) -> Result<Accepted<H::Pipeline, S>, NoLink<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    let request = within(deadline, head::read(&mut stream, door.max_header)).await;
    let client = match &request {
        Ok(request) => door.trusted.client(peer, request.headers()),
        Err(_) => peer,
    };
    let method = request
        .as_ref()
        .map_or(Method::GET, |request| request.method().clone());
    let visit = request.and_then(|request| visit(door, handler, &request, client, stop));
    let (why, answered) = match visit {
        Ok(Visit::Link(admitted)) => {
            return take_in(door, stream, admitted, client, deadline).await;
        }
        Ok(Visit::Health) => {
            let is_ready = handler.is_ready() && !stop.is_cancelled();
            let answered = tell_health(&mut stream, is_ready, &method).await;
            (Why::Health, answered)
        }
        Err(refusal) => {
            let answered = refuse(&mut stream, refusal, door.retry_after).await;
            (Why::Refused(refusal), answered)
        }
    };
    Err(NoLink {
        why,
        client,
        farewell: answered.map_or(Farewell::Close, |()| Farewell::Linger(stream)),
    })
}

/// Answers the request of a client that is let in, and has the WebSocket take over.
async fn take_in<P, S>(
    door: &Door,
    mut stream: S,
    admitted: Admitted<P>,
    client: IpAddr,
    deadline: Instant,
) -> Result<Accepted<P, S>, NoLink<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    within(deadline, answer::send(&mut stream, &admitted.answer))
        .await
        .map_err(|refusal| NoLink::silently(refusal, client))?;
    let Admitted {
        form,
        compression,
        authenticated,
        permit,
        pipeline,
        ..
    } = admitted;
    let room = door.room(door.client(client));
    let stream = Counted::new(stream, room, compression);
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(door.socket)).await;
    Ok(Accepted {
        listener: Arc::clone(&door.name),
        socket,
        identity: authenticated.identity,
        form,
        peer: client,
        permit,
        token_expires_at: authenticated.expires_at,
        pipeline,
    })
}

/// What is to become of a request.
fn visit<H: Handler>(
    door: &Door,
    handler: &H,
    request: &Request<()>,
    client: IpAddr,
    stop: &CancellationToken,
) -> Result<Visit<H::Pipeline>, Refusal> {
    // Whoever asks, and however: some balancers name no host.
    let is_reading = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_reading && door.health.as_deref() == Some(request.uri().path()) {
        return Ok(Visit::Health);
    }
    request::check(request)?;
    if stop.is_cancelled() {
        return Err(Refusal::Stopping);
    }
    admit(door, handler, request, client).map(Visit::Link)
}

/// Every check of a handshake, from the cheap to the dear.
fn admit<H: Handler>(
    door: &Door,
    handler: &H,
    request: &Request<()>,
    client: IpAddr,
) -> Result<Admitted<H::Pipeline>, Refusal> {
    if *request.method() != Method::GET {
        return Err(Refusal::Method);
    }
    if request.uri().path() != door.path {
        return Err(Refusal::Path);
    }
    let upgrade = request::upgrade(request)?;
    if !door.origins.allow(request.headers()) {
        return Err(Refusal::Origin);
    }
    let (form, named) = subprotocol::choose(request.headers(), door.form)?;
    let seat = door.admission.seat(door.client(client))?;
    let authenticated = door.auth.authenticate(request, door.clock.wall())?;
    let biz_id = &authenticated.identity.biz_id;
    let Some(Offer { pipeline, links }) = handler.find(&door.name, biz_id) else {
        return Err(match handler.is_awaited(biz_id) {
            true => Refusal::BizNotReady,
            false => Refusal::BizUnknown,
        });
    };
    let permit = door.admission.open(seat, &links)?;
    let (compression, extensions) =
        extensions::choose(request.headers(), &door.compression).unzip();
    let subprotocol = named.then(|| subprotocol::name(form));
    let answer = answer::accepting(upgrade, subprotocol, extensions)?;
    Ok(Admitted {
        answer,
        form,
        compression,
        authenticated,
        permit,
        pipeline,
    })
}

/// The part's result, or its refusal for having taken too long.
async fn within<T>(
    deadline: Instant,
    part: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    tokio::time::timeout_at(deadline, part)
        .await
        .unwrap_or(Err(Refusal::Timeout))
}
