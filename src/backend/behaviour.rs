//! How a sample backend is made slow, failing or silent.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tonic::{Code, Status};

/// A part of all calls: `10%`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Share(f64);

impl Share {
    /// All of them.
    pub(crate) const ALL: Self = Self(1.0);

    /// Throws the dice.
    fn hits(self) -> bool {
        self.0 > 0.0 && fastrand::f64() < self.0
    }
}

/// Not a share.
#[derive(Debug, thiserror::Error)]
#[error("write a share as percents from 0% to 100%, for example 10%")]
pub(crate) struct NoShare;

impl FromStr for Share {
    type Err = NoShare;

    fn from_str(text: &str) -> Result<Self, NoShare> {
        let percents: f64 = text
            .strip_suffix('%')
            .and_then(|number| number.trim().parse().ok())
            .ok_or(NoShare)?;
        if (0.0..=100.0).contains(&percents) {
            Ok(Self(percents / 100.0))
        } else {
            Err(NoShare)
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0 * 100.0)
    }
}

/// A status to fail with, written by its name: `UNAVAILABLE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FailCode(pub Code);

/// The names of gRPC's statuses that are failures.
const CODES: [(&str, Code); 16] = [
    ("CANCELLED", Code::Cancelled),
    ("UNKNOWN", Code::Unknown),
    ("INVALID_ARGUMENT", Code::InvalidArgument),
    ("DEADLINE_EXCEEDED", Code::DeadlineExceeded),
    ("NOT_FOUND", Code::NotFound),
    ("ALREADY_EXISTS", Code::AlreadyExists),
    ("PERMISSION_DENIED", Code::PermissionDenied),
    ("RESOURCE_EXHAUSTED", Code::ResourceExhausted),
    ("FAILED_PRECONDITION", Code::FailedPrecondition),
    ("ABORTED", Code::Aborted),
    ("OUT_OF_RANGE", Code::OutOfRange),
    ("UNIMPLEMENTED", Code::Unimplemented),
    ("INTERNAL", Code::Internal),
    ("UNAVAILABLE", Code::Unavailable),
    ("DATA_LOSS", Code::DataLoss),
    ("UNAUTHENTICATED", Code::Unauthenticated),
];

impl FailCode {
    /// The name of the status.
    pub(crate) fn name(self) -> &'static str {
        CODES
            .iter()
            .find(|(_, code)| *code == self.0)
            .map_or("OK", |(name, _)| name)
    }
}

impl FromStr for FailCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = CODES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        known.map(|(_, code)| Self(*code)).ok_or_else(|| {
            let names: Vec<_> = CODES.iter().map(|(name, _)| *name).collect();
            format!("write the name of a gRPC status: {}", names.join(", "))
        })
    }
}

impl fmt::Display for FailCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wrong with a sample backend. By default nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behaviour {
    /// Wait so long before each answer.
    pub(crate) delay: Duration,
    /// Fail so many of the messages, with this status.
    pub(crate) fail: (Share, FailCode),
    /// Never answer so many of the calls.
    pub(crate) hang: Share,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            fail: (Share::default(), FailCode(Code::Unavailable)),
            hang: Share::default(),
        }
    }
}

impl Behaviour {
    /// What happens to a call before it is looked at.
    pub(super) async fn stall(&self) {
        if self.hang.hits() {
            std::future::pending::<()>().await;
        }
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
    }

    /// What happens to a message.
    pub(super) fn failure(&self) -> Option<Status> {
        let (share, FailCode(code)) = self.fail;
        share
            .hits()
            .then(|| Status::new(code, "the sample backend was asked to fail"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percents() {
        assert_eq!("10%".parse::<Share>().unwrap(), Share(0.1));
        assert_eq!("100 %".parse::<Share>().unwrap(), Share::ALL);
        for bad in ["", "0.1", "101%", "-1%", "x%", "NaN%"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
    }

    #[test]
    fn codes_are_known_by_name() {
        assert_eq!("unavailable".parse(), Ok(FailCode(Code::Unavailable)));
        assert!(
            "OK".parse::<FailCode>()
                .unwrap_err()
                .contains("RESOURCE_EXHAUSTED")
        );
    }
}
