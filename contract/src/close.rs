//! Why a link is closed, and whether its client should come back.

use std::fmt;

/// A WebSocket close code with a name and a reading.
///
/// 4000 to 4499 mean "connect again" (with backoff), 4500 to 4999 "not with what you have": the client has to change
/// something first, such as its token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

macro_rules! close_codes {
    ($($(#[doc = $doc:literal])* $name:ident = $value:literal, $text:literal;)*) => {
        impl CloseCode {
            $($(#[doc = $doc])* pub const $name: Self = Self($value);)*

            /// All codes the gateway itself sends, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name, as it stands in the close frame's reason, in metrics and in the docs.
            pub fn name(self) -> &'static str {
                match self.0 { $($value => $text,)* _ => "other" }
            }
        }
    };
}

close_codes! {
    /// The client said goodbye first.
    NORMAL = 1000, "normal";
    /// Frames that break RFC 6455.
    PROTOCOL = 1002, "protocol_error";
    /// A frame form the link did not agree on: text for binary or the reverse.
    UNSUPPORTED = 1003, "unsupported_data";
    /// A text frame that is not UTF-8.
    INVALID_TEXT = 1007, "invalid_text";
    /// A frame or message over the listener's limit.
    TOO_BIG = 1009, "message_too_big";
    /// A bug in the gateway.
    INTERNAL = 1011, "internal_error";
    /// The node stops; others serve.
    SHUTDOWN = 4000, "shutdown";
    /// Connect to the node that the REDIRECT named.
    REDIRECT = 4001, "redirect";
    /// The client did not read what was sent to it.
    SLOW = 4002, "slow_client";
    /// Nothing was heard of the client for the idle timeout.
    IDLE = 4003, "idle_timeout";
    /// The pipeline was taken away or the listener removed.
    RETIRED = 4004, "retired";
    /// A message did not arrive in full within the message timeout.
    MESSAGE_TIMEOUT = 4005, "message_timeout";
    /// There was no room for another unfinished message.
    OVERLOADED = 4006, "overloaded";
    /// The same identity logged in again and the policy is `replace`.
    REPLACED = 4500, "replaced";
    /// The token has expired; come back with a fresh one.
    TOKEN_EXPIRED = 4501, "token_expired";
    /// Frames that are no messages of the protocol.
    GARBAGE = 4502, "garbage";
    /// Too many messages over the quota.
    RATE_LIMITED = 4503, "rate_limited";
    /// The identity has as many links as it may have.
    ALREADY_CONNECTED = 4504, "already_connected";
}

impl CloseCode {
    /// Any code, for filters with codes of their own (4100 to 4499 and 4600 to 4999 are free).
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// The number on the wire.
    pub fn code(self) -> u16 {
        self.0
    }

    /// Whether the client should connect again as it is.
    pub fn reconnect(self) -> bool {
        matches!(self.0, 1001 | 1006 | 1011..=1014 | 4000..=4499)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.name())
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
