//! Ciphers, and the text of their keys. What is wrong with a key is said without showing any of it.

use aws_lc_rs::aead;
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use linkgate_filter::{Deserialize, JsonSchema};
use serde::Serialize;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// A cipher that authenticates what it seals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// AES-GCM with keys of 16 bytes.
    #[serde(rename = "aes_128_gcm")]
    Aes128Gcm,
    /// AES-GCM with keys of 24 bytes.
    #[serde(rename = "aes_192_gcm")]
    Aes192Gcm,
    /// AES-GCM with keys of 32 bytes.
    #[default]
    #[serde(rename = "aes_256_gcm")]
    Aes256Gcm,
    /// RFC 8439, with keys of 32 bytes. The faster one for clients without AES in hardware.
    #[serde(rename = "chacha20_poly1305")]
    ChaCha20Poly1305,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Aes128Gcm,
        Self::Aes192Gcm,
        Self::Aes256Gcm,
        Self::ChaCha20Poly1305,
    ];

    /// As the config writes it, and as it goes into the derivation of keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "aes_128_gcm",
            Self::Aes192Gcm => "aes_192_gcm",
            Self::Aes256Gcm => "aes_256_gcm",
            Self::ChaCha20Poly1305 => "chacha20_poly1305",
        }
    }

    /// Bytes of a key.
    pub fn key_len(self) -> usize {
        self.cipher().key_len()
    }

    pub(crate) fn cipher(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes128Gcm => &aead::AES_128_GCM,
            Self::Aes192Gcm => &aead::AES_192_GCM,
            Self::Aes256Gcm => &aead::AES_256_GCM,
            Self::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        }
    }

    /// Reads a key: hex of either case, or base64 of either alphabet, padded or not.
    pub(crate) fn read_key(self, text: &str) -> Result<Vec<u8>, String> {
        let text = text.trim();
        let wanted = self.key_len();
        // Base64 that happens to be hex throughout is no random key, so all hex is read as hex.
        let bytes = match hex(text) {
            Some(bytes) => bytes,
            None => base64(text).ok_or("the key is neither hex nor base64")?,
        };
        if bytes.len() == wanted {
            return Ok(bytes);
        }
        let (has, name) = (bytes.len(), self.name());
        Err(format!(
            "the key has {has} bytes, and `{name}` takes {wanted}"
        ))
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) {
        return None;
    }
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    Some(digits?.chunks(2).map(|two| two[0] << 4 | two[1]).collect())
}

fn base64(text: &str) -> Option<Vec<u8>> {
    [&STANDARD, &URL_SAFE]
        .into_iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, LENIENT).decode(text).ok())
}
