//! The other end of `decrypt`.

use std::sync::Arc;

use linkgate_decrypt::{Cipher, Config, Part, Place};
use linkgate_filter::{Direction, Identity};

/// A client of the business `chat` that has this key.
pub(crate) fn cipher(key_id: &str, key: &str, user: &str) -> Cipher {
    cipher_with(&[(key_id, key)], user)
}

/// A client of the business `chat` that has these keys and seals with the first.
pub(crate) fn cipher_with(keys: &[(&str, &str)], user: &str) -> Cipher {
    let ring = keys
        .iter()
        .map(|(id, key)| format!("{{ id: \"{id}\", key: {key} }}"));
    let ring = ring.collect::<Vec<_>>().join(", ");
    let config = format!("{{ active: \"{}\", keys: [{ring}] }}", keys[0].0);
    let config: Config = serde_yaml::from_str(&config).unwrap();
    Cipher::new(
        Arc::new(linkgate_decrypt::Ring::of(&config).unwrap()),
        Identity::new("chat", user),
    )
}

/// Where a body stands.
pub(crate) fn place(direction: Direction, part: Part, key: &str) -> Place<'_> {
    Place {
        direction,
        part,
        key,
    }
}
