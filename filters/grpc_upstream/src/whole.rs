//! A backend's answer, handed on when it is whole: a decoder takes memory for the length that is announced, and a backend may
//! announce what it never sends.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};
use linkgate_grpc::whole_message;
use tonic::Status;

/// A body that gives whole messages, each of at most `largest` bytes; of a larger one its prefix, by which it is refused.
pub(crate) struct Whole<B> {
    body: B,
    largest: usize,
    /// Has come, and is not whole.
    come: BytesMut,
    /// Comes behind the messages.
    trailers: Option<HeaderMap>,
}

impl<B> Whole<B> {
    pub(crate) fn new(body: B, largest: usize) -> Self {
        Self {
            body,
            largest,
            come: BytesMut::new(),
            trailers: None,
        }
    }

    /// Takes what has come; gives what can be handed on of it.
    fn take(&mut self, data: Bytes) -> Option<Bytes> {
        if self.come.is_empty() && whole_message(&data, self.largest) == Some(data.len()) {
            // Mostly an answer is one frame.
            return Some(data);
        }
        self.come.extend_from_slice(&data);
        self.next()
    }

    fn next(&mut self) -> Option<Bytes> {
        let length = whole_message(&self.come, self.largest)?;
        Some(self.come.split_to(length).freeze())
    }
}

impl<B: HttpBody<Data = Bytes, Error = Status> + Unpin> HttpBody for Whole<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        loop {
            if let Some(message) = this.next() {
                return Poll::Ready(Some(Ok(Frame::data(message))));
            }
            if let Some(trailers) = this.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(cx)) else {
                return Poll::Ready(None);
            };
            match frame?.into_data() {
                Ok(data) => {
                    if let Some(message) = this.take(data) {
                        return Poll::Ready(Some(Ok(Frame::data(message))));
                    }
                }
                // What is not whole by now never will be.
                Err(other) => {
                    this.come.clear();
                    this.trailers = other.into_trailers().ok();
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.come.is_empty() && self.trailers.is_none() && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use http_body_util::{BodyExt, StreamBody};
    use tonic::body::Body;

    use super::*;

    const PREFIX: usize = 5;

    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend((length as u32).to_be_bytes());
        bytes.resize(PREFIX + length, b'x');
        bytes
    }

    /// What comes out of a body that comes in these pieces, and then ends with trailers.
    async fn out(pieces: Vec<Vec<u8>>) -> (Vec<usize>, bool) {
        let data = pieces.into_iter().map(|piece| Frame::data(piece.into()));
        let frames = data.chain([Frame::trailers(HeaderMap::new())]);
        let frames = futures_util::stream::iter(frames.map(Ok::<_, Status>));
        let mut whole = Whole::new(Body::new(StreamBody::new(frames)), 100);
        let (mut lengths, mut ended) = (Vec::new(), false);
        while let Some(frame) = whole.frame().await {
            match frame.unwrap().into_data() {
                Ok(data) => lengths.push(data.len()),
                Err(_) => ended = true,
            }
        }
        (lengths, ended)
    }

    #[tokio::test]
    async fn messages_come_whole_however_they_are_cut() {
        let both = [message(10), message(0), message(100)].concat();
        for cut in 1..both.len() {
            let pieces = both.chunks(cut).map(<[u8]>::to_vec).collect();
            assert_eq!(out(pieces).await, (vec![15, 5, 105], true), "{cut}");
        }
    }

    #[tokio::test]
    async fn nothing_is_handed_on_of_what_is_only_announced() {
        let mut announced = message(100);
        announced.truncate(20);
        assert_eq!(out(vec![announced.clone()]).await, (vec![], true));
        let then = [message(3), announced].concat();
        assert_eq!(out(vec![then]).await, (vec![8], true));
        assert_eq!(out(vec![message(101)]).await.0[0], PREFIX);
    }

    #[tokio::test]
    async fn an_error_of_the_connection_goes_through() {
        let lost = futures_util::stream::iter([Err(Status::unavailable("lost"))]);
        let lost = lost.map(|frame: Result<Frame<Bytes>, Status>| frame);
        let mut whole = Whole::new(Body::new(StreamBody::new(lost)), 100);
        let frame = whole.frame().await.unwrap();
        assert_eq!(frame.unwrap_err().code(), tonic::Code::Unavailable);
    }
}
