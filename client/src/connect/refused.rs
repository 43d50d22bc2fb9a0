//! Why there is no connection.

use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use linkgate_filter::Form;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::{ProtocolError, SubProtocolError};

use crate::frame;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL, or a name or token to be put into the request, cannot be used.
    #[error("{0}")]
    Request(String),
    /// Nobody answers there.
    #[error("cannot connect to {address}: {source}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The gateway answered, but with an HTTP status.
    #[error("refused with {status}{}", reason(.text))]
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// The answer's text, if it came along.
        text: String,
        /// The answer's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The listener knows no subprotocol of this client.
    #[error("the listener did not agree to the subprotocol {0}: is it fixed to the other form?")]
    Form(&'static str),
    /// Behind `wss://` stands no gateway whose certificate is trusted.
    #[error("the gateway's certificate is not to be trusted: {0}")]
    Certificate(rustls::CertificateError),
    /// `wss://`, but no TLS answers.
    #[error("no TLS answers there: is it ws:// in place of wss://?")]
    NotTls,
    /// `ws://`, but no HTTP answers.
    #[error("no HTTP answers there: is it wss:// in place of ws://?")]
    NotHttp,
    /// It broke off, or was no WebSocket's.
    #[error("the handshake failed: {0}")]
    Handshake(#[source] Box<WsError>),
    /// It took too long.
    #[error("no answer to the handshake within {0:?}")]
    Timeout(Duration),
}

fn reason(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

impl ConnectError {
    /// Whether trying again as it is can help.
    pub fn reconnect(&self) -> bool {
        match self {
            Self::Request(_)
            | Self::Form(_)
            | Self::Certificate(_)
            | Self::NotTls
            | Self::NotHttp => false,
            Self::Refused { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
                    )
            }
            Self::Unreachable { .. } | Self::Handshake(_) | Self::Timeout(_) => true,
        }
    }

    /// Whether another token might have been accepted.
    pub fn wants_token(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::UNAUTHORIZED)
    }

    /// How long the gateway asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// What the end of a handshake means.
pub(super) fn refusal(error: WsError, form: Form) -> ConnectError {
    match error {
        WsError::Http(response) => {
            let seconds = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok());
            let text = response
                .body()
                .as_deref()
                .map(String::from_utf8_lossy)
                .unwrap_or_default();
            ConnectError::Refused {
                status: response.status(),
                text: text.trim().to_owned(),
                retry_after: seconds.map(Duration::from_secs),
            }
        }
        WsError::Protocol(ProtocolError::SecWebSocketSubProtocolError(
            SubProtocolError::NoSubProtocol,
        )) => ConnectError::Form(frame::subprotocol(form)),
        WsError::Protocol(ProtocolError::HttparseError(_)) => ConnectError::NotHttp,
        WsError::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(why)) => ConnectError::Certificate(why.clone()),
            Some(rustls::Error::InvalidMessage(_)) => ConnectError::NotTls,
            _ => ConnectError::Handshake(Box::new(WsError::Io(error))),
        },
        error => ConnectError::Handshake(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let refused = |status| ConnectError::Refused {
            status,
            text: String::new(),
            retry_after: None,
        };
        assert!(!refused(StatusCode::UNAUTHORIZED).reconnect());
        assert!(refused(StatusCode::SERVICE_UNAVAILABLE).reconnect());
        assert!(!ConnectError::Request("x".into()).reconnect());
    }
}
