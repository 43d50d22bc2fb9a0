//! A caller that speaks HTTP/2 by hand, frame by frame.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use linkgate_proto::v1::{PushRequest, PushResponse};
use prost::Message;
use tokio::net::TcpStream;

use super::TOKEN;

/// An open connection.
pub(super) struct Wire {
    requests: SendRequest<Bytes>,
    /// Ends with the connection.
    pub(super) connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Wire {
    pub(super) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        Self {
            requests,
            connection: tokio::spawn(connection),
        }
    }

    /// Begins a call of `PushService`, with the token of a caller.
    pub(super) async fn call(&mut self, method: &str) -> (ResponseFuture, SendStream<Bytes>) {
        self.call_as(method, TOKEN).await
    }

    pub(super) async fn call_as(
        &mut self,
        method: &str,
        token: &str,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let request = http::Request::post(format!("http://push/linkgate.v1.PushService/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {token}"))
            .body(())
            .unwrap();
        std::future::poll_fn(|cx| self.requests.poll_ready(cx))
            .await
            .unwrap();
        self.requests.send_request(request, false).unwrap()
    }
}

/// A message with its prefix.
pub(super) fn framed(request: &PushRequest) -> Bytes {
    let mut frame = prefix(request.encoded_len());
    request.encode(&mut frame).unwrap();
    frame.freeze()
}

/// What stands before a message of this length.
pub(super) fn prefix(length: usize) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap());
    frame
}

/// Answers as they come.
pub(super) struct Answers(pub(super) RecvStream, BytesMut);

impl Answers {
    pub(super) fn of(body: RecvStream) -> Self {
        Self(body, BytesMut::new())
    }

    pub(super) async fn next(&mut self) -> Option<PushResponse> {
        loop {
            if let Some(prefix) = self.1.first_chunk::<5>() {
                let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
                let whole = 5 + length as usize;
                if self.1.len() >= whole {
                    let message = self.1.split_to(whole).split_off(5);
                    return Some(PushResponse::decode(message).unwrap());
                }
            }
            let data = self.0.data().await?.unwrap();
            self.0.flow_control().release_capacity(data.len()).unwrap();
            self.1.extend_from_slice(&data);
        }
    }
}
