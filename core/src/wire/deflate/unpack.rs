//! Turns the frames of a client into frames without compression, for a WebSocket that knows none. Messages are unpacked
//! piece by piece while they are read, so that the WebSocket's limit stops one that grows too large before it is there.

mod packed;

use std::io::{self, Cursor};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use flate2::{Decompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use self::packed::Packed;
use super::{TAIL, pool};
use crate::wire::BREACH;

/// Read from the connection at a time.
const INPUT: usize = 1024;
/// Unpacked at a time, and passed on as a frame.
const PIECE: usize = 2048;
/// Room for the header of such a frame: it is masked, with zeros.
const HEADER: usize = 8;
/// What an inflater takes.
const INFLATER: usize = 48 * 1024;

#[derive(Debug)]
pub(in crate::wire) struct Unpacker {
    /// Read, and not looked at.
    input: Vec<u8>,
    input_at: usize,
    /// To be passed on.
    output: Vec<u8>,
    output_at: usize,
    within: Within,
    /// A message of which frames are missing.
    message: Option<Message>,
    inflater: Option<Decompress>,
    /// The client refers to earlier messages: the inflater stays.
    keeps: bool,
    window_bits: u8,
    count: usize,
    heard: bool,
}

/// What comes next in the input.
#[derive(Debug)]
enum Within {
    Header,
    /// So much of a frame that is passed on as it is.
    Plain(u64),
    Packed {
        /// Not read yet.
        left: u64,
        mask: [u8; 4],
        is_final: bool,
        /// So much of the input has been unmasked.
        unmasked: usize,
    },
    /// All of a compressed message is there: from here on the tail that is not sent.
    Tail(usize),
    /// The client broke the protocol: nothing is looked at any more.
    Broken,
}

#[derive(Debug)]
enum Message {
    Plain,
    Packed(Packed),
}

/// The client broke the protocol.
struct Breach;

impl Unpacker {
    pub(super) fn new(keeps: bool, window_bits: u8) -> Self {
        Self {
            input: Vec::new(),
            input_at: 0,
            output: Vec::new(),
            output_at: 0,
            within: Within::Header,
            message: None,
            inflater: None,
            keeps,
            window_bits,
            count: 0,
            heard: false,
        }
    }

    /// Bytes that came since this was last asked, had they not been compressed.
    pub(in crate::wire) fn take_count(&mut self) -> usize {
        std::mem::take(&mut self.count)
    }

    /// Whether any byte came since this was last asked.
    pub(in crate::wire) fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Whether a frame or a message has begun and its end has not come.
    pub(in crate::wire) fn is_unfinished(&self) -> bool {
        let is_between = matches!(self.within, Within::Header | Within::Broken);
        self.message.is_some() || self.input_at < self.input.len() || !is_between
    }

    /// Whether a message has begun of which frames are missing.
    pub(in crate::wire) fn is_within_message(&self) -> bool {
        self.message.is_some()
    }

    /// What is kept for a message that is not finished, beside what has been unpacked of it.
    pub(in crate::wire) fn holds(&self) -> usize {
        // One that is kept from message to message is none of this one's.
        if self.inflater.is_some() && !self.keeps {
            INFLATER
        } else {
            0
        }
    }

    pub(in crate::wire) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            self.pass_on(buf);
            if buf.filled().len() > before || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => {
                    if ready!(self.poll_input(stream, cx))? == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Err(Breach) => self.breaks(),
            }
        }
    }

    /// Nothing is kept.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.inflater.is_none() && self.message.is_none()
    }

    /// Gives out what there is.
    fn pass_on(&mut self, buf: &mut ReadBuf<'_>) {
        let ready = &self.output[self.output_at..];
        let count = ready.len().min(buf.remaining());
        buf.put_slice(&ready[..count]);
        self.output_at += count;
        let left = match self.within {
            Within::Plain(left) => usize::try_from(left).unwrap_or(usize::MAX),
            Within::Broken => usize::MAX,
            _ => return,
        };
        if self.output_at < self.output.len() {
            return;
        }
        let ready = &self.input[self.input_at..];
        let count = ready.len().min(left).min(buf.remaining());
        buf.put_slice(&ready[..count]);
        self.input_at += count;
        self.count += count;
        if let Within::Plain(left) = &mut self.within {
            *left -= count as u64;
            if *left == 0 {
                self.within = Within::Header;
            }
        }
    }

    /// Reads more. How much; 0 at the end. An idle link keeps no buffer.
    fn poll_input<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut bytes = [0; INPUT];
        let mut read = ReadBuf::new(&mut bytes);
        let polled = Pin::new(stream).poll_read(cx, &mut read);
        if polled.is_pending() {
            self.output = Vec::new();
            self.output_at = 0;
            if self.input_at == self.input.len() {
                self.input = Vec::new();
                self.input_at = 0;
            }
        }
        ready!(polled)?;
        self.input.drain(..self.input_at);
        self.input_at = 0;
        self.input.extend_from_slice(read.filled());
        self.heard |= !read.filled().is_empty();
        self.unmask();
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Works on the input. `false`: more has to be read first.
    fn advance(&mut self) -> Result<bool, Breach> {
        match self.within {
            Within::Header => self.header(),
            Within::Plain(_) | Within::Broken => Ok(false),
            Within::Packed { .. } | Within::Tail(_) => self.inflate(),
        }
    }

    fn header(&mut self) -> Result<bool, Breach> {
        let ready = &self.input[self.input_at..];
        let mut cursor = Cursor::new(ready);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Breach)?;
        let Some((header, length)) = parsed else {
            return Ok(false);
        };
        let size = usize::try_from(cursor.position()).map_err(|_| Breach)?;
        let bytes = &ready[..size];
        self.count += size;
        self.input_at += size;
        if header.rsv2 || header.rsv3 {
            return Err(Breach);
        }
        let open = self.message.as_ref();
        let packed = match (header.opcode, open) {
            (OpCode::Control(_), _) if header.rsv1 => return Err(Breach),
            (OpCode::Control(_), _) => false,
            (OpCode::Data(Data::Continue), Some(_)) if header.rsv1 => return Err(Breach),
            (OpCode::Data(Data::Continue), Some(message)) => matches!(message, Message::Packed(_)),
            (OpCode::Data(Data::Text | Data::Binary), None) => {
                self.message = Some(if header.rsv1 {
                    Message::Packed(Packed::new(header.opcode.into()))
                } else {
                    Message::Plain
                });
                header.rsv1
            }
            (OpCode::Data(_), _) => return Err(Breach),
        };
        if packed {
            self.within = Within::Packed {
                left: length,
                mask: header.mask.ok_or(Breach)?,
                is_final: header.is_final,
                unmasked: 0,
            };
            self.unmask();
            return Ok(true);
        }
        if header.is_final && matches!(header.opcode, OpCode::Data(_)) {
            self.message = None;
        }
        self.output.clear();
        self.output.extend_from_slice(bytes);
        self.output_at = 0;
        if length > 0 {
            self.within = Within::Plain(length);
        }
        Ok(true)
    }

    /// Takes the mask off what has come of a compressed frame.
    fn unmask(&mut self) {
        let Within::Packed {
            left,
            mask,
            unmasked,
            ..
        } = &mut self.within
        else {
            return;
        };
        let ready = &mut self.input[self.input_at + *unmasked..];
        let count = ready
            .len()
            .min(usize::try_from(*left).unwrap_or(usize::MAX));
        for (byte, mask) in ready[..count].iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        mask.rotate_left(count % 4);
        *left -= count as u64;
        *unmasked += count;
    }

    /// Unpacks up to a piece. `false`: more has to be read first.
    fn inflate(&mut self) -> Result<bool, Breach> {
        let Some(Message::Packed(message)) = &mut self.message else {
            return Err(Breach);
        };
        let (keeps, window_bits) = (self.keeps, self.window_bits);
        let inflater = self.inflater.get_or_insert_with(|| {
            if keeps {
                pool::new_unpacker(window_bits)
            } else {
                pool::unpacker()
            }
        });
        self.output.clear();
        self.output.reserve_exact(HEADER + PIECE);
        self.output.resize(HEADER, 0);
        self.output_at = HEADER;
        let finished = loop {
            let (input, is_tail) = match &self.within {
                Within::Packed { unmasked, .. } => {
                    (&self.input[self.input_at..self.input_at + unmasked], false)
                }
                Within::Tail(at) => (&TAIL[*at..], true),
                _ => return Err(Breach),
            };
            let (read, unpacked) = (inflater.total_in(), inflater.total_out());
            let status = inflater
                .decompress_vec(input, &mut self.output, FlushDecompress::Sync)
                .map_err(|_| Breach)?;
            let read = inflater.total_in() - read;
            let taken = usize::try_from(read).map_err(|_| Breach)?;
            let unpacked = inflater.total_out() - unpacked;
            let stuck = taken == 0 && unpacked == 0;
            let all = taken == input.len();
            message.unpacked += unpacked;
            if !is_tail {
                message.read += read;
            }
            if status == Status::StreamEnd {
                message.ended = true;
                inflater.reset(false);
            }
            match &mut self.within {
                Within::Packed { unmasked, .. } => {
                    *unmasked -= taken;
                    self.input_at += taken;
                }
                Within::Tail(at) => *at += taken,
                _ => {}
            }
            if self.output.len() == self.output.capacity() {
                break None;
            }
            if !all {
                // What follows the end of a stream is another one.
                if stuck && status != Status::StreamEnd {
                    return Err(Breach);
                }
                continue;
            }
            match &self.within {
                Within::Packed {
                    left: 0,
                    is_final: true,
                    ..
                } => self.within = Within::Tail(0),
                Within::Packed { left: 0, .. } => {
                    self.within = Within::Header;
                    break Some(false);
                }
                Within::Packed { .. } => break Some(false),
                _ => {
                    self.within = Within::Header;
                    break Some(true);
                }
            }
        };
        self.count += message.count();
        let is_last = finished == Some(true);
        let any = self.output.len() > HEADER;
        if is_last || any {
            self.output_at = write_header(&mut self.output, message.opcode, is_last);
            message.opcode = 0;
        }
        if is_last {
            self.message_ends();
        }
        // Where a frame goes on behind the input there is nothing more to do here.
        Ok(is_last || any || matches!(self.within, Within::Header))
    }

    fn message_ends(&mut self) {
        let ended = matches!(&self.message, Some(Message::Packed(message)) if message.ended);
        self.message = None;
        if !self.keeps
            && let Some(inflater) = self.inflater.take()
        {
            pool::give_unpacker(inflater);
        } else if ended && let Some(inflater) = &mut self.inflater {
            inflater.reset(false);
        }
    }

    fn breaks(&mut self) {
        self.output.clear();
        self.output.extend_from_slice(&BREACH);
        self.output_at = 0;
        self.within = Within::Broken;
        self.message = None;
        self.inflater = None;
    }
}

/// Writes the header of a piece into the room before it. Where it begins.
fn write_header(output: &mut [u8], opcode: u8, is_final: bool) -> usize {
    let first = opcode | if is_final { 0x80 } else { 0 };
    let length = output.len() - HEADER;
    match u8::try_from(length) {
        Ok(short @ 0..126) => {
            output[2..4].copy_from_slice(&[first, 0x80 | short]);
            2
        }
        _ => {
            // A piece has no more than two bytes can tell.
            let [high, low] = (length as u16).to_be_bytes();
            output[..4].copy_from_slice(&[first, 0x80 | 126, high, low]);
            0
        }
    }
}
