//! What a client offers in `Sec-WebSocket-Extensions`, and what of it is agreed to: compression (RFC 7692) and nothing
//! else. An offer that cannot be kept to the letter is passed over, as if it had not been made; so is one that is no
//! offer at all.

use http::HeaderMap;
use http::header::{HeaderValue, SEC_WEBSOCKET_EXTENSIONS};

use super::config::Compression;
use crate::wire::deflate::Agreement;

const DEFLATE: &str = "permessage-deflate";

/// The smallest window that can be packed for; the protocol has one that is smaller.
const SMALLEST: u8 = 9;
const LARGEST: u8 = 15;

/// Compression on the terms of the first offer that can be kept, and how the answer says so.
pub(super) fn choose(
    headers: &HeaderMap,
    compression: &Compression,
) -> Option<(Agreement, HeaderValue)> {
    if !compression.enabled {
        return None;
    }
    headers
        .get_all(SEC_WEBSOCKET_EXTENSIONS)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| split(value, ','))
        .filter_map(Offer::read)
        .find_map(|offer| offer.accept(compression))
}

/// Cuts at a separator, not within quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let was_escaped = std::mem::take(&mut escaped);
        match c {
            '"' if !was_escaped => quoted = !quoted,
            '\\' if quoted && !was_escaped => escaped = true,
            _ => {}
        }
        c == separator && !quoted
    })
}

/// What a client asks for and says it can do.
#[derive(Debug, Default)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// Named, perhaps with a value.
    client_max_window_bits: Option<Option<u8>>,
}

impl Offer {
    /// `None` if it is another extension's, or says what cannot be said.
    fn read(text: &str) -> Option<Self> {
        let mut parts = split(text, ';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(DEFLATE) {
            return None;
        }
        let mut offer = Self::default();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim_start())?)),
                None => (part, None),
            };
            match (name.to_ascii_lowercase().as_str(), value) {
                ("server_no_context_takeover", None) if !offer.server_no_context_takeover => {
                    offer.server_no_context_takeover = true;
                }
                ("client_no_context_takeover", None) if !offer.client_no_context_takeover => {
                    offer.client_no_context_takeover = true;
                }
                ("server_max_window_bits", Some(value))
                    if offer.server_max_window_bits.is_none() =>
                {
                    offer.server_max_window_bits = Some(window(value)?);
                }
                ("client_max_window_bits", value) if offer.client_max_window_bits.is_none() => {
                    offer.client_max_window_bits = Some(match value {
                        Some(value) => Some(window(value)?),
                        None => None,
                    });
                }
                _ => return None,
            }
        }
        Some(offer)
    }

    fn accept(&self, compression: &Compression) -> Option<(Agreement, HeaderValue)> {
        let ours = compression.window_bits;
        let window_bits = self.server_max_window_bits.unwrap_or(LARGEST).min(ours);
        if window_bits < SMALLEST {
            return None;
        }
        let keeps = compression.context_takeover && !self.server_no_context_takeover;
        let client_keeps = compression.context_takeover && !self.client_no_context_takeover;
        // Only a client that says it can is held to a window.
        let client_window = self
            .client_max_window_bits
            .map_or(LARGEST, |max| max.unwrap_or(LARGEST).min(ours));
        let mut answer = DEFLATE.to_owned();
        if !keeps {
            answer.push_str("; server_no_context_takeover");
        }
        if !client_keeps {
            answer.push_str("; client_no_context_takeover");
        }
        if self.server_max_window_bits.is_some() || window_bits < LARGEST {
            answer.push_str(&format!("; server_max_window_bits={window_bits}"));
        }
        if client_window < LARGEST {
            answer.push_str(&format!("; client_max_window_bits={client_window}"));
        }
        let agreed = Agreement {
            window_bits,
            keeps,
            client_window_bits: client_window.max(SMALLEST),
            client_keeps,
            level: compression.level,
            min_size: compression.min_size.as_usize(),
        };
        Some((agreed, HeaderValue::try_from(answer).ok()?))
    }
}

/// A value without its quotes. `None` if there is only one of them.
fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(value),
    }
}

/// A window as it has to be written: 8 to 15, without leading zeros.
fn window(value: &str) -> Option<u8> {
    let bits = value.parse().ok()?;
    ((8..=LARGEST).contains(&bits) && value == bits.to_string()).then_some(bits)
}

#[cfg(test)]
mod tests;
