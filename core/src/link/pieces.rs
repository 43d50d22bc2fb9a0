//! How many frames a client has sent beyond those that its messages tell of: a message can come in any number of pieces,
//! empty ones too.

/// The header of the smallest frame that a client can send.
const HEADER: usize = 6;

/// Bytes of later messages that a read may have brought along.
const AHEAD: usize = 4 * 1024;

/// What has been read and is not accounted for.
#[derive(Debug)]
pub(super) struct Pieces {
    loose: usize,
    largest: usize,
}

impl Pieces {
    /// For messages of up to so many bytes.
    pub(super) fn new(largest: usize) -> Self {
        Self { loose: 0, largest }
    }

    /// Bytes have been read.
    pub(super) fn came(&mut self, bytes: usize) {
        self.loose += bytes;
    }

    /// So many bytes of payload have come out of them, in one frame at least.
    pub(super) fn told(&mut self, payload: usize) {
        let frame = payload + header(payload);
        self.loose = self.loose.saturating_sub(frame);
    }

    /// Frames that nothing else can account for any more. `within`: a message may be half there, and its payload with it.
    pub(super) fn beyond(&mut self, within: bool) -> usize {
        let room = if within { AHEAD + self.largest } else { AHEAD };
        let beyond = self.loose.saturating_sub(room);
        self.loose -= beyond;
        beyond.div_ceil(HEADER)
    }
}

fn header(payload: usize) -> usize {
    match payload {
        0..126 => HEADER,
        126..65536 => HEADER + 2,
        _ => HEADER + 8,
    }
}
