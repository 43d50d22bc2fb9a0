//! Compression before sealing, and its reverse within a bound.

use std::io::{self, Read};

use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};

use crate::config::{Compress, Method};

/// A sender may make a receiver keep so much of what it has decompressed (RFC 8878 asks for 8 MiB): its logarithm.
const MOST_WINDOW: u32 = 23;

/// The text compressed, if it is worth it.
pub(crate) fn shrink(compress: Compress, clear: &[u8]) -> Option<Vec<u8>> {
    if clear.len() < compress.min_size.as_usize() {
        return None;
    }
    let packed = match compress.method {
        Method::Zstd => zstd::bulk::compress(clear, zstd::DEFAULT_COMPRESSION_LEVEL).ok()?,
        Method::Deflate => {
            let mut packed = Vec::new();
            let mut encoder = DeflateEncoder::new(clear, Compression::default());
            encoder.read_to_end(&mut packed).ok()?;
            packed
        }
    };
    (packed.len() < clear.len()).then_some(packed)
}

/// The text that was compressed. `None`: it is none, or would have more than `max` bytes. Never keeps more than those.
pub(crate) fn expand(method: Method, packed: &[u8], max: usize) -> Option<Vec<u8>> {
    let clear = match method {
        Method::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).ok()?;
            decoder.window_log_max(MOST_WINDOW).ok()?;
            read_within(decoder.single_frame(), max)
        }
        Method::Deflate => read_within(DeflateDecoder::new(packed), max),
    };
    clear.ok().filter(|clear| clear.len() <= max)
}

fn read_within(source: impl Read, max: usize) -> io::Result<Vec<u8>> {
    let mut clear = Vec::new();
    let one_too_many = (max as u64).saturating_add(1);
    source.take(one_too_many).read_to_end(&mut clear)?;
    Ok(clear)
}
