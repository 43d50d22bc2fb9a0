//! What of a call's body has come: read from the connection as it comes, handed to the service message by message.
//!
//! HTTP/2's own buffers are kept empty, so that many small frames cost what they carry. The caller may send more only as
//! messages are taken: a service that takes none holds no more than the stream's window. A message is handed on when it is
//! whole, so no length is believed before its bytes are there.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h2::{FlowControl, RecvStream};
use http_body::{Body, Frame};
use linkgate_grpc::whole_message;
use parking_lot::Mutex;
use tokio::time::{Sleep, sleep};
use tonic::Status;

use crate::reception::{Guest, Held, Reason};

/// Reads a body from its connection. Polled for as long as the call is open.
pub(super) struct Intake {
    stream: RecvStream,
    come: Arc<Mutex<Come>>,
}

/// A body that gives whole messages.
pub(super) struct Messages {
    come: Arc<Mutex<Come>>,
    flow: FlowControl,
    guest: Guest,
    held: Held,
    /// Bytes of the first message that the caller may send anew, though they are not handed on.
    released: usize,
    largest: usize,
    patience: Duration,
    slow: Option<Pin<Box<Sleep>>>,
}

/// What has come and is not handed on.
#[derive(Default)]
struct Come {
    bytes: BytesMut,
    end: Option<Result<(), h2::Error>>,
    reader: Option<Waker>,
}

/// The two ends of a call's body. A message may have up to `largest` bytes, and `patience` from its first to its last.
pub(super) fn open(
    mut stream: RecvStream,
    guest: &Guest,
    (largest, patience): (usize, Duration),
) -> (Intake, Messages) {
    let come = Arc::default();
    let messages = Messages {
        come: Arc::clone(&come),
        flow: stream.flow_control().clone(),
        guest: guest.clone(),
        held: guest.hold(),
        released: 0,
        largest,
        patience,
        slow: None,
    };
    (Intake { stream, come }, messages)
}

impl Intake {
    /// Reads until the body has ended.
    pub(super) async fn run(mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let data = ready!(self.stream.poll_data(cx));
            let mut come = self.come.lock();
            match data {
                Some(Ok(data)) => come.bytes.extend_from_slice(&data),
                Some(Err(error)) => come.end = Some(Err(error)),
                None => come.end = Some(Ok(())),
            }
            if let Some(reader) = come.reader.take() {
                reader.wake();
            }
            if come.end.is_some() {
                return Poll::Ready(());
            }
        }
    }
}

impl Messages {
    /// The caller may send so many bytes more. An error means that it cannot, and is told where it matters.
    fn release(&mut self, bytes: usize) {
        let _ = self.flow.release_capacity(bytes);
    }

    /// Counts what has come of a message that is not whole, and lets the rest of it come.
    fn wait(&mut self, come: usize, cx: &mut Context<'_>) -> Result<(), Status> {
        let more = come - self.released;
        if more > 0 {
            self.held.grow(more).map_err(|_| {
                Status::resource_exhausted("too many requests have not come whole: try again later")
            })?;
            self.release(more);
            self.released = come;
        }
        if come == 0 {
            return Ok(());
        }
        let patience = self.patience;
        let slow = self.slow.get_or_insert_with(|| Box::pin(sleep(patience)));
        if slow.as_mut().poll(cx).is_ready() {
            let seconds = patience.as_secs_f64();
            let why = format!("a message did not come whole within {seconds}s");
            self.guest.refused(Reason::Slow, &why);
            return Err(Status::deadline_exceeded(why));
        }
        Ok(())
    }

    /// The bytes are handed on.
    fn taken(&mut self, bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.release(bytes.len().saturating_sub(self.released));
        self.released = 0;
        self.held.clear();
        self.slow = None;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

impl Body for Messages {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let shared = Arc::clone(&this.come);
        let mut come = shared.lock();
        let next = match whole_message(&come.bytes, this.largest) {
            Some(length) => Some(length),
            // The rest, which the service finds wanting.
            None if come.end.is_some() && come.bytes.has_remaining() => Some(come.bytes.len()),
            None => None,
        };
        if let Some(length) = next {
            let bytes = come.bytes.split_to(length).freeze();
            drop(come);
            return this.taken(bytes);
        }
        match &mut come.end {
            Some(Ok(())) => return Poll::Ready(None),
            Some(Err(error)) => {
                let error = std::mem::replace(error, h2::Reason::CANCEL.into());
                return Poll::Ready(Some(Err(Status::from_error(Box::new(error)))));
            }
            None => come.reader = Some(cx.waker().clone()),
        }
        let length = come.bytes.len();
        drop(come);
        match this.wait(length, cx) {
            Ok(()) => Poll::Pending,
            Err(status) => Poll::Ready(Some(Err(status))),
        }
    }
}
