//! A compressed message, half there.

#[derive(Debug)]
pub(super) struct Packed {
    /// The first byte of the next piece: the message's kind, then 0, a continuation.
    pub(super) opcode: u8,
    pub(super) read: u64,
    pub(super) unpacked: u64,
    counted: u64,
    /// It ended the deflate stream.
    pub(super) ended: bool,
}

impl Packed {
    /// The beginning of one of this kind.
    pub(super) fn new(opcode: u8) -> Self {
        Self {
            opcode,
            read: 0,
            unpacked: 0,
            counted: 0,
            ended: false,
        }
    }

    /// What has to be counted beside what was: what was unpacked. Bytes that come to nothing count themselves, as far as
    /// there are more than a message needs.
    pub(super) fn count(&mut self) -> usize {
        let usual = self.read / 8 + 16;
        let total = self.unpacked.max(self.read.saturating_sub(usual));
        let more = total.saturating_sub(self.counted);
        self.counted += more;
        usize::try_from(more).unwrap_or(usize::MAX)
    }
}
