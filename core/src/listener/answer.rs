//! What goes back to the client: the upgrade, or a short refusal that says what it can do.

use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::server::write_response;

use crate::listener::refusal::Refusal;

/// How long sending a refusal may take: it is small, and the first that goes out.
const SENDING: Duration = Duration::from_secs(1);

/// The accepting answer as bytes, with the chosen subprotocol and extensions.
pub(super) fn accepting(
    mut response: Response<()>,
    subprotocol: Option<&'static str>,
    extensions: Option<HeaderValue>,
) -> Result<Vec<u8>, Refusal> {
    if let Some(subprotocol) = subprotocol {
        let chosen = HeaderValue::from_static(subprotocol);
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, chosen);
    }
    if let Some(extensions) = extensions {
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_EXTENSIONS, extensions);
    }
    let mut bytes = Vec::new();
    write_response(&mut bytes, &response).map_err(|_| Refusal::Malformed)?;
    Ok(bytes)
}

/// Writes all of it out.
pub(super) async fn send<S>(stream: &mut S, bytes: &[u8]) -> Result<(), Refusal>
where
    S: AsyncWrite + Unpin,
{
    stream.write_all(bytes).await.map_err(|_| Refusal::Gone)?;
    stream.flush().await.map_err(|_| Refusal::Gone)
}

/// Sends the refusal, if its kind is sent at all, and nothing after it. `None` if there is nobody to see off.
/// `retry_after` is the least time that a client is told to stay away; each is told another, up to twice that.
pub(in crate::listener) async fn refuse<S>(
    stream: &mut S,
    refusal: Refusal,
    retry_after: Duration,
) -> Option<()>
where
    S: AsyncWrite + Unpin,
{
    let (status, text) = refusal.answer()?;
    send_last(stream, &refusing(refusal, status, text, retry_after)).await
}

/// Says whether the node wants traffic, to who asked by this method, and nothing after it.
pub(super) async fn tell_health<S>(stream: &mut S, is_ready: bool, method: &Method) -> Option<()>
where
    S: AsyncWrite + Unpin,
{
    let (status, text) = match is_ready {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    let mut bytes = plain(status, "cache-control: no-store\r\n", text);
    if *method == Method::HEAD {
        bytes.truncate(bytes.len() - text.len() - 1);
    }
    send_last(stream, &bytes).await
}

async fn send_last<S>(stream: &mut S, bytes: &[u8]) -> Option<()>
where
    S: AsyncWrite + Unpin,
{
    let sending = async {
        send(stream, bytes).await.ok()?;
        stream.shutdown().await.ok()
    };
    tokio::time::timeout(SENDING, sending).await.ok()?
}

fn refusing(refusal: Refusal, status: StatusCode, text: &str, retry_after: Duration) -> Vec<u8> {
    let extra: Option<(HeaderName, String)> = match refusal {
        Refusal::Method => Some((header::ALLOW, "GET".to_owned())),
        Refusal::NotWebSocket | Refusal::HttpVersion => {
            Some((header::UPGRADE, "websocket".to_owned()))
        }
        Refusal::WebSocketVersion => Some((header::SEC_WEBSOCKET_VERSION, "13".to_owned())),
        _ if status == StatusCode::UNAUTHORIZED => {
            Some((header::WWW_AUTHENTICATE, "Bearer".to_owned()))
        }
        _ if status == StatusCode::SERVICE_UNAVAILABLE => {
            let least = retry_after.as_secs().max(1);
            Some((
                header::RETRY_AFTER,
                fastrand::u64(least..=least * 2).to_string(),
            ))
        }
        _ => None,
    };
    let extra = extra.map_or(String::new(), |(name, value)| {
        format!("{name}: {value}\r\n")
    });
    plain(status, &extra, text)
}

/// A whole answer with one line of text.
fn plain(status: StatusCode, extra: &str, text: &str) -> Vec<u8> {
    let length = text.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n{extra}\r\n{text}\n"
    )
    .into_bytes()
}
