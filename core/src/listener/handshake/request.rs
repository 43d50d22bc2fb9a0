//! What a request has to say to be taken: one request to one host with nothing behind it, and a WebSocket handshake. What
//! is a list may stand in one line or in several (RFC 9110, 5.3); what is none must stand in one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Request;
use http::uri::Authority;
use http::{HeaderMap, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::listener::refusal::Refusal;

/// The bytes of a handshake's key.
const KEY: usize = 16;

/// That proxies and this listener take the request for the same: it names one host, ends with its head, and names one
/// user.
pub(super) fn check(request: &Request<()>) -> Result<(), Refusal> {
    let headers = request.headers();
    match single(headers, &HOST) {
        Ok(Some(host)) if is_host(host) => {}
        Ok(None) if request.version() < Version::HTTP_11 => {}
        _ => return Err(Refusal::Host),
    }
    let has_length = list(headers, &CONTENT_LENGTH).any(|length| length != "0");
    if has_length || headers.contains_key(TRANSFER_ENCODING) {
        return Err(Refusal::Body);
    }
    single(headers, &AUTHORIZATION).map(drop)
}

/// The accepting answer to a sound WebSocket handshake.
pub(super) fn upgrade(request: &Request<()>) -> Result<Response<()>, Refusal> {
    let headers = request.headers();
    if request.version() < Version::HTTP_11 {
        return Err(Refusal::HttpVersion);
    }
    let names =
        |name, wanted: &str| list(headers, name).any(|one| one.eq_ignore_ascii_case(wanted));
    if !names(&CONNECTION, "upgrade") || !names(&UPGRADE, "websocket") {
        return Err(Refusal::NotWebSocket);
    }
    if !names(&SEC_WEBSOCKET_VERSION, "13") {
        return Err(Refusal::WebSocketVersion);
    }
    let key = single(headers, &SEC_WEBSOCKET_KEY)?.ok_or(Refusal::Malformed)?;
    if STANDARD.decode(key).map_or(0, |key| key.len()) != KEY {
        return Err(Refusal::Malformed);
    }
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        .body(())
        .map_err(|_| Refusal::Malformed)
}

/// Everything in a list, over all of its lines. Blanks separate too, for clients that know no better.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|line| line.to_str().unwrap_or("?").split([',', ' ', '\t']))
        .filter(|one| !one.is_empty())
}

/// The one line of this name, if there is one.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut lines = headers.get_all(name).into_iter();
    match (lines.next(), lines.next()) {
        (line, None) => Ok(line),
        _ => Err(Refusal::Malformed),
    }
}

/// Whether it names one host, with or without a port.
fn is_host(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else {
        return false;
    };
    !host.contains(['@', ',']) && host.parse::<Authority>().is_ok()
}
