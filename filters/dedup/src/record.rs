//! What stands under a key in the store: who has reserved it, or what became of its message.

use linkgate_filter::{Bytes, Outcome};

const RESERVED: u8 = b'r';
const ACCEPTED: u8 = b'a';
const UNKNOWN: u8 = b'u';

/// What is found under a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// Somebody works on it.
    Reserved,
    /// It was accepted, with this answer.
    Accepted(Outcome),
    /// Nobody knows, and it is not to be tried again.
    Unknown,
}

impl Record {
    /// Whether it is to stand in place of the other.
    pub(crate) fn says_more_than(&self, other: &Self) -> bool {
        match other {
            Self::Reserved => !matches!(self, Self::Reserved),
            Self::Unknown => matches!(self, Self::Accepted(_)),
            Self::Accepted(_) => false,
        }
    }
}

/// Names its owner: a second try of the same owner finds its own.
pub(crate) fn reserved(owner: [u64; 2]) -> Bytes {
    let mut value = vec![RESERVED];
    value.extend(owner.iter().flat_map(|part| part.to_be_bytes()));
    value.into()
}

/// An answer that is too large is left out.
pub(crate) fn accepted(answer: &Bytes, most: usize) -> Bytes {
    let mut value = vec![ACCEPTED];
    if answer.len() <= most {
        value.extend_from_slice(answer);
    }
    value.into()
}

pub(crate) fn unknown() -> Bytes {
    Bytes::from_static(&[UNKNOWN])
}

/// What nobody has written is taken for a reservation: it ends by itself.
pub(crate) fn read(value: &Bytes) -> Record {
    match value.first() {
        Some(&ACCEPTED) => Record::Accepted(Outcome::accepted(value.slice(1..))),
        Some(&UNKNOWN) => Record::Unknown,
        _ => Record::Reserved,
    }
}

/// Where the record of a key stands. `owner` is the escaped text of whom the key belongs to.
pub(crate) fn place(prefix: &str, owner: &str, key: &str) -> String {
    // The owner's text has no colon that is not escaped, so what follows is the key, whatever it holds.
    format!(
        "{prefix}:dedup:{}:{key}",
        owner.replace('%', "%25").replace(':', "%3A")
    )
}
