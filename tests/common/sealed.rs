//! The other end of `decrypt`.

use std::sync::Arc;

use linkgate_decrypt::{Cipher, Config, Part, Place};
use linkgate_filter::{Direction, Identity};

/// A client of the business `chat` that has this key.
pub(crate) fn cipher(key_id: &str, key: &str, user: &str) -> Cipher {
    let config = format!("{{ keys: [{{ id: \"{key_id}\", key: {key} }}] }}");
    let config: Config = serde_yaml::from_str(&config).unwrap();
    Cipher::new(
        Arc::new(config.ring().unwrap()),
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
