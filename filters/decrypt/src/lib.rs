//! `decrypt`: opens what clients have sealed, and seals what goes to them, so that whoever ends their TLS (a load
//! balancer, a content network) sees nothing of it.
//!
//! ```yaml
//! - id: decrypt
//!   use: decrypt
//!   config: { algorithm: aes_256_gcm, keys: [{ id: "2026-11", key: "${file:secrets/2026-11.key}" }] }
//! ```
//!
//! No socket, no clock, and no random numbers but the system's.
//!
//! # Where it stands
//!
//! | place | opened | sealed |
//! |---|---|---|
//! | before `codec` | every frame | every frame |
//! | after `codec` | bodies of UPSTREAM_MESSAGE | bodies of DOWNSTREAM_MESSAGE and UPSTREAM_ACK |
//!
//! After `codec`, every body of these commands is sealed, an empty one too. All else passes as it is: heartbeats,
//! acknowledgements and redirects say nothing of the business, and of a NACK the client must learn even if it has no key.
//!
//! In either place it stands before `ack_retry`, and the loader sees to it: `ack_retry` keeps pushes in clear, and each
//! transmission is sealed anew, once, under the key that is active then.
//!
//! # What is on the wire: `mode: sealed`
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version: `1` |
//! | 1 | compression of the clear text: `0` none, `1` deflate (RFC 1951, raw), `2` zstd (RFC 8878, one frame) |
//! | 1 | length of the key's id, `n` |
//! | n | the key's id, UTF-8 |
//! | 12 | nonce: random, a new one for each text |
//! | any | ciphertext: as long as the text, compressed if it says so |
//! | 16 | tag |
//!
//! *Parts* below are texts side by side, each with its length before it as 4 bytes, big-endian. `device` is left out where
//! the link has none.
//!
//! - **The key** of a link is HKDF-SHA256 (RFC 5869) with the ring's key as input, an empty salt, and as info the parts
//!   `"linkgate sealed 1"`, the algorithm's name as in the config, `biz`, `user`, `device`; as many bytes as the algorithm
//!   takes. Both directions use it.
//! - **Associated data**: all bytes before the nonce, then the parts `"up"` or `"down"`; `"frame"`, `"message"` or
//!   `"answer"` (the body of an UPSTREAM_ACK); the message's `key`, empty for a frame; `biz`, `user`, `device`. So a text
//!   opens for its user, in its direction, under its message's key only: who repeats it repeats the message, which
//!   `dedup` answers.
//!
//! Random nonces of 96 bits repeat with a chance of 2^-33 within 2^32 texts under one key; a link's user sends and gets
//! less in a lifetime.
//!
//! A sealed *frame* keeps its kind: a binary frame holds the bytes above, a text frame their padded standard base64.
//!
//! # `mode: interop`
//!
//! `nonce || ciphertext || tag` under the ring's key itself, without associated data or compression. Nothing says which
//! key it was, so all of the ring are tried. All users share the key: what was sealed for one can be replayed to another,
//! and some 2^32 texts in all are what a key should seal.
//!
//! # Refusals
//!
//! Too short, an unknown version, an unknown key, a wrong tag, or a text that does not decompress within
//! `max_decompressed`: the client is told [`REFUSED`] and nothing more, and each costs the work of opening, so that
//! neither answer nor time says which it was. The counters do: `refused_malformed`, `refused_unknown_key`,
//! `refused_forged`, `refused_too_large`.
//!
//! # Bounds
//!
//! A link keeps as many derived keys as the ring has, from the first use of each on. Opening and sealing take memory for
//! one text at a time; a compressed one ends at `max_decompressed`.

mod cipher;
mod client;
mod compress;
mod config;
mod counters;
mod envelope;
mod filter;
mod key;
mod parts;
mod ring;

use std::sync::{Arc, OnceLock};

use linkgate_filter::client::ClientEnd;
use linkgate_filter::problem::Problems;
use linkgate_filter::{
    Coverage, Fact, FilterType, Form, Growth, Identity, Open, OwnedScope, Prepare, Properties,
};

pub use self::cipher::{Cipher, Opened, Part, Place, Refused};
use self::client::Client;
pub use self::config::{Compress, Config, Key, Method, Mode, Reaction};
use self::counters::Counters;
pub use self::filter::DecryptFilter;
pub use self::key::Algorithm;
pub use self::ring::Ring;

/// The code of the fault of a message that cannot be opened, whatever the reason. Nothing has happened; a retry of the
/// same bytes does not help.
pub const REFUSED: &str = "decrypt.refused";
/// The code of the fault of a push that could not be sealed, because the system had no random numbers.
pub const CANNOT_SEAL: &str = "decrypt.cannot_seal";

/// The filter `decrypt`; see the [crate](self).
pub struct Decrypt(Arc<Shared>);

/// What the links of one entry share.
struct Shared {
    ring: Arc<Ring>,
    on_refused: Reaction,
    counters: OnceLock<Counters>,
}

impl Shared {
    fn counters(&self) -> &Counters {
        self.counters.get_or_init(Counters::default)
    }
}

impl FilterType for Decrypt {
    const NAME: &'static str = "decrypt";
    type Config = Config;
    type Filter = DecryptFilter;

    fn prepare(config: Config, _: &Prepare<'_>) -> Result<Self, Problems> {
        Ok(Self(Arc::new(Shared {
            ring: Arc::new(Ring::of(&config)?),
            on_refused: config.on_refused,
            counters: OnceLock::new(),
        })))
    }

    fn properties(&self) -> Properties {
        Properties::new().needs_link().gives(Fact::CLEAR)
    }

    fn coverage(&self) -> Coverage {
        Coverage::new()
            .raises([REFUSED])
            .never(self.0.ring.is_single(), &["opened_by_old_key"])
    }

    fn growth(&self, form: Form, framed: bool) -> Growth {
        let sealed = Growth::NONE.plus(envelope::LARGEST);
        match form {
            Form::Json if framed => sealed.then(Growth::BASE64),
            _ => sealed,
        }
    }

    fn client(&self, identity: &Identity) -> Option<Box<dyn ClientEnd>> {
        let cipher = Cipher::new(Arc::clone(&self.0.ring), identity.clone());
        Some(Box::new(Client(cipher)))
    }

    fn filter(&self, cx: &Open<'_>) -> DecryptFilter {
        let shared = Arc::clone(&self.0);
        // Looked up once, not for each of many links.
        shared.counters.get_or_init(|| Counters::open(cx));
        // A changed cipher is for new links: the client of this one knows only the one it began with.
        let kept = cx.owned(OwnedScope::Link, || Arc::clone(&shared.ring));
        let ring = kept.with(|ring| {
            if shared.ring.continues(ring) {
                *ring = Arc::clone(&shared.ring);
            }
            Arc::clone(ring)
        });
        // Claimed a moment ago: the successor that could have it by now serves the link in our place.
        let ring = ring.unwrap_or_else(|| Arc::clone(&shared.ring));
        let cipher = Cipher::new(ring, cx.link().identity.clone());
        DecryptFilter::new(shared, cipher)
    }

    fn risk(&self, next: Option<&Self>) -> Option<String> {
        let (ring, Some(next)) = (&self.0.ring, next.map(|next| &next.0.ring)) else {
            return Some("what clients seal is not opened any more".to_owned());
        };
        if (ring.algorithm, ring.mode) != (next.algorithm, next.mode) {
            return Some("new links need clients that seal in the new way".to_owned());
        }
        let missing = ring.missing_in(next);
        (!missing.is_empty()).then(|| {
            let keys = missing.join("`, `");
            format!("what clients still seal under `{keys}` is refused")
        })
    }
}

#[cfg(test)]
mod tests;
