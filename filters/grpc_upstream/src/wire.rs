//! Watches one try on the wire: has the message left the gateway, and has the backend itself said how it ended?
//!
//! Outcomes stand on these two facts rather than on status codes, because a library makes up the same codes that a
//! backend sends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use linkgate_grpc::Channel;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::whole::Whole;

const GRPC_STATUS: &str = "grpc-status";

/// What is known of a try.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    state: AtomicU8,
    /// The HTTP status of the response; 0 before there is one.
    http: AtomicU16,
}

impl Trace {
    const WAITING: u8 = 0;
    /// Given up before it left: now it never will.
    const RECALLED: u8 = 1;
    const SENT: u8 = 2;
    const ANSWERED: u8 = 3;

    /// Gives the try up. Answers whether it is certain that the backend will never see the message.
    pub(crate) fn recall(&self) -> bool {
        self.step(Self::WAITING, Self::RECALLED)
            || self.0.state.load(Ordering::SeqCst) == Self::RECALLED
    }

    /// Whether the backend itself has sent a status.
    pub(crate) fn answered(&self) -> bool {
        self.0.state.load(Ordering::SeqCst) == Self::ANSWERED
    }

    /// Whether the message may leave; from then on it may have had an effect.
    fn send(&self) -> bool {
        self.step(Self::WAITING, Self::SENT)
            || self.0.state.load(Ordering::SeqCst) != Self::RECALLED
    }

    /// A backend can answer before it has read the message. It has seen the call then, so it counts as sent.
    fn look_for_status(&self, headers: &HeaderMap) {
        if headers.contains_key(GRPC_STATUS) {
            self.0.state.store(Self::ANSWERED, Ordering::SeqCst);
        }
    }

    /// The HTTP status of the response, if there is one.
    pub(crate) fn http(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.0.http.load(Ordering::SeqCst)).ok()
    }

    /// A response begins. What its headers say of the end counts if they are the end; otherwise nobody is to find it there.
    fn look_at<B: HttpBody>(&self, response: &mut Response<B>) {
        let status = response.status().as_u16();
        self.0.http.store(status, Ordering::SeqCst);
        if response.body().is_end_stream() {
            self.look_for_status(response.headers());
        } else {
            response.headers_mut().remove(GRPC_STATUS);
        }
    }

    #[cfg(test)]
    pub(crate) fn mark_http(&self, status: u16) {
        self.0.http.store(status, Ordering::SeqCst);
    }

    #[cfg(test)]
    pub(crate) fn mark_sent(&self, answered: bool) {
        let state = if answered { Self::ANSWERED } else { Self::SENT };
        self.0.state.store(state, Ordering::SeqCst);
    }

    fn step(&self, from: u8, to: u8) -> bool {
        let (order, otherwise) = (Ordering::SeqCst, Ordering::SeqCst);
        self.0
            .state
            .compare_exchange(from, to, order, otherwise)
            .is_ok()
    }
}

/// A channel for one try.
#[derive(Clone)]
pub(crate) struct Wire {
    channel: Channel,
    trace: Trace,
    largest: usize,
}

impl Wire {
    pub(crate) fn new(channel: Channel, trace: Trace) -> Self {
        Self {
            channel,
            trace,
            largest: 0,
        }
    }

    /// Takes answers of up to so many bytes.
    pub(crate) fn taking(self, largest: usize) -> Self {
        Self { largest, ..self }
    }
}

impl Service<Request<Body>> for Wire {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self {
            channel,
            trace,
            largest,
        } = self.clone();
        Box::pin(async move {
            let sending = request.map(|body| {
                let trace = trace.clone();
                Body::new(Sending { body, trace })
            });
            let mut response = channel.call(sending).await?;
            trace.look_at(&mut response);
            Ok(response.map(|body| {
                Body::new(Whole::new(body, largest).map_frame(move |frame| {
                    if let Some(trailers) = frame.trailers_ref() {
                        trace.look_for_status(trailers);
                    }
                    frame
                }))
            }))
        })
    }
}

/// The request's body.
struct Sending {
    body: Body,
    trace: Trace,
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.trace.send() {
            return Poll::Ready(Some(Err(Status::cancelled("given up before it was sent"))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_that_was_given_up_never_leaves() {
        let trace = Trace::default();
        assert!(trace.recall());
        assert!(!trace.send());
        assert!(trace.recall(), "and that stays certain");
    }

    #[test]
    fn a_try_that_has_left_cannot_be_recalled() {
        let trace = Trace::default();
        assert!(trace.send());
        assert!(!trace.recall());
        assert!(trace.send(), "the rest of it follows");
    }

    #[test]
    fn only_a_status_is_an_answer() {
        let trace = Trace::default();
        trace.send();
        trace.look_for_status(&HeaderMap::new());
        assert!(!trace.answered());
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_STATUS, http::HeaderValue::from_static("0"));
        trace.look_for_status(&headers);
        assert!(trace.answered());
    }
}
