//! The way to one address: an HTTP/2 connection, opened with the first call, and anew after it is lost.
//!
//! Calls speak to h2 themselves: no task stands between a call and its connection.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::header::{HeaderValue, USER_AGENT};
use http::{Request, Response, Version};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

use crate::address::Address;
use crate::chain;
use crate::connection::{self, Connection, UnderWay};
use crate::connector::Connector;
use crate::details;
use crate::error::ConnectError;
use crate::stream::write;

/// The way to one address. Clones are one way; when the last is gone, its connection closes behind its calls.
#[derive(Clone)]
pub struct Channel(Arc<Inner>);

struct Inner {
    address: Address,
    connector: Arc<dyn Connector>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    way: Way,
    /// Connections so far: the number of this one.
    opened: u64,
}

#[derive(Default)]
enum Way {
    #[default]
    None,
    Opening {
        opening: Opening,
        /// It comes to its end whoever waits for it, and ends with the channel.
        _task: AbortOnDropHandle<()>,
    },
    Open(Connection),
}

/// All calls that come meanwhile wait for the same attempt.
type Opening = Shared<oneshot::Receiver<Result<Connection, Arc<ConnectError>>>>;

const AGENT: &str = concat!("linkgate/", env!("CARGO_PKG_VERSION"));

impl Channel {
    /// Connects with the first call.
    pub(crate) fn new(address: &Address, connector: &Arc<dyn Connector>) -> Self {
        Self(Arc::new(Inner {
            address: address.clone(),
            connector: Arc::clone(connector),
            state: Mutex::default(),
        }))
    }

    /// Makes a call. Its body is not asked for anything before there is a stream for it.
    ///
    /// # Errors
    /// There is no connection, or it was lost: UNAVAILABLE, with the reason as its source.
    pub async fn call(&self, request: Request<Body>) -> Result<Response<Answer>, Status> {
        let (head, body) = request.into_parts();
        let connection = self.0.ready().await?;
        send(connection, self.0.address(head), body).await
    }
}

impl Inner {
    /// A connection that takes a call now. One that was lost since the last call is opened anew.
    async fn ready(self: &Arc<Self>) -> Result<Connection, Status> {
        loop {
            let (number, way) = self.way();
            let (Connection { requests, calls }, is_new) = match way {
                Ok(connection) => (connection, false),
                Err(opening) => {
                    let stopped = |_| Err(Arc::new(io::Error::other("the node stops").into()));
                    let opened = opening.await.unwrap_or_else(stopped);
                    (opened.map_err(unreachable)?, true)
                }
            };
            match requests.ready().await {
                Ok(requests) => return Ok(Connection { requests, calls }),
                Err(error) => {
                    self.forget(number);
                    if is_new {
                        return Err(lost(error));
                    }
                }
            }
        }
    }

    /// The connection, or the attempt to open one; with its number.
    fn way(self: &Arc<Self>) -> (u64, Result<Connection, Opening>) {
        let mut state = self.state.lock();
        let way = match &state.way {
            Way::Open(connection) => Ok(connection.clone()),
            Way::Opening { opening, .. } => Err(opening.clone()),
            Way::None => {
                state.opened += 1;
                let (opening, _task) = self.open(state.opened);
                state.way = Way::Opening {
                    opening: opening.clone(),
                    _task,
                };
                Err(opening)
            }
        };
        (state.opened, way)
    }

    fn open(self: &Arc<Self>, number: u64) -> (Opening, AbortOnDropHandle<()>) {
        let opening = connection::open(&self.address, &self.connector);
        let (channel, (tell, told)) = (Arc::downgrade(self), oneshot::channel());
        let task = tokio::spawn(async move {
            let opened = opening.await.map_err(Arc::new);
            let Some(channel) = channel.upgrade() else {
                return;
            };
            let mut state = channel.state.lock();
            if state.opened == number {
                state.way = match &opened {
                    Ok(connection) => Way::Open(connection.clone()),
                    Err(_) => Way::None,
                };
            }
            drop(state);
            // Nobody may wait for it any more.
            let _ = tell.send(opened);
        });
        (told.shared(), AbortOnDropHandle::new(task))
    }

    fn forget(&self, number: u64) {
        let mut state = self.state.lock();
        if state.opened == number {
            state.way = Way::None;
        }
    }

    /// The head of a call as it is sent to this address.
    fn address(&self, mut head: http::request::Parts) -> Request<()> {
        let origin = &self.address.origin;
        let mut parts = head.uri.into_parts();
        parts.scheme = origin.scheme().cloned();
        parts.authority = origin.authority().cloned();
        head.uri = http::Uri::from_parts(parts).unwrap_or_else(|_| origin.clone());
        head.version = Version::HTTP_2;
        let agent = HeaderValue::from_static(AGENT);
        head.headers.insert(USER_AGENT, agent);
        Request::from_parts(head, ())
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({})", self.0.address.uri)
    }
}

async fn send(
    connection: Connection,
    head: Request<()>,
    body: Body,
) -> Result<Response<Answer>, Status> {
    let Connection {
        mut requests,
        calls,
    } = connection;
    let mut body = pin!(body);
    let (this, calls) = calls.begin();
    let (response, mut stream) = requests.send_request(head, false).map_err(lost)?;
    if calls > requests.current_max_send_streams() {
        // The far end may have as many calls as it wants: then this one waits for another to end. A stream has no room
        // before it is open.
        stream.reserve_capacity(1);
        let room = poll_fn(|cx| stream.poll_capacity(cx)).await;
        room.transpose().map_err(lost)?;
    }
    let first = body.frame().await.transpose()?;
    // When the last of them is gone, the connection closes behind its calls.
    drop(requests);
    let response = answer(response, write_all(stream, first, body)).await?;
    this.heard();
    let (mut head, stream) = response.into_parts();
    details::clean(&mut head.headers);
    let _call = this;
    Ok(Response::from_parts(head, Answer { stream, _call }))
}

/// What is answered, which may be before all is written.
async fn answer(
    mut response: ResponseFuture,
    writing: impl Future<Output = Result<(), Status>>,
) -> Result<Response<RecvStream>, Status> {
    tokio::select! {
        biased;
        written = writing => written?,
        early = &mut response => return early.map_err(lost),
    }
    response.await.map_err(lost)
}

/// Writes the body, as far as the far end takes it.
async fn write_all(
    mut stream: SendStream<Bytes>,
    mut frame: Option<Frame<Bytes>>,
    mut body: Pin<&mut Body>,
) -> Result<(), Status> {
    while let Some(this) = frame {
        // Mostly nothing comes behind it.
        let next = body.frame().now_or_never();
        let is_last = matches!(next, Some(None));
        // A request has no trailers.
        let data = this.into_data().unwrap_or_default();
        if write(&mut stream, data, is_last).await.is_err() || is_last {
            // Whoever takes no more has answered, or is gone.
            return Ok(());
        }
        frame = match next {
            Some(next) => next.transpose()?,
            None => body.frame().await.transpose()?,
        };
    }
    let _ = stream.send_data(Bytes::new(), true);
    Ok(())
}

/// What the far end answers.
#[derive(Debug)]
pub struct Answer {
    stream: RecvStream,
    /// The call is not over.
    _call: UnderWay,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(data) = ready!(self.stream.poll_data(cx)) {
            let taken = data.and_then(|data| {
                self.stream.flow_control().release_capacity(data.len())?;
                Ok(Frame::data(data))
            });
            return Poll::Ready(Some(taken.map_err(lost)));
        }
        let trailers = ready!(self.stream.poll_trailers(cx)).map_err(lost);
        Poll::Ready(trailers.transpose().map(|trailers| {
            trailers.map(|mut trailers| {
                details::clean(&mut trailers);
                Frame::trailers(trailers)
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}

/// For clients that tonic generates.
impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let channel = self.clone();
        Box::pin(async move { Ok(channel.call(request).await?.map(Body::new)) })
    }
}

fn unreachable(error: Arc<ConnectError>) -> Status {
    with_source(chain(&*error), error)
}

fn lost(error: h2::Error) -> Status {
    with_source(chain(&error), Arc::new(error))
}

fn with_source(
    message: String,
    source: Arc<dyn std::error::Error + Send + Sync + 'static>,
) -> Status {
    let mut status = Status::new(Code::Unavailable, message);
    status.set_source(source);
    status
}

#[cfg(test)]
mod tests;
