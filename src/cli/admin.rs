//! Calls to the admin address of a running node.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Calls `path` of the node at `url` (`http://host:port`). Gives the status and what was answered; the error is a sentence.
pub(super) async fn call(
    url: &str,
    (method, path): (Method, &str),
    body: Vec<u8>,
) -> Result<(u16, Bytes), String> {
    let address = url.strip_prefix("http://").unwrap_or(url);
    let address = address.trim_end_matches('/');
    if address.contains("://") || address.contains('/') {
        return Err(format!(
            "`{url}` is no admin address: write `http://127.0.0.1:9901`"
        ));
    }
    let failed = |why: &dyn std::fmt::Display| format!("cannot ask the node at {address}: {why}");
    let called = async {
        let stream = TcpStream::connect(address).await.map_err(|e| failed(&e))?;
        let (mut send, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| failed(&e))?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", address)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| failed(&e))?;
        let answer = send.send_request(request).await.map_err(|e| failed(&e))?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(|e| failed(&e))?;
        Ok((status, body.to_bytes()))
    };
    let called = timeout(PATIENCE, called).await;
    called.unwrap_or_else(|_| Err(failed(&"it does not answer")))
}
