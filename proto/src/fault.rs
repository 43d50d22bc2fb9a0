//! The contract's [`Fault`] as it is told, and back.

use std::time::Duration;

use linkgate_filter::{Blame, Effect, Fault};

use crate::v1;
use crate::v1::fault::{Effect as WireEffect, Source};

impl From<Fault> for v1::Fault {
    fn from(fault: Fault) -> Self {
        let source = match fault.blame {
            Blame::Client => Source::Client,
            Blame::Backend => Source::Backend,
            Blame::Gateway => Source::Gateway,
        };
        let effect = match fault.effect {
            Effect::None => WireEffect::None,
            Effect::Unknown => WireEffect::Unknown,
        };
        let wait = fault.retry_after.unwrap_or_default();
        Self {
            code: fault.code.into_owned(),
            source: source.into(),
            retryable: fault.retry_after.is_some(),
            // Rounded up: who comes at the time told must not be early.
            retry_after_ms: u32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX),
            effect: effect.into(),
            detail: fault.detail.into_owned(),
        }
    }
}

/// Of a fault that a backend tells. What it does not say is taken for the worst: it is the backend's fault, and may have had
/// an effect.
impl From<v1::Fault> for Fault {
    fn from(wire: v1::Fault) -> Self {
        let blame = match wire.source() {
            Source::Client => Blame::Client,
            Source::Gateway => Blame::Gateway,
            Source::Backend | Source::Unspecified => Blame::Backend,
        };
        let effect = match wire.effect() {
            WireEffect::None => Effect::None,
            WireEffect::Unknown | WireEffect::Unspecified => Effect::Unknown,
        };
        let wait = Duration::from_millis(wire.retry_after_ms.into());
        Self {
            code: wire.code.into(),
            blame,
            retry_after: wire.retryable.then_some(wait),
            effect,
            close: None,
            detail: wire.detail.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_the_same_there_and_back() {
        let faults = [
            Fault::client("rate_limit.exceeded").retry_after(Duration::from_millis(250)),
            Fault::backend("backend.failed")
                .effect_unknown()
                .retryable(),
            Fault::gateway("link.overloaded").detail("too many messages are under way"),
        ];
        for fault in faults {
            let wire = v1::Fault::from(fault.clone());
            assert_eq!(Fault::from(wire), fault);
        }
    }

    #[test]
    fn a_wait_is_rounded_up() {
        let told = |wait| v1::Fault::from(Fault::client("c").retry_after(wait)).retry_after_ms;
        assert_eq!(told(Duration::from_micros(1)), 1);
        assert_eq!(told(Duration::from_micros(2_001)), 3);
        assert_eq!(told(Duration::MAX), u32::MAX);
    }

    #[test]
    fn what_is_not_said_is_taken_for_the_worst() {
        let fault = Fault::from(v1::Fault::default());
        assert_eq!(fault, Fault::backend("").effect_unknown());
    }
}
