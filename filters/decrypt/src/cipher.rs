//! Sealing and opening for one link. Either end can use it: the gateway here, a client in Rust as well.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use linkgate_filter::{Direction, Identity};

use crate::compress::{expand, shrink};
use crate::config::Mode;
use crate::envelope::Envelope;
use crate::parts::Parts;
use crate::ring::{LinkKeys, Ring};

/// What is sealed, and whither it goes: authenticated with it, so that it opens in its own place only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Which way it travels.
    pub direction: Direction,
    /// What it is.
    pub part: Part,
    /// The key of its message; empty for a frame.
    pub key: &'a str,
}

/// What is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A whole frame.
    Frame,
    /// The body of an UPSTREAM_MESSAGE or a DOWNSTREAM_MESSAGE.
    Message,
    /// The body of an UPSTREAM_ACK.
    Answer,
}

/// Why something was not opened. For the operator's counters only: clients are all told the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is too short, or of an unknown version or compression.
    Malformed,
    /// No key of the ring has the id.
    UnknownKey,
    /// It was not sealed with this key, for this place, or it has been changed since.
    Forged,
    /// Its text does not decompress, or to too much.
    TooLarge,
}

/// What was opened.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    /// The text as it was before it was sealed.
    pub clear: Vec<u8>,
    /// Whether the active key had sealed it.
    pub by_active_key: bool,
}

/// Seals and opens for one link.
pub struct Cipher {
    ring: Arc<Ring>,
    identity: Identity,
    keys: LinkKeys,
}

impl Cipher {
    /// For the link of this identity.
    pub fn new(ring: Arc<Ring>, identity: Identity) -> Self {
        let keys = LinkKeys::default();
        Self {
            ring,
            identity,
            keys,
        }
    }

    /// Seals a text under the active key, compressed if that is wanted and worth it.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn seal(&mut self, place: Place<'_>, clear: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let ring = &self.ring;
        let packed = ring.compress.and_then(|compress| shrink(compress, clear));
        let (method, text) = match (&packed, ring.compress) {
            (Some(packed), Some(compress)) => (Some(compress.method), packed.as_slice()),
            _ => (None, clear),
        };
        let mut sealed = Envelope::header(ring.mode, method, ring.id(ring.active), text.len());
        let aad = associated(ring.mode, &sealed, place, &self.identity);
        // Not the context's random numbers: those can be foretold.
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce)?;
        sealed.extend_from_slice(&nonce);
        let begin = sealed.len();
        sealed.extend_from_slice(text);
        let key = self.keys.get(ring, ring.active, &self.identity)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut sealed[begin..])?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what was sealed. What is refused costs the same work whatever the reason, save for a text that was sealed
    /// with the right key and does not decompress.
    ///
    /// # Errors
    /// Why it was not opened.
    pub fn open(&mut self, place: Place<'_>, sealed: &[u8]) -> Result<Opened, Refused> {
        let ring = Arc::clone(&self.ring);
        let read = Envelope::read(ring.mode, sealed);
        let (envelope, whole) = match read {
            Some(envelope) => (envelope, Ok(())),
            None => (Envelope::DECOY, Err(Refused::Malformed)),
        };
        let (clear, index) = match ring.mode {
            Mode::Interop => {
                let clear = self.try_all(&ring, place, &envelope);
                (whole.and(clear.ok_or(Refused::Forged)))?
            }
            Mode::Sealed => {
                let known = ring.position(envelope.key_id).ok_or(Refused::UnknownKey);
                let index = known.unwrap_or(ring.active);
                let clear = self.try_one(&ring, index, place, &envelope);
                whole?;
                known?;
                (clear.map_err(|_| Refused::Forged)?, index)
            }
        };
        let clear = match envelope.compressed {
            None => clear,
            Some(method) => {
                expand(method, &clear, ring.max_decompressed).ok_or(Refused::TooLarge)?
            }
        };
        Ok(Opened {
            clear,
            by_active_key: index == ring.active,
        })
    }

    /// Nothing says which key it was: the active one first, then the others.
    fn try_all(
        &mut self,
        ring: &Ring,
        place: Place<'_>,
        envelope: &Envelope<'_>,
    ) -> Option<(Vec<u8>, usize)> {
        let others = (0..ring.len()).filter(|index| *index != ring.active);
        std::iter::once(ring.active)
            .chain(others)
            .find_map(|index| Some((self.try_one(ring, index, place, envelope).ok()?, index)))
    }

    fn try_one(
        &mut self,
        ring: &Ring,
        index: usize,
        place: Place<'_>,
        envelope: &Envelope<'_>,
    ) -> Result<Vec<u8>, Unspecified> {
        let aad = associated(ring.mode, envelope.header, place, &self.identity);
        let key = self.keys.get(ring, index, &self.identity)?;
        let nonce = Nonce::assume_unique_for_key(envelope.nonce);
        let mut clear = vec![0; envelope.ciphertext.len()];
        let (ciphertext, tag) = (envelope.ciphertext, envelope.tag);
        key.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, &mut clear)?;
        Ok(clear)
    }
}

/// What is authenticated beside the text: the header as it is, then direction, part, key and identity.
fn associated(mode: Mode, header: &[u8], place: Place<'_>, identity: &Identity) -> Vec<u8> {
    if mode == Mode::Interop {
        return Vec::new();
    }
    let direction: &[u8] = match place.direction {
        Direction::Upstream => b"up",
        Direction::Downstream => b"down",
    };
    let part: &[u8] = match place.part {
        Part::Frame => b"frame",
        Part::Message => b"message",
        Part::Answer => b"answer",
    };
    Parts::after(header)
        .then(direction)
        .then(part)
        .then(place.key.as_bytes())
        .identity(identity)
        .into_bytes()
}

impl fmt::Debug for Cipher {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cipher")
            .field("ring", &self.ring)
            .finish_non_exhaustive()
    }
}
