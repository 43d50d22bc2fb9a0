//! Compressors and decompressors that links borrow for one message. Each worker thread keeps a few: they are large, and
//! dear to make.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress};

/// The largest window: it unpacks what was packed with any.
const LARGEST: u8 = 15;

/// Kept per thread. A listener's links all ask for the same compressor, so more than a few kinds are rare; a
/// decompressor is out for as long as its message takes to arrive, so several come back at once.
const PACKERS: usize = 2;
const UNPACKERS: usize = 8;

struct Packer {
    level: u8,
    window_bits: u8,
    packer: Compress,
}

#[derive(Default)]
struct Pool {
    packers: Vec<Packer>,
    unpackers: Vec<Decompress>,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

pub(super) fn new_packer(level: u8, window_bits: u8) -> Compress {
    Compress::new_with_window_bits(Compression::new(level.into()), false, window_bits)
}

pub(super) fn new_unpacker(window_bits: u8) -> Decompress {
    Decompress::new_with_window_bits(false, window_bits)
}

/// A fresh compressor.
pub(super) fn packer(level: u8, window_bits: u8) -> Compress {
    let kept = POOL.with_borrow_mut(|pool| {
        let fits = |kept: &Packer| (kept.level, kept.window_bits) == (level, window_bits);
        let at = pool.packers.iter().position(fits)?;
        Some(pool.packers.remove(at).packer)
    });
    kept.unwrap_or_else(|| new_packer(level, window_bits))
}

/// Takes a compressor back.
pub(super) fn give_packer(mut packer: Compress, level: u8, window_bits: u8) {
    packer.reset();
    POOL.with_borrow_mut(|pool| {
        // The kind that was asked for least recently makes room.
        if pool.packers.len() == PACKERS {
            pool.packers.remove(0);
        }
        pool.packers.push(Packer {
            level,
            window_bits,
            packer,
        });
    });
}

/// A fresh decompressor, for any window.
pub(super) fn unpacker() -> Decompress {
    POOL.with_borrow_mut(|pool| pool.unpackers.pop())
        .unwrap_or_else(|| new_unpacker(LARGEST))
}

/// Takes back a decompressor that [`unpacker`] gave.
pub(super) fn give_unpacker(mut unpacker: Decompress) {
    unpacker.reset(false);
    POOL.with_borrow_mut(|pool| {
        if pool.unpackers.len() < UNPACKERS {
            pool.unpackers.push(unpacker);
        }
    });
}
