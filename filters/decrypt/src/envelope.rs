//! Sealed bytes as they lie on the wire; the [crate](crate) says what they mean. Only places and lengths: no key, no
//! cipher.

use aws_lc_rs::aead::NONCE_LEN;

use crate::config::{Config, Method, Mode};

/// The only version so far.
const VERSION: u8 = 1;

/// Bytes of the tag.
pub(crate) const TAG_LEN: usize = 16;

/// The most that a seal adds, whatever the mode: version, compression, the key's id with its length, nonce and tag.
pub(crate) const LARGEST: usize = 3 + Config::LONGEST_ID + NONCE_LEN + TAG_LEN;

/// What sealed bytes consist of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Envelope<'a> {
    /// All before the nonce; empty in `interop` mode.
    pub(crate) header: &'a [u8],
    /// How the clear text is compressed.
    pub(crate) compressed: Option<Method>,
    /// Which key sealed it; empty in `interop` mode.
    pub(crate) key_id: &'a [u8],
    pub(crate) nonce: [u8; NONCE_LEN],
    pub(crate) ciphertext: &'a [u8],
    pub(crate) tag: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// What is tried in place of bytes that are no envelope.
    pub(crate) const DECOY: Envelope<'static> = Envelope {
        header: &[],
        compressed: None,
        key_id: &[],
        nonce: [0; NONCE_LEN],
        ciphertext: &[],
        tag: &[0; TAG_LEN],
    };

    /// Takes sealed bytes apart. `None`: they are too short, or of a version or a compression that is not known.
    pub(crate) fn read(mode: Mode, sealed: &'a [u8]) -> Option<Self> {
        let (compressed, key_id, header, rest) = match mode {
            Mode::Interop => (None, &sealed[..0], &sealed[..0], sealed),
            Mode::Sealed => {
                let [VERSION, method, id_len, rest @ ..] = sealed else {
                    return None;
                };
                let compressed = match method {
                    0 => None,
                    1 => Some(Method::Deflate),
                    2 => Some(Method::Zstd),
                    _ => return None,
                };
                let (key_id, rest) = rest.split_at_checked(usize::from(*id_len))?;
                (compressed, key_id, &sealed[..3 + key_id.len()], rest)
            }
        };
        let (nonce, rest) = rest.split_first_chunk()?;
        let (ciphertext, tag) = rest.split_at_checked(rest.len().checked_sub(TAG_LEN)?)?;
        Some(Self {
            header,
            compressed,
            key_id,
            nonce: *nonce,
            ciphertext,
            tag,
        })
    }

    /// Begins the sealed form of `clear_len` bytes, with room for all that follows.
    pub(crate) fn header(
        mode: Mode,
        compressed: Option<Method>,
        key_id: &str,
        clear_len: usize,
    ) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(3 + key_id.len() + NONCE_LEN + clear_len + TAG_LEN);
        if mode == Mode::Sealed {
            let method = match compressed {
                None => 0,
                Some(Method::Deflate) => 1,
                Some(Method::Zstd) => 2,
            };
            // The config has ids of 32 bytes at the most.
            let id_len = u8::try_from(key_id.len()).unwrap_or(u8::MAX);
            sealed.extend_from_slice(&[VERSION, method, id_len]);
            sealed.extend_from_slice(key_id.as_bytes());
        }
        sealed
    }
}
