//! Which result of a batch belongs to which item.

use linkgate_filter::{Fault, Outcome};
use linkgate_proto::v1::BatchResult;
use linkgate_proto::v1::batch_result::Outcome as Said;

use crate::answer;

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
        Said::Accepted(answer) => answer::read(answer),
        Said::Failed(fault) => answer::refused(fault),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use linkgate_filter::Blame;
    use linkgate_proto::v1::{Fault as WireFault, OnReceiveResponse, fault};

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
        let fault = None;
        Some(Said::Accepted(OnReceiveResponse { body, fault }))
    }

    #[test]
    fn each_item_gets_its_own_result_in_any_order() {
        let refused = WireFault {
            code: "full".into(),
            source: fault::Source::Client.into(),
            retryable: true,
            retry_after_ms: 50,
            effect: fault::Effect::None.into(),
            detail: "the room is full".into(),
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
        assert_eq!(fault.detail, "the room is full");
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
}
