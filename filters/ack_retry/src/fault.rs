//! The faults that a push can end in here.

use linkgate_filter::{Fault, Outcome};

/// `expires_at` has passed. The effect is unknown if the push was ever sent. A retry does not help.
pub const EXPIRED: &str = "push.expired";
/// Sent as often, or for as long, as `retry` allows, and never acknowledged. It may have arrived.
pub const UNACKNOWLEDGED: &str = "push.unacknowledged";
/// The client went away and did not come back within `resume_for`. The effect is unknown if the push was ever sent.
pub const OFFLINE: &str = "push.offline";
/// Too many pushes are pending on the link, or with this key. It was not sent.
pub const WINDOW_FULL: &str = "push.window_full";
/// The push has no key, so that its acknowledgement could not be told from others. It was not sent.
pub const NO_KEY: &str = "push.no_key";
/// Another push with this key, of another body, is pending. It was not sent.
pub const KEY_REUSED: &str = "push.key_reused";
/// The frame would be larger than the link is sent. It was not sent there.
pub const TOO_BIG: &str = "push.too_big";
/// Link after link ended right after it was sent, `retry.max_breaks` times. It may have arrived.
pub const BREAKS_LINKS: &str = "push.breaks_links";
/// Beside an acknowledgement: the message was accepted, and the backend's answer is too large to be sent.
pub const ANSWER_TOO_BIG: &str = "answer.too_big";
/// A later link of the client has taken over. It was not sent.
pub const REPLACED: &str = "link.replaced";

pub(crate) fn expired() -> Fault {
    Fault::backend(EXPIRED).detail("`expires_at` passed before the client acknowledged it")
}

pub(crate) fn unacknowledged() -> Fault {
    Fault::client(UNACKNOWLEDGED)
        .retryable()
        .detail("the client is connected but has not acknowledged it")
}

pub(crate) fn offline() -> Fault {
    Fault::client(OFFLINE)
        .retryable()
        .detail("the client went away and did not come back in time")
}

pub(crate) fn window_full() -> Fault {
    Fault::gateway(WINDOW_FULL)
        .retryable()
        .detail("too many pushes wait for this client's acknowledgements")
}

pub(crate) fn no_key() -> Fault {
    Fault::backend(NO_KEY).detail("a push that is to be acknowledged needs a key")
}

pub(crate) fn key_reused() -> Fault {
    Fault::backend(KEY_REUSED).detail("another push with this key is under way to this receiver")
}

pub(crate) fn too_big() -> Fault {
    Fault::backend(TOO_BIG).detail("its frame would be larger than the client is sent")
}

pub(crate) fn breaks_links() -> Fault {
    Fault::client(BREAKS_LINKS)
        .detail("each connection of the client ended right after this was sent")
}

/// What was accepted has had its effect, so this never says that it has none.
pub(crate) fn answer_too_big() -> Fault {
    Fault::backend(ANSWER_TOO_BIG)
        .effect_unknown()
        .detail("the message was accepted, but the answer is larger than the client is sent")
}

pub(crate) fn replaced() -> Fault {
    Fault::gateway(REPLACED)
        .retryable()
        .detail("a later link of this client has taken over")
}

/// What a push has come to: whether it may have arrived depends on whether it was ever sent.
pub(crate) fn outcome(fault: Fault, sent: bool) -> Outcome {
    Outcome::from_fault(if sent { fault.effect_unknown() } else { fault })
}
