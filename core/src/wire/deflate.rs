//! Compressed messages (permessage-deflate, RFC 7692), as a server receives and sends them. What two sides agree on is
//! negotiated elsewhere.

mod pool;
#[cfg(test)]
mod tests;
mod unpack;

use flate2::{Compress, FlushCompress};

use self::unpack::Unpacker;

/// What follows each message in the deflate stream and is not sent.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// What a message may grow by if it cannot be compressed, up to 16 KiB.
pub const GROWTH: usize = 64;

/// What client and listener have agreed on, and what the listener does of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The window of what is sent, 9 to 15.
    pub window_bits: u8,
    /// What is sent may refer to earlier messages.
    pub keeps: bool,
    /// The window of what the client sends, 9 to 15.
    pub client_window_bits: u8,
    /// What the client sends may refer to its earlier messages.
    pub client_keeps: bool,
    /// 1 (fast) to 9 (small).
    pub level: u8,
    /// Smaller messages are not compressed, in bytes.
    pub min_size: usize,
}

/// The compression of one link.
#[derive(Debug)]
pub(super) struct Deflate {
    agreed: Agreement,
    pub(super) unpacker: Unpacker,
    /// Only of a link that keeps it from message to message, once it has sent one.
    packer: Option<Compress>,
}

impl Deflate {
    pub(super) fn new(agreed: Agreement) -> Self {
        Self {
            agreed,
            unpacker: Unpacker::new(agreed.client_keeps, agreed.client_window_bits),
            packer: None,
        }
    }

    /// The payload of a compressed message, or `None` if it is better sent as it is.
    pub(super) fn pack(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let Agreement {
            level, window_bits, ..
        } = self.agreed;
        if body.len() < self.agreed.min_size {
            return None;
        }
        if body.is_empty() {
            return Some(vec![0]);
        }
        if self.agreed.keeps {
            let packer = self
                .packer
                .get_or_insert_with(|| pool::new_packer(level, window_bits));
            // A message that was packed has to be sent so: those after it may refer to it.
            let packed = pack_with(packer, body);
            if packed.is_none() {
                self.packer = None;
            }
            return packed;
        }
        let mut packer = pool::packer(level, window_bits);
        let packed = pack_with(&mut packer, body)?;
        pool::give_packer(packer, level, window_bits);
        (packed.len() < body.len()).then_some(packed)
    }
}

fn pack_with(packer: &mut Compress, body: &[u8]) -> Option<Vec<u8>> {
    let mut packed = Vec::with_capacity(body.len() / 2 + GROWTH);
    let mut rest = body;
    loop {
        let before = packer.total_in();
        packer
            .compress_vec(rest, &mut packed, FlushCompress::Sync)
            .ok()?;
        let taken = usize::try_from(packer.total_in() - before).ok()?;
        rest = rest.get(taken..)?;
        // Room that is left over says that all of it is out.
        if rest.is_empty() && packed.len() < packed.capacity() {
            break;
        }
        packed.reserve(packed.len());
    }
    packed.truncate(packed.strip_suffix(&TAIL)?.len());
    packed.shrink_to_fit();
    Some(packed)
}
