//! From a connection to an open WebSocket of a known client: the request is read, checked and answered here, over any
//! stream. tungstenite takes over behind the answer; its own handshake would leave most refusals without one.

mod answer;
mod head;

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Request;
use linkgate_filter::{Form, Identity};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;

use super::admission::Permit;
use super::auth::Authenticated;
use super::door::Door;
use super::refusal::Refusal;
use super::stream::Stream;
use super::{Handler, Offer, subprotocol};

/// An open link, before its first frame.
#[derive(Debug)]
pub struct Accepted<P, S = Stream> {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The open WebSocket. Its read buffer has 1 KiB; it limits messages as the config says.
    pub socket: WebSocketStream<S>,
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
    peer: IpAddr,
    authenticated: Authenticated,
    permit: Permit,
    pipeline: P,
}

/// Takes a connection through its handshake, within the handshake timeout. One that is refused has got its answer
/// when this returns.
pub(super) async fn open<H: Handler>(
    door: &Door,
    handler: &H,
    stream: TcpStream,
    peer: IpAddr,
    stop: &CancellationToken,
) -> Result<Accepted<H::Pipeline>, Refusal> {
    let deadline = Instant::now() + door.handshake_timeout;
    let behind_proxy = door.trusted.contains(peer);
    let _in_progress = match behind_proxy {
        true => None,
        false => Some(door.handshakes.take(peer).ok_or(Refusal::HandshakesPerIp)?),
    };
    let (stream, peer) = within(deadline, door.secured(stream, peer, behind_proxy)).await?;
    upgrade(door, handler, stream, peer, deadline, stop).await
}

/// Reads the request and answers it. A refusal has been sent, if its kind is sent at all.
pub(super) async fn upgrade<S, H>(
    door: &Door,
    handler: &H,
    mut stream: S,
    peer: IpAddr,
    deadline: Instant,
    stop: &CancellationToken,
) -> Result<Accepted<H::Pipeline, S>, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    let request = within(deadline, head::read(&mut stream, door.max_header)).await;
    let admitted = match request.and_then(|request| admit(door, handler, &request, peer, stop)) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            answer::refuse(&mut stream, refusal, door.retry_after).await;
            return Err(refusal);
        }
    };
    within(deadline, answer::send(&mut stream, &admitted.answer)).await?;
    let Admitted {
        form,
        peer,
        authenticated,
        permit,
        pipeline,
        ..
    } = admitted;
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(door.socket)).await;
    Ok(Accepted {
        listener: Arc::clone(&door.name),
        socket,
        identity: authenticated.identity,
        form,
        peer,
        permit,
        token_expires_at: authenticated.expires_at,
        pipeline,
    })
}

/// Every check, from the cheap to the dear.
fn admit<H: Handler>(
    door: &Door,
    handler: &H,
    request: &Request<()>,
    peer: IpAddr,
    stop: &CancellationToken,
) -> Result<Admitted<H::Pipeline>, Refusal> {
    if stop.is_cancelled() {
        return Err(Refusal::Stopping);
    }
    if request.uri().path() != door.path {
        return Err(Refusal::Path);
    }
    let upgrade = answer::upgrade(request)?;
    if !door.origins.allow(request.headers()) {
        return Err(Refusal::Origin);
    }
    let (form, named) = subprotocol::choose(request.headers(), door.form)?;
    let peer = door.trusted.client(peer, request.headers());
    let seat = door
        .admission
        .seat((!door.trusted.contains(peer)).then_some(peer))?;
    let authenticated = door.auth.authenticate(request)?;
    let Offer { pipeline, links } = handler
        .find(&door.name, &authenticated.identity.biz_id)
        .ok_or(Refusal::BizUnknown)?;
    let permit = door.admission.open(seat, &links)?;
    let answer = answer::accepting(upgrade, named.then(|| subprotocol::name(form)))?;
    Ok(Admitted {
        answer,
        form,
        peer,
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
