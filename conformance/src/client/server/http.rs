//! As much of HTTP as the kit needs: a request without a body, an answer, the end.

use std::time::Duration;

use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;

/// The largest head of a request.
const HEAD: usize = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

/// A request's head. A client sends nothing behind it before the answer.
pub(super) async fn read(stream: &mut TcpStream) -> Option<Request<()>> {
    let read = async {
        let mut head = Vec::with_capacity(1024);
        while head.len() < HEAD {
            if stream.read_buf(&mut head).await.ok()? == 0 {
                return None;
            }
            if head.ends_with(b"\r\n\r\n") {
                let (_, request) = Request::try_parse(&head).ok()??;
                return Some(request);
            }
        }
        None
    };
    timeout(PATIENCE, read).await.ok()?
}

pub(super) async fn answer(mut stream: TcpStream, status: &str, kind: &str, body: &str) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let write = async {
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(body.as_bytes()).await.ok()?;
        stream.shutdown().await.ok()
    };
    timeout(PATIENCE, write).await.ok();
}
