//! What a backend says of a message, as far as a client may hear it.

use std::time::Duration;

use linkgate_filter::{Fault, Outcome};
use linkgate_proto::v1::{Fault as WireFault, OnReceiveResponse};

/// An answer, or a refusal in its place.
pub(crate) fn read(answer: OnReceiveResponse) -> Outcome {
    match answer.fault {
        Some(fault) => refused(fault),
        None => Outcome::accepted(answer.body),
    }
}

/// The backend's own fault.
pub(crate) fn refused(wire: WireFault) -> Outcome {
    const LONGEST: Duration = Duration::from_secs(3600);
    let told = Fault::from(wire);
    Outcome::from_fault(Fault {
        code: code(&told.code).into(),
        retry_after: told.retry_after.map(|wait| wait.min(LONGEST)),
        detail: words(&told.detail).into(),
        ..told
    })
}

/// A code is a metric label: what does not look like one is not passed on. How many of them are counted apart is bounded
/// where they are counted.
fn code(code: &str) -> String {
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

/// The backend's words for the client, of one line.
fn words(detail: &str) -> String {
    const LONGEST: usize = 256;
    let mut words: String = detail.chars().filter(|c| !c.is_control()).collect();
    if words.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| words.is_char_boundary(*end));
        words.truncate(end.unwrap_or_default());
    }
    if words.trim().is_empty() {
        "the backend refused the message".clone_into(&mut words);
    }
    words
}

#[cfg(test)]
mod tests {
    use linkgate_filter::Blame;
    use linkgate_proto::v1::fault;

    use super::*;

    #[test]
    fn a_refusal_keeps_all_that_a_client_may_hear() {
        let wire = WireFault {
            code: "room.full".into(),
            source: fault::Source::Client.into(),
            retryable: true,
            retry_after_ms: 250,
            effect: fault::Effect::None.into(),
            detail: "no more than 500 in a room".into(),
        };
        let fault = Some(wire);
        let outcome = read(OnReceiveResponse {
            body: "unused".into(),
            fault,
        });
        let Outcome::Failed(fault) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(
            (&*fault.code, fault.blame),
            ("backend.room.full", Blame::Client)
        );
        assert_eq!(fault.detail, "no more than 500 in a room");
        assert_eq!(fault.retry_after, Some(Duration::from_millis(250)));
    }

    #[test]
    fn what_is_not_said_is_taken_for_the_worst() {
        let Outcome::Unknown(fault) = refused(WireFault::default()) else {
            panic!("an effect that is not said is unknown");
        };
        assert_eq!((&*fault.code, fault.retry_after), ("backend.failed", None));
        assert_eq!(fault.detail, "the backend refused the message");
    }

    #[test]
    fn strange_codes_and_long_words_are_not_passed_on() {
        assert_eq!(code("room.full"), "backend.room.full");
        for bad in ["", "No Such", "a\n", &"x".repeat(65)] {
            assert_eq!(code(bad), "backend.failed");
        }
        assert_eq!(words("one\r\ntwo\u{7}"), "onetwo");
        assert_eq!(words(&"ü".repeat(1000)).len(), 256);
        let wire = WireFault {
            retryable: true,
            retry_after_ms: u32::MAX,
            ..WireFault::default()
        };
        let Outcome::Unknown(fault) = refused(wire) else {
            panic!("an effect that is not said is unknown");
        };
        assert_eq!(fault.retry_after, Some(Duration::from_secs(3600)));
    }
}
