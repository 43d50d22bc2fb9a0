//! Where other nodes open their streams: who they are, before anything that they say is read.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response};
use linkgate_grpc::Behind;
use linkgate_proto::v1;
use linkgate_proto::v1::peer_request::Said as Asked;
use linkgate_proto::v1::peer_response::Said;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::PATH;
use super::frames::{Broken, Hearing, dead, put, speak};
use super::inner::Inner;
use super::serving::{Heard, Serving};
use super::wire::{self, Breach, LARGEST_BESIDE};
use crate::network::{self, Socket};
use crate::reception::credentials::{Shown, bearer};
use crate::reception::{Reason as Why, Reception, Seat};

/// For the first word of a node that has opened a stream.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a stream that is refused stays, so that its opener reads why.
const FAREWELL: Duration = Duration::from_secs(1);
/// What a node may send before it is read.
const WINDOW: u32 = 1024 * 1024;
const MAX_HEADERS: u32 = 16 * 1024;

type Http2 = Connection<network::Stream, Bytes>;

/// Takes streams in until `stop`.
pub(super) async fn listen(
    inner: Arc<Inner>,
    socket: Socket,
    reception: Arc<Reception>,
    stop: CancellationToken,
) {
    while let Some((connection, seat)) = stop.run_until_cancelled(reception.next(&socket)).await {
        let serve = serve(Arc::clone(&inner), connection, seat);
        let stop = stop.clone();
        inner.around.tasks.spawn(async move {
            stop.run_until_cancelled_owned(serve).await;
        });
    }
}

async fn serve(inner: Arc<Inner>, connection: network::Connection, seat: Seat) {
    let peer = seat.guest().peer();
    let served = async {
        let (stream, shown) = match inner.acceptor.open(connection).await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::debug!(%peer, %error, "a TLS handshake of another node failed");
                return;
            }
        };
        let mut http2 = h2::server::Builder::new();
        http2
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_concurrent_streams(1)
            .max_header_list_size(MAX_HEADERS)
            // The windows bound what small frames carry.
            .data_frame_budget(usize::MAX);
        let Ok(mut connection) = http2.handshake::<_, Bytes>(stream).await else {
            return;
        };
        if let Some(Ok((request, respond))) = connection.accept().await {
            let talk = talk(&inner, &seat, connection, request, respond, shown.as_ref());
            Behind::others(Box::pin(talk)).await;
        }
    };
    tokio::select! {
        biased;
        _ = seat.leaves() => {}
        () = served => {}
    }
}

async fn talk(
    inner: &Arc<Inner>,
    seat: &Seat,
    mut connection: Http2,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    shown: Option<&Shown>,
) {
    let pings = connection.ping_pong();
    let admitted = admit(inner, seat, &request, shown);
    let conversation = async {
        let refused = match admitted {
            Ok(()) => converse(inner, seat, request, respond).await,
            Err(status) => {
                let mut response = Response::new(());
                response.headers_mut().extend(trailers(&status));
                grpc(response.headers_mut());
                let _ = respond.send_response(response, true);
                status
            }
        };
        let (guest, why) = (seat.guest(), refused.message());
        if refused.code() == Code::Unauthenticated {
            guest.refused(Why::Unknown, &why);
        } else if let Some(held_back) = inner.lines.pass() {
            let peer = guest.peer();
            tracing::warn!(%peer, why, held_back, "the stream of another node has ended");
        }
        sleep(FAREWELL).await;
    };
    let mut conversation = pin!(conversation);
    let mut dead = pin!(dead(pings));
    loop {
        tokio::select! {
            biased;
            next = connection.accept() => match next {
                // There is one stream a connection.
                Some(Ok((_, mut respond))) => respond.send_reset(Reason::REFUSED_STREAM),
                Some(Err(_)) | None => return,
            },
            () = &mut conversation => return,
            () = &mut dead => return,
        }
    }
}

/// Whether it is a node of this cluster.
fn admit(
    inner: &Inner,
    seat: &Seat,
    request: &Request<RecvStream>,
    shown: Option<&Shown>,
) -> Result<(), Status> {
    if request.uri().path() != PATH {
        return Err(Status::unimplemented(
            "only nodes of the cluster are served here",
        ));
    }
    if !inner.nodes_by_token.is_empty() {
        let header = request.headers().get(AUTHORIZATION);
        let token = header
            .and_then(|header| header.to_str().ok())
            .and_then(bearer);
        let known = token.and_then(|token| inner.nodes_by_token.by_token(token));
        if known.is_none() {
            return Err(Status::unauthenticated(
                "the token is missing or another one: give `peers.token` the same value on all nodes",
            ));
        }
    }
    if inner.tls.is_some() {
        let is_known = match (shown, inner.nodes_by_name.is_empty()) {
            (None, _) => false,
            (Some(_), true) => true,
            (Some(shown), false) => inner.nodes_by_name.by_certificate(shown).is_some(),
        };
        if !is_known {
            return Err(Status::unauthenticated(
                "the certificate is missing, or does not bear `peers.tls.name`",
            ));
        }
    }
    let full = |_| {
        Status::resource_exhausted("too many nodes have a stream here: raise `peers.max_nodes`")
    };
    seat.guest().known().map_err(full)
}

/// Serves the stream; says why it has ended.
async fn converse(
    inner: &Arc<Inner>,
    seat: &Seat,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Status {
    let _busy = seat.guest().asks();
    let mut response = Response::new(());
    grpc(response.headers_mut());
    let mut stream = match respond.send_response(response, false) {
        Ok(stream) => stream,
        Err(error) => return Status::unavailable(error.to_string()),
    };
    let largest = inner.config.max_body.as_usize() + LARGEST_BESIDE;
    let hearing = Hearing::new(request.into_body(), largest, Some(seat.guest().hold()));
    let Err(status) = exchange(inner, hearing, &mut stream).await;
    let _ = stream.send_trailers(trailers(&status));
    status
}

async fn exchange(
    inner: &Arc<Inner>,
    mut hearing: Hearing,
    stream: &mut SendStream<Bytes>,
) -> Result<Infallible, Status> {
    let first = timeout(PATIENCE, hearing.next::<v1::PeerRequest>()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("`hello` did not come in time"))?;
    let hello = check(first.map_err(|broken| status(&broken))?)?;
    let from = wire::incarnation(hello.incarnation).map_err(|breach| status(&breach.into()))?;
    let ended = wire::ended(hello.ended).map_err(|breach| status(&breach.into()))?;
    let (serving, own) = inner.accept(from)?;
    let accepted = Accepted::begin(inner, serving);
    let serving = &accepted.serving;
    let mut batch = bytes::BytesMut::new();
    let said = Some(Said::Hello(inner.hello(own)));
    put(&v1::PeerResponse { said }, &mut batch);
    let lost = |error: h2::Error| status(&error.into());
    linkgate_grpc::write(stream, batch.freeze(), false)
        .await
        .map_err(lost)?;
    tracing::info!(node = hello.node, life = %from, version = hello.version, "another node has opened a stream");
    inner.said_ended(ended);
    let mut heard = async || -> Result<Infallible, Broken> {
        loop {
            let frame = hearing.next::<v1::PeerRequest>().await?;
            match serving.hear(frame)? {
                Heard::Said(said) => inner.hears.said(said),
                Heard::Deliver(forwarded, answer) => inner.hears.deliver(from, forwarded, answer),
                Heard::Parked(parked) => parked(),
                Heard::Nothing => {}
            }
        }
    };
    tokio::select! {
        biased;
        () = serving.stop.cancelled() => Err(Status::unavailable("this node has ended the stream: open another one")),
        heard = heard() => heard.map_err(|broken| status(&broken)),
        written = speak(stream, &**serving) => written.map_err(lost),
    }
}

/// A stream that is served, while it is.
struct Accepted<'a> {
    inner: &'a Arc<Inner>,
    serving: Arc<Serving>,
}

impl<'a> Accepted<'a> {
    fn begin(inner: &'a Arc<Inner>, serving: Arc<Serving>) -> Self {
        inner.found(serving.from);
        Self { inner, serving }
    }
}

impl Drop for Accepted<'_> {
    fn drop(&mut self) {
        self.inner.left(&self.serving);
        self.inner.lost(self.serving.from, true);
    }
}

fn check(first: v1::PeerRequest) -> Result<v1::PeerHello, Status> {
    let Some(Asked::Hello(hello)) = first.said else {
        return Err(status(&Breach("a stream begins with `hello`").into()));
    };
    for name in [&hello.node, &hello.version, &hello.address] {
        wire::name(name).map_err(|breach| status(&breach.into()))?;
    }
    let (newest, oldest) = (hello.protocol, hello.oldest_protocol);
    match wire::agree(newest, oldest) {
        Some(_) => Ok(hello),
        None => Err(Status::failed_precondition(format!(
            "node `{}` speaks the protocols {oldest} to {newest}, and this one {} to {}: upgrade the older one",
            hello.node,
            wire::OLDEST_PROTOCOL,
            wire::PROTOCOL
        ))),
    }
}

fn status(broken: &Broken) -> Status {
    let code = match broken {
        Broken::Breach(_) => Code::InvalidArgument,
        _ => Code::Unavailable,
    };
    Status::new(code, broken.to_string())
}

fn trailers(status: &Status) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // A text that is no header is left out.
    let _ = status.add_header(&mut headers);
    headers
}

fn grpc(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
}
