//! Which result of a batch belongs to which item.

use std::time::Duration;

use linkgate_filter::{Blame, Effect, Fault, Outcome};
use linkgate_proto::v1::batch_result::Outcome as Said;
use linkgate_proto::v1::{BatchResult, Fault as WireFault, fault};

/// An outcome for each key, in its order, and how many results or items did not fit. An item without a result, with two,
/// or with one under another key may have had an effect.
pub(crate) fn outcomes(keys: &[&str], results: Vec<BatchResult>) -> (Vec<Outcome>, u64) {
    let mut found: Vec<Found> = keys.iter().map(|_| Found::Nothing).collect();
    let mut mismatched = 0;
    for result in results {
        let Some(place) = usize::try_from(result.position)
            .ok()
            .and_then(|position| found.get_mut(position))
        else {
            mismatched += 1;
            continue;
        };
        *place = match (&*place, result.outcome) {
            (Found::Nothing, Some(said)) => Found::One(result.key, said),
            _ => Found::Unclear,
        };
    }
    let outcome = |(found, key): (Found, &&str)| match found {
        Found::One(own, said) if own == **key => read(said),
        _ => {
            mismatched += 1;
            Outcome::Unknown(mismatch())
        }
    };
    let outcomes = found.into_iter().zip(keys).map(outcome).collect();
    (outcomes, mismatched)
}

enum Found {
    Nothing,
    One(String, Said),
    Unclear,
}

fn mismatch() -> Fault {
    Fault::backend("grpc.no_result")
        .retryable()
        .effect_unknown()
        .detail("the backend's answer does not say what became of the message")
}

fn read(said: Said) -> Outcome {
    match said {
        Said::Accepted(answer) => Outcome::accepted(answer.body),
        Said::Failed(fault) => Outcome::from_fault(fault_of(&fault)),
    }
}

/// The backend's own fault, as far as a client may see it: all but the text.
fn fault_of(wire: &WireFault) -> Fault {
    const LONGEST: Duration = Duration::from_secs(3600);
    let mut fault = Fault::backend(code_of(&wire.code)).detail("the backend refused the message");
    fault.blame = match wire.source() {
        fault::Source::Client => Blame::Client,
        fault::Source::Gateway => Blame::Gateway,
        fault::Source::Backend | fault::Source::Unspecified => Blame::Backend,
    };
    fault.effect = match wire.effect() {
        fault::Effect::None => Effect::None,
        fault::Effect::Unknown | fault::Effect::Unspecified => Effect::Unknown,
    };
    if wire.retryable {
        let wait = Duration::from_millis(wire.retry_after_ms.into());
        fault = fault.retry_after(wait.min(LONGEST));
    }
    fault
}

/// A code is a metric label: what does not look like one is not passed on.
fn code_of(code: &str) -> String {
    let fits = (1..=64).contains(&code.len())
        && code
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.'));
    if fits {
        format!("backend.{code}")
    } else {
        "backend.failed".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use linkgate_proto::v1::OnReceiveResponse;

    use super::*;

    fn result(position: u32, key: &str, said: Option<Said>) -> BatchResult {
        BatchResult {
            position,
            key: key.to_owned(),
            outcome: said,
        }
    }

    fn accepted(body: &'static str) -> Option<Said> {
        let body = body.into();
        Some(Said::Accepted(OnReceiveResponse { body }))
    }

    #[test]
    fn each_item_gets_its_own_result_in_any_order() {
        let refused = WireFault {
            code: "full".into(),
            source: fault::Source::Client.into(),
            retryable: true,
            retry_after_ms: 50,
            effect: fault::Effect::None.into(),
            detail: "internals".into(),
        };
        let results = vec![
            result(1, "b", Some(Said::Failed(refused))),
            result(0, "a", accepted("hi")),
        ];
        let (outcomes, mismatched) = outcomes(&["a", "b"], results);
        assert_eq!(mismatched, 0);
        assert_eq!(outcomes[0], Outcome::accepted("hi"));
        let Outcome::Failed(fault) = &outcomes[1] else {
            panic!("{:?}", outcomes[1]);
        };
        assert_eq!(
            (fault.code.as_ref(), fault.blame),
            ("backend.full", Blame::Client)
        );
        assert_eq!(fault.retry_after, Some(Duration::from_millis(50)));
        assert!(!fault.detail.contains("internals"));
    }

    #[test]
    fn what_does_not_fit_fails_its_own_item_only() {
        let results = vec![
            result(0, "a", accepted("a")),
            result(1, "x", accepted("wrong key")),
            result(2, "c", accepted("once")),
            result(2, "c", accepted("twice")),
            result(3, "d", None),
            result(9, "z", accepted("nobody's")),
        ];
        let (outcomes, mismatched) = outcomes(&["a", "b", "c", "d", "e"], results);
        assert_eq!(outcomes[0], Outcome::accepted("a"));
        for outcome in &outcomes[1..] {
            assert_eq!(*outcome, Outcome::Unknown(mismatch()));
        }
        assert_eq!(mismatched, 5);
    }

    #[test]
    fn a_strange_code_is_not_passed_on() {
        assert_eq!(code_of("room.full"), "backend.room.full");
        for code in ["", "No Such", "a\n", &"x".repeat(65)] {
            assert_eq!(code_of(code), "backend.failed");
        }
    }
}
