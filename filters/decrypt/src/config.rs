//! `config:` of a `decrypt` entry, and what of it makes sense.

use linkgate_filter::problem::{Path, Problems};
use linkgate_filter::units::ByteSize;
use linkgate_filter::{Deserialize, JsonSchema, Secret};
use serde::Serialize;

use crate::key::Algorithm;

/// Opens what clients have sealed, and seals what goes to them. Before `codec` whole frames, after it bodies alone; in
/// any case before `ack_retry`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The cipher. A change is for new links: those that are open keep the cipher and the keys they began with.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// The key ring, 1 to 16 keys. What is sealed under any of them is opened, so keys rotate step by step: list the new
    /// one, make it `active` once the clients have it, and remove the old one when nothing is `opened_by_old_key` any more.
    pub keys: Vec<Key>,
    /// The `id` of the key that seals what goes to clients. The first of `keys` by default.
    pub active: Option<String>,
    /// How sealed bytes look and which key seals them. `sealed`, the default: a header with the key's id, a key of its own
    /// for each link, derived from the ring's, and the link, the direction and the message's key authenticated with the
    /// text. `interop`, for clients that exist: `nonce || ciphertext || tag` under the ring's key itself, nothing else
    /// authenticated; then one user can replay what was sealed for another.
    #[serde(default)]
    pub mode: Mode,
    /// What to do about a message whose body cannot be opened, whatever the reason. Where whole frames are opened, one
    /// that cannot be has no key to answer to: its link is closed with 4502 (`garbage`) in any case.
    #[serde(default)]
    pub on_refused: Reaction,
    /// Compress what goes to clients before it is sealed, because afterwards it cannot be. Off by default, and not in
    /// `interop` mode. UNSAFE where a body holds a secret beside text that somebody else can choose: who sees the sizes on
    /// the wire can then guess the secret piece by piece (as CRIME and BREACH did).
    pub compress: Option<Compress>,
    /// The largest a compressed text from a client may become, in bytes: `1B` to `64MiB`. Beyond it the message is refused
    /// like one that cannot be opened.
    #[serde(default = "Config::max_decompressed")]
    pub max_decompressed: ByteSize,
}

/// One key of the ring.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Names the key on the wire: 1 to 32 bytes. Never give an id to another key.
    pub id: String,
    /// The key: 16, 24 or 32 random bytes as the `algorithm` wants it, as hex or base64. Best `${file:...}`.
    pub key: Secret,
}

/// What goes before sealing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compress {
    /// `zstd` (RFC 8878), or `deflate` (RFC 1951, raw), which every browser has.
    pub method: Method,
    /// Smaller texts are sealed as they are, and so are those that compression does not shorten. At least `1B`.
    #[serde(default = "Compress::min_size")]
    pub min_size: ByteSize,
}

/// A way to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// RFC 8878.
    Zstd,
    /// RFC 1951, without the frame of zlib or gzip.
    Deflate,
}

/// How sealed bytes look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// With a header, under a key of the link's own.
    #[default]
    Sealed,
    /// `nonce || ciphertext || tag` under the ring's key.
    Interop,
}

/// What to do about a message that cannot be opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    /// Answer it with an UPSTREAM_NACK.
    #[default]
    Nack,
    /// Answer likewise, then close the link.
    Close,
}

impl Config {
    const MOST_KEYS: usize = 16;
    pub(crate) const LONGEST_ID: usize = 32;
    const MOST_DECOMPRESSED: ByteSize = ByteSize::mib(64);

    fn max_decompressed() -> ByteSize {
        ByteSize::kib(64)
    }

    pub(crate) fn check_sizes(&self, problems: &mut Problems) {
        let max = self.max_decompressed;
        if max.bytes() == 0 || max > Self::MOST_DECOMPRESSED {
            problems
                .at("max_decompressed", format!("`{max}` is out of range"))
                .hint(format!("write 1B to {}", Self::MOST_DECOMPRESSED));
        }
        let Some(compress) = self.compress else {
            return;
        };
        if compress.min_size.bytes() == 0 {
            problems
                .at(["compress", "min_size"], "no bytes cannot become fewer")
                .hint("write 1B or more; below some 256B little is won");
        }
        if self.mode == Mode::Interop {
            problems
                .at("compress", "`mode: interop` has no place to say so")
                .hint("remove `compress`, or write `mode: sealed`");
        }
    }

    /// The ring's keys in their order, as far as they can be read.
    pub(crate) fn read_keys(&self, problems: &mut Problems) -> Vec<Vec<u8>> {
        if self.keys.is_empty() || self.keys.len() > Self::MOST_KEYS {
            let what = format!(
                "a ring has 1 to {} keys, not {}",
                Self::MOST_KEYS,
                self.keys.len()
            );
            let hint = "list the key that seals, and those before it that clients may still use";
            problems.at("keys", what).hint(hint);
        }
        let mut read: Vec<Vec<u8>> = Vec::new();
        for (index, key) in self.keys.iter().enumerate() {
            let at = |field: &str| Path::from("keys").then(index).then(field);
            if key.id.is_empty() || key.id.len() > Self::LONGEST_ID {
                problems
                    .at(
                        at("id"),
                        format!("an id has 1 to {} bytes", Self::LONGEST_ID),
                    )
                    .hint("the month it came into use will do: `2026-11`");
            }
            if self.keys[..index].iter().any(|other| other.id == key.id) {
                problems
                    .at(at("id"), format!("two keys have the id `{}`", key.id))
                    .hint("give the newer one another id");
            }
            match self.algorithm.read_key(key.key.expose()) {
                Ok(bytes) => read.push(bytes),
                Err(why) => {
                    let hint = format!(
                        "`openssl rand -hex {}` makes one; keep it in a file: \"${{file:...}}\"",
                        self.algorithm.key_len()
                    );
                    problems.at(at("key"), why).hint(hint);
                }
            }
        }
        read
    }

    pub(crate) fn active_at(&self, problems: &mut Problems) -> usize {
        let Some(active) = &self.active else {
            return 0;
        };
        let found = self.keys.iter().position(|key| key.id == *active);
        if found.is_none() {
            let ids: Vec<_> = self.keys.iter().map(|key| key.id.as_str()).collect();
            problems
                .at("active", format!("no key has the id `{active}`"))
                .hint(format!("`keys:` has {}", ids.join(", ")));
        }
        found.unwrap_or(0)
    }
}

impl Compress {
    fn min_size() -> ByteSize {
        ByteSize::new(256)
    }
}
