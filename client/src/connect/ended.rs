//! How a connection ended.

use std::fmt;

use linkgate_filter::CloseCode;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The gateway's close code; 1006 where the connection broke without one.
    pub code: CloseCode,
    /// What the close frame or the system says about it.
    pub reason: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code.code(), self.reason.as_str()) {
            (1006, reason) => write!(f, "the connection broke: {reason}"),
            (_, reason) if reason.is_empty() || reason == self.code.name() => {
                write!(f, "closed with {}", self.code)
            }
            (_, reason) => write!(f, "closed with {}: {reason}", self.code),
        }
    }
}

impl Ended {
    /// Whether another token would have been accepted.
    pub fn wants_token(&self) -> bool {
        self.code == CloseCode::TOKEN_EXPIRED
    }

    pub(crate) fn broken(reason: impl fmt::Display) -> Self {
        Self {
            code: CloseCode::new(1006),
            reason: reason.to_string(),
        }
    }
}

impl From<WsError> for Ended {
    fn from(error: WsError) -> Self {
        match error {
            WsError::ConnectionClosed | WsError::AlreadyClosed => {
                Self::broken("the gateway hung up")
            }
            error => Self::broken(error),
        }
    }
}

impl From<Option<CloseFrame>> for Ended {
    fn from(frame: Option<CloseFrame>) -> Self {
        // RFC 6455: 1005 stands for a close frame without a code.
        let (code, reason) = frame.map_or((1005, String::new()), |frame| {
            (frame.code.into(), frame.reason.to_string())
        });
        Self {
            code: CloseCode::new(code),
            reason,
        }
    }
}
