//! Whether what was seen is what a step states.

use super::happened::Seen;
use super::language::{Expectation, Place};
use super::seen::{difference, shortened};
use super::sentences::sentence;

/// Whether it is.
pub(super) fn matches(expectation: &Expectation, seen: &Seen) -> bool {
    is_one_place(expectation, seen) && differs(expectation, seen).is_none()
}

/// Whether what was seen stands in the line in which the step looks.
pub(super) fn is_one_place(expectation: &Expectation, seen: &Seen) -> bool {
    match (client(&expectation.at), client(&seen.at)) {
        (Some(one), Some(other)) => one == other,
        (None, None) if expectation.at == seen.at => match expectation.at {
            Place::Record(_) => expectation.what["topic"] == seen.what["topic"],
            _ => true,
        },
        _ => false,
    }
}

/// The client, where a place is one's.
fn client(place: &Place) -> Option<&str> {
    match place {
        Place::Message(name) | Place::Frame(name) | Place::Closed(name) | Place::Refused(name) => {
            Some(name)
        }
        _ => None,
    }
}

pub(super) fn differs(expectation: &Expectation, seen: &Seen) -> Option<String> {
    let frame = seen.frame.as_ref();
    let what = match (&expectation.at, &seen.at) {
        (Place::Frame(_), Place::Message(_)) => frame.unwrap_or(&seen.what),
        (stated, seen_at) if stated == seen_at => &seen.what,
        _ => return Some(format!("what came is: {}", told_of(seen))),
    };
    let why = difference(&expectation.at, &expectation.what, what)?;
    Some(format!("{why}\n  what came is: {}", sentence(seen)))
}

/// What was seen, for a message.
pub(super) fn told_of(seen: &Seen) -> String {
    shortened(&sentence(seen), 400)
}
