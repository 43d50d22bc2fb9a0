//! A request's body, counted as it comes and given time to come whole.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Sleep, sleep};

use crate::reception::{Guest, Held, Reason};

/// What has come of a request's body. It counts until this is dropped, whoever keeps the bytes by then.
pub(super) struct Come(Arc<Shared>);

struct Shared {
    held: Mutex<Held>,
    refused: OnceLock<Reason>,
}

struct Counted {
    body: Body,
    guest: Guest,
    shared: Arc<Shared>,
    slow: Pin<Box<Sleep>>,
}

impl Come {
    /// The request with its body counted.
    pub(super) fn of(request: Request, guest: &Guest) -> (Request, Self) {
        let shared = Arc::new(Shared {
            held: Mutex::new(guest.hold()),
            refused: OnceLock::new(),
        });
        let come = Self(Arc::clone(&shared));
        let request = request.map(|body| {
            if body.is_end_stream() {
                return body;
            }
            Body::new(Counted {
                body,
                guest: guest.clone(),
                shared,
                slow: Box::pin(sleep(guest.patience())),
            })
        });
        (request, come)
    }

    /// Why the body was not read to its end, if that is why the request failed.
    pub(super) fn refused(&self) -> Option<Reason> {
        self.0.refused.get().copied()
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let refuse = |reason| {
            let _ = this.shared.refused.set(reason);
            Poll::Ready(Some(Err("the body was not read to its end".into())))
        };
        if this.slow.as_mut().poll(cx).is_ready() {
            this.guest.refused(Reason::Slow, &"the request's body");
            return refuse(Reason::Slow);
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let come = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        if this.shared.held.lock().grow(come).is_err() {
            return refuse(Reason::Unfinished);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
