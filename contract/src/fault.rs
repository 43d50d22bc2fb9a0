//! Typed failures: what went wrong, whose fault it is, and what to do about it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::close::CloseCode;

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The client sent what it must not send.
    Client,
    /// The backend failed, was slow or could not be reached.
    Backend,
    /// The gateway itself: a limit reached, a bug.
    Gateway,
}

/// Whether the failed message may have had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Certainly not.
    None,
    /// It may have.
    Unknown,
}

/// A typed failure. Its code is metric label, log field, and what the client's NACK says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `"room.what"`, for example `"rate_limit.exceeded"`. The set is open; the values are few.
    pub code: Cow<'static, str>,
    /// Whose fault it is.
    pub blame: Blame,
    /// `None`: a retry does not help. Otherwise how long to wait before one; zero leaves it to the client.
    pub retry_after: Option<Duration>,
    /// Whether it may have had an effect.
    pub effect: Effect,
    /// Close the link, with this code.
    pub close: Option<CloseCode>,
    /// For a person. Never a secret, never a client's data.
    pub detail: Cow<'static, str>,
}

impl Fault {
    /// A client's fault: no effect, no use in a retry.
    pub fn client(code: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Blame::Client, code)
    }

    /// A backend's fault: no effect, no use in a retry.
    pub fn backend(code: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Blame::Backend, code)
    }

    /// The gateway's fault: no effect, no use in a retry.
    pub fn gateway(code: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Blame::Gateway, code)
    }

    fn new(blame: Blame, code: impl Into<Cow<'static, str>>) -> Self {
        let (code, detail) = (code.into(), Cow::Borrowed(""));
        Self {
            code,
            blame,
            retry_after: None,
            effect: Effect::None,
            close: None,
            detail,
        }
    }

    /// What is said of a message that a chain had under way when it was given up.
    pub(crate) fn retired() -> Self {
        let fault = Self::gateway("link.retired").effect_unknown().retryable();
        fault.detail("the pipeline changed and the old one did not finish in time")
    }

    /// A retry helps, after `wait`; zero leaves the pace to the client.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// A retry helps, at the client's own pace.
    #[must_use]
    pub fn retryable(self) -> Self {
        self.retry_after(Duration::ZERO)
    }

    /// The message may have had an effect.
    #[must_use]
    pub fn effect_unknown(mut self) -> Self {
        self.effect = Effect::Unknown;
        self
    }

    /// The link is to be closed.
    #[must_use]
    pub fn close(mut self, code: CloseCode) -> Self {
        self.close = Some(code);
        self
    }

    /// Adds a sentence for a person.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = detail.into();
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        if self.detail.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.detail)
        }
    }
}

impl std::error::Error for Fault {}
