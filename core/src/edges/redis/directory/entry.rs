//! What the directory writes into Redis: a hash of each user, with these fields.
//!
//! | field | value |
//! |---|---|
//! | `e` | the user's epoch |
//! | `c{id}` | a claim |
//! | `d{id}` | a claim that was displaced |
//!
//! An id is `{registry}-{revision}-{link}`: the registry in 16 hexadecimal digits, as Lua cannot count so far, the others
//! in decimal. A value is `1 {epoch} {state}`, or `1 {epoch} {state} {device}` of a link with a device: `1` is the version
//! of the form, the state `o` (online) or `r` (resumable).

use std::sync::Arc;

use crate::edges::directory::{Claim, ClaimId, ClaimState, Incarnation, Record, User};

/// The key of a user. No two users have one key. It has no braces, so that Redis takes the slot of a Cluster from all of
/// it.
pub(super) fn key(prefix: &str, (biz, user): &User) -> String {
    let mut key = format!("{prefix}:user:");
    escape(biz, &mut key);
    key.push(':');
    escape(user, &mut key);
    key
}

/// In place of what parts keys.
fn escape(text: &str, key: &mut String) {
    for character in text.chars() {
        match character {
            '%' => key.push_str("%25"),
            ':' => key.push_str("%3A"),
            '{' => key.push_str("%7B"),
            '}' => key.push_str("%7D"),
            other => key.push(other),
        }
    }
}

/// Which entry of a link is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letter {
    Claim,
    Displaced,
}

impl Letter {
    fn text(self) -> char {
        match self {
            Self::Claim => 'c',
            Self::Displaced => 'd',
        }
    }

    pub(super) fn field(self, id: &ClaimId) -> String {
        format!("{}{}", self.text(), id_text(id))
    }
}

/// What follows the letter.
pub(super) fn id_text(id: &ClaimId) -> String {
    let Incarnation { registry, revision } = id.incarnation;
    format!("{registry:016x}-{revision}-{}", id.link)
}

/// The end of a value.
pub(super) fn device_text(device: Option<&Arc<str>>) -> String {
    device.map_or_else(String::new, |device| format!(" {device}"))
}

/// What a user's hash says.
pub(super) fn record(fields: Vec<(Vec<u8>, Vec<u8>)>) -> Record {
    let mut record = Record::default();
    for (field, value) in fields {
        if read_into(&mut record, &field, &value).is_none() {
            record.is_partial = true;
        }
    }
    record.sort();
    record
}

/// `None`: this version cannot read it.
fn read_into(record: &mut Record, field: &[u8], value: &[u8]) -> Option<()> {
    let (field, value) = (
        std::str::from_utf8(field).ok()?,
        std::str::from_utf8(value).ok()?,
    );
    if field == "e" {
        record.epoch = value.parse().ok()?;
        return Some(());
    }
    let (list, id) = if let Some(id) = field.strip_prefix(Letter::Claim.text()) {
        (&mut record.claims, id)
    } else {
        let id = field.strip_prefix(Letter::Displaced.text())?;
        (&mut record.displaced, id)
    };
    list.push(claim(id, value)?);
    Some(())
}

fn claim(id: &str, value: &str) -> Option<Claim> {
    let mut parts = id.split('-');
    let registry = u64::from_str_radix(parts.next()?, 16).ok()?;
    let revision = parts.next()?.parse().ok()?;
    let link = parts.next()?.parse().ok()?;
    let None = parts.next() else { return None };
    let rest = value.strip_prefix("1 ")?;
    let mut parts = rest.splitn(3, ' ');
    let epoch = parts.next()?.parse().ok()?;
    let state = match parts.next()? {
        "o" => ClaimState::Online,
        "r" => ClaimState::Resumable,
        _ => return None,
    };
    Some(Claim {
        id: ClaimId {
            incarnation: Incarnation { registry, revision },
            link,
        },
        device: parts.next().map(Arc::from),
        epoch,
        state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(biz: &str, user: &str) -> User {
        (biz.into(), user.into())
    }

    #[test]
    fn no_two_users_have_one_key_and_none_chooses_its_slot() {
        assert_eq!(
            key("linkgate", &user("chat", "ann")),
            "linkgate:user:chat:ann"
        );
        assert_eq!(
            key("linkgate", &user("a:b", "{c}%:")),
            "linkgate:user:a%3Ab:%7Bc%7D%25%3A"
        );
        assert_ne!(key("l", &user("a:b", "c")), key("l", &user("a", "b:c")));
        assert_ne!(key("l", &user("a%3Ab", "c")), key("l", &user("a:b", "c")));
    }

    #[test]
    fn what_cannot_be_read_makes_a_record_partial() {
        let id = "00000000000000ff-7-9";
        let of = |field: &str, value: &str| record(vec![(field.into(), value.into())]);
        let read = of(&format!("c{id}"), "1 5 r my phone");
        let [claim] = &read.claims[..] else {
            panic!("{read:?}");
        };
        assert_eq!(claim.device.as_deref(), Some("my phone"));
        assert_eq!((claim.epoch, claim.state), (5, ClaimState::Resumable));
        assert_eq!(Letter::Claim.field(&claim.id), format!("c{id}"));
        assert_eq!(
            of(&format!("d{id}"), "1 5 o ").displaced[0]
                .device
                .as_deref(),
            Some("")
        );
        assert_eq!(of(&format!("d{id}"), "1 5 o").displaced[0].device, None);
        for (field, value) in [
            (&*format!("c{id}"), "2 5 o phone"),
            (&format!("c{id}"), "1 5 x phone"),
            (&format!("d{id}"), "1 five o"),
            (&format!("x{id}"), "1 5 o"),
            ("c1-2", "1 5 o"),
            ("c1-2-3-4", "1 5 o"),
            ("e", "many"),
        ] {
            let read = of(field, value);
            assert!(read.is_partial, "{field}: {value}");
            assert!(read.claims.is_empty() && read.displaced.is_empty());
        }
    }
}
