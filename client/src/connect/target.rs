//! Where to connect and as whom, and the request that says so.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderValue, Request, Uri};
use linkgate_filter::Form;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::refused::ConnectError;
use crate::frame;

/// Gives a fresh token, or none.
pub type Tokens = Arc<dyn Fn() -> BoxFuture<'static, Option<String>> + Send + Sync>;

/// Where to connect, and as whom.
#[derive(Clone, Default)]
pub struct Target {
    /// `ws://host:port/path`. A missing scheme is taken as `ws://`, a missing path as `/ws`.
    pub url: String,
    /// For a listener with `auth: insecure_query`: the query parameters `biz_id`, `user_id` and `device_id`.
    pub biz_id: Option<String>,
    /// See [`biz_id`](Self::biz_id).
    pub user_id: Option<String>,
    /// See [`biz_id`](Self::biz_id).
    pub device_id: Option<String>,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<String>,
    /// Asked by a session for another token when this one is not accepted any more.
    pub tokens: Option<Tokens>,
    /// The form to ask for.
    pub form: Form,
    /// Ask for no form: the handshake names no subprotocol.
    pub silent: bool,
    /// Trusted roots for `wss://`; the system's if `None`.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Connect from this address.
    pub source: Option<IpAddr>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("url", &self.url)
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// Refuses the URL of another protocol.
    ///
    /// # Errors
    /// Says what to write.
    pub fn check_url(url: &str) -> Result<String, String> {
        match url.split_once("://") {
            Some((scheme, _)) if !["ws", "wss"].contains(&&*scheme.to_lowercase()) => Err(format!(
                "a gateway is not spoken to by `{scheme}://`: write `ws://` or `wss://`"
            )),
            _ => Ok(url.to_owned()),
        }
    }

    pub(super) fn request(&self) -> Result<Request<()>, ConnectError> {
        Self::check_url(&self.url).map_err(|e| unusable(&format!("the URL {}", self.url), e))?;
        let uri: Uri = self
            .full_url()
            .parse()
            .map_err(|e| unusable(&format!("the URL {}", self.url), e))?;
        let mut request = uri
            .into_client_request()
            .map_err(|e| unusable(&format!("the URL {}", self.url), e))?;
        if let Some(token) = &self.token {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| unusable("the token", "it has characters that no header may hold"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        if !self.silent {
            let value = HeaderValue::from_static(frame::subprotocol(self.form));
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, value);
        }
        Ok(request)
    }

    /// The URL with what was left out, and with the identity as its query.
    fn full_url(&self) -> String {
        let mut url = if self.url.contains("://") {
            self.url.clone()
        } else {
            format!("ws://{}", self.url)
        };
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        if !rest.contains(['/', '?']) {
            url.push_str("/ws");
        }
        // What is unreserved in a URL stays.
        const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
            .remove(b'-')
            .remove(b'.')
            .remove(b'_')
            .remove(b'~');
        let identity = [
            ("biz_id", &self.biz_id),
            ("user_id", &self.user_id),
            ("device_id", &self.device_id),
        ];
        for (name, value) in identity
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
        {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(name);
            url.push('=');
            url.extend(utf8_percent_encode(value, ENCODED));
        }
        url
    }
}

fn unusable(what: &str, why: impl fmt::Display) -> ConnectError {
    ConnectError::Request(format!("{what} cannot be used: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_leaves_out_is_filled_in() {
        let full = |url: &str| {
            Target {
                url: url.into(),
                ..Target::default()
            }
            .full_url()
        };
        assert_eq!(full("127.0.0.1:8080"), "ws://127.0.0.1:8080/ws");
        assert_eq!(full("wss://gate.example/"), "wss://gate.example/");
        assert_eq!(full("ws://gate/chat?x=1"), "ws://gate/chat?x=1");
    }

    #[test]
    fn another_protocol_is_refused() {
        let target = Target {
            url: "http://127.0.0.1:8080/ws".into(),
            ..Target::default()
        };
        let error = target.request().unwrap_err().to_string();
        assert!(error.contains("`ws://` or `wss://`"), "{error}");
    }

    #[test]
    fn the_identity_goes_into_the_query_and_the_token_does_not() {
        let target = Target {
            url: "ws://gate:1/ws?x=1".into(),
            biz_id: Some("chat".into()),
            user_id: Some("a&b ü".into()),
            token: Some("secret".into()),
            ..Target::default()
        };
        let request = target.request().unwrap();
        assert_eq!(
            request.uri().query(),
            Some("x=1&biz_id=chat&user_id=a%26b%20%C3%BC")
        );
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer secret");
        assert!(!format!("{target:?}{request:?}").contains("secret"));
    }
}
