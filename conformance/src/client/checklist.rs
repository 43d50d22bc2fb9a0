//! The checklist: what is demanded of a client, where the protocol says so, and how it is seen.

use futures_util::future::BoxFuture;
use serde_json::json;

use super::Checked;
use super::checks::{frames, receiving, reconnecting, sending, staying};
use super::settings::{ANSWER_TIMEOUT, BACKOFF, ECHO, HEARTBEAT};
use super::stage::Stage;

/// The checklist's version. It goes up whenever a client that passed may fail: with each new MUST, and each stricter one.
pub const CHECKLIST: u32 = 1;

/// What a driver has to do, for `GET /checks`.
const DRIVER: [&str; 5] = [
    "Connect with the client under test to the check's URL; set its times as `settings` says.",
    "Send the body of each push that the client hands to the application back as a message.",
    "When a message whose body begins with `work` is accepted: send `accepted BODY ANSWER`; when it is given up: `refused BODY`.",
    "When a push has the body `close`: close the client as an application does that is done.",
    "When the client wants a token: GET the check's token URL; each answer is a new token.",
];

/// Whether a client has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A client that does not is wrong.
    Must,
    /// A client that does not has a reason, one hopes.
    Should,
}

/// One line of the checklist.
pub struct Check {
    /// Its name.
    pub id: &'static str,
    /// Whether a client has to.
    pub level: Level,
    /// The section of `docs/protocol.md` that demands it.
    pub section: &'static str,
    /// What is demanded.
    pub demand: &'static str,
    pub(super) run: Play,
}

/// How a check is played.
pub(super) type Play = fn(&mut Stage) -> BoxFuture<'_, Checked>;

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Level {
    /// As the checklist writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
        }
    }
}

impl Check {
    pub(super) fn about(&self) -> String {
        format!("{}: {}", self.level.word(), self.demand)
    }
}

/// The check of that name.
pub(super) fn find(id: &str) -> Option<&'static Check> {
    CHECKS.iter().find(|check| check.id == id)
}

/// The times that a client under test has to be set to, by name, in milliseconds.
pub fn settings() -> [(&'static str, u128); 4] {
    [
        ("answer_timeout_ms", ANSWER_TIMEOUT.as_millis()),
        ("backoff_ms", BACKOFF.as_millis()),
        ("heartbeat_ms", HEARTBEAT.as_millis()),
        ("heartbeat_timeout_ms", ECHO.as_millis()),
    ]
}

/// The answer to `GET /checks`.
pub(super) fn listed(url: &str) -> String {
    let checks: Vec<_> = CHECKS
        .iter()
        .map(|check| {
            json!({
                "id": check.id,
                "level": check.level.word(),
                "section": check.section,
                "demand": check.demand,
                "url": format!("{url}?check={}&biz_id=kit&user_id=u", check.id),
            })
        })
        .collect();
    let settings: serde_json::Map<_, _> = settings()
        .into_iter()
        .map(|(name, millis)| {
            (
                name.to_owned(),
                json!(u64::try_from(millis).unwrap_or(u64::MAX)),
            )
        })
        .collect();
    let list = json!({
        "checklist": CHECKLIST,
        "linkgate": env!("CARGO_PKG_VERSION"),
        "driver": DRIVER,
        "settings": settings,
        "checks": checks,
    });
    format!("{list:#}\n")
}

/// Makes a table out of lines.
macro_rules! checks {
    ($($id:literal $level:ident $section:literal $demand:literal => $play:expr;)*) => {
        /// All of it, in the order of the protocol's page.
        pub const CHECKS: &[Check] = &[$(Check {
            id: $id,
            level: Level::$level,
            section: $section,
            demand: $demand,
            run: |stage| Box::pin($play(stage)),
        }),*];
    };
}

checks! {
    "refused-401" Must "Refusals" "does not try again with a token that was refused" => reconnecting::refused_401;
    "refused-503" Must "Refusals" "waits as Retry-After says, then connects" => reconnecting::refused_503;
    "unknown-command" Must "Messages" "skips commands that it does not know" => frames::unknown_command;
    "unknown-fields" Must "Messages" "skips fields that it does not know" => frames::unknown_fields;
    "unknown-enum" Must "Messages" "goes by the other fields where it does not know a fault's source" => sending::unknown_enum;
    "fragments" Must "Messages" "reads a message in pieces, with a ping between" => frames::fragments;
    "byte-by-byte" Must "Messages" "reads a frame that comes byte by byte" => frames::byte_by_byte;
    "in-one-piece" Must "Messages" "reads frames that come in one piece with the handshake's answer" => frames::in_one_piece;
    "large-message" Must "Limits and mistakes" "takes and sends a body of 64 KiB" => frames::large_message;
    "keys" Must "Sending" "gives each message a key of its own, even if the bodies are alike" => sending::keys;
    "answers-by-key" Must "Sending" "matches answers by key, in any order" => sending::answers_by_key;
    "stray-answers" Must "Sending" "skips answers to nothing, and second answers" => sending::stray_answers;
    "lost-ack" Must "Retry rules" "sends a message without an answer again, under the same key, with the same body" => sending::lost_ack;
    "patience" Must "Retry rules" "waits longer each time before it sends again" => sending::patience;
    "nack-retryable" Must "Retry rules" "sends again after retryAfterMs" => sending::nack_retryable;
    "nack-hot-loop" Must "Retry rules" "waits by itself where a NACK names no time" => sending::nack_hot_loop;
    "nack-final" Must "Retry rules" "gives up, and tells the application" => sending::nack_final;
    "rate-limited" Must "Retry rules" "sends again after retryAfterMs of RATE_LIMIT_EXCEEDED" => sending::rate_limited;
    "rate-limited-nack" Must "Sending" "treats a NACK of the rate limit alike" => sending::rate_limited_nack;
    "resend" Must "Retry rules" "sends what has no answer again after reconnecting, oldest first" => reconnecting::resend;
    "bounded" Must "Limits and mistakes" "keeps at most 256 messages without an answer" => sending::bounded;
    "push" Must "Receiving" "acknowledges a push and hands it over" => receiving::push;
    "push-twice" Must "Receiving" "acknowledges every copy of a push and hands it over once" => receiving::twice;
    "push-again-later" Must "Receiving" "knows a push again on its next connection" => receiving::again_later;
    "push-order" Must "Receiving" "takes pushes whose keys are in no order" => receiving::order;
    "push-same-body" Must "Receiving" "takes pushes of one body and two keys for two" => receiving::same_body;
    "push-any-key" Must "Receiving" "acknowledges by the very key, whatever text it is" => receiving::any_key;
    "ping" Must "Heartbeats" "answers a ping" => staying::ping;
    "heartbeat" Should "Heartbeats" "sends heartbeats" => staying::heartbeat;
    "silence" Should "Heartbeats" "leaves a gateway that echoes no heartbeat" => staying::silence;
    "redirect" Must "Redirect" "waits afterMs, connects where it was sent to, and sends again what has no answer" => staying::redirect;
    "redirect-leaves" Must "Redirect" "closes the old connection where the gateway does not" => staying::redirect_leaves;
    "redirect-next" Must "Redirect" "takes the next address where the first does not work" => staying::redirect_next;
    "redirect-nowhere" Must "Redirect" "connects to the address that it knows where none is named" => staying::redirect_nowhere;
    "close-answered" Must "Close codes" "answers a close frame" => staying::close_answered;
    "close-handshake" Must "Close codes" "says goodbye with a close frame" => staying::close_handshake;
    "cut" Must "Close codes" "connects again after a cut within a frame, and drops the half of it" => reconnecting::cut;
    "close-again" Must "Close codes" "connects again after 1011, 4000, 4002, 4003, 4004" => reconnecting::close_again;
    "close-again-unknown" Must "Close codes" "connects again after a code up to 4499 that it does not know" => reconnecting::close_again_unknown;
    "close-normal" Must "Close codes" "stays away after 1000" => reconnecting::stays_away::<1000>;
    "close-too-big" Must "Close codes" "stays away after 1009" => reconnecting::stays_away::<1009>;
    "close-replaced" Must "Close codes" "stays away after 4500" => reconnecting::stays_away::<4500>;
    "close-garbage" Must "Close codes" "stays away after 4502" => reconnecting::stays_away::<4502>;
    "close-rate-limited" Must "Close codes" "stays away after 4503" => reconnecting::stays_away::<4503>;
    "close-already" Must "Close codes" "stays away after 4504" => reconnecting::stays_away::<4504>;
    "close-unknown" Must "Close codes" "stays away after a code from 4500 on that it does not know" => reconnecting::stays_away::<4777>;
    "token-expired" Must "Close codes" "does not come back with the token that has expired" => reconnecting::token_expired;
    "token-renewed" Should "Close codes" "comes back with a fresh token, and sends again what has no answer" => reconnecting::token_renewed;
    "backoff" Must "Close codes" "waits longer each time before it connects again, within the limits" => reconnecting::backoff;
    "jitter" Should "Close codes" "varies its waits by chance" => reconnecting::jitter;
}
