//! Passes large frames on in fragments, each as large as what has come of it. A WebSocket makes room for all that a frame's
//! header announces; so it makes room for what has arrived, and never for what is promised.

use std::io::{self, Cursor};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::BREACH;

/// Frames up to this are passed on as they are: promised is little, and most messages are no larger.
pub(super) const WHOLE: u64 = 2048;
/// The largest payload of a control frame.
const CONTROL: u64 = 125;
/// The longest header.
const HEADER: usize = 14;
/// The longest header of a fragment that was read by itself, which holds less than 64 KiB.
const SHORT: usize = 8;

#[derive(Debug)]
pub(super) struct Fragmenter {
    /// A header of which the rest has not come.
    head: [u8; HEADER],
    head_len: u8,
    within: Within,
    /// A message of which frames are missing.
    open: bool,
    /// What has come of a message in fragments.
    gathered: usize,
    /// Frames beyond this are left to the WebSocket, which refuses them at once.
    max: u64,
}

/// What comes next.
#[derive(Debug)]
enum Within {
    Header,
    /// So much of a frame that is passed on as it is.
    Whole(u64),
    /// So much of a frame that is passed on in fragments.
    Large(Large),
    /// Nothing is looked at any more.
    Off,
}

#[derive(Debug)]
struct Large {
    left: u64,
    /// Of the next fragment, were it the last.
    header: FrameHeader,
}

impl Fragmenter {
    /// For frames of up to `max` bytes.
    pub(super) fn new(max: u64) -> Self {
        Self {
            head: [0; HEADER],
            head_len: 0,
            within: Within::Header,
            open: false,
            gathered: 0,
            max,
        }
    }

    /// Passes on everything as it is from here on.
    pub(super) fn gives_up(&mut self) {
        self.within = Within::Off;
        self.head_len = 0;
    }

    /// Whether nothing is looked at any more.
    pub(super) fn has_given_up(&self) -> bool {
        matches!(self.within, Within::Off)
    }

    /// Whether a frame or a message has begun and its end has not come.
    pub(super) fn is_unfinished(&self) -> bool {
        self.open || self.head_len > 0 || matches!(self.within, Within::Whole(_) | Within::Large(_))
    }

    /// Whether a message has begun of which frames are missing, or most of one.
    pub(super) fn is_within_message(&self) -> bool {
        self.open
    }

    /// What has come of an unfinished message, if it is in fragments.
    pub(super) fn gathered(&self) -> usize {
        self.gathered
    }

    /// Reads from `source`. `buf` has room for a frame's header and more wherever a frame may begin, as the WebSocket's
    /// has.
    pub(super) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        source: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let start = buf.filled().len();
            let ended = match &mut self.within {
                Within::Off => return Pin::new(source).poll_read(cx, buf),
                Within::Large(large) => {
                    let count = ready!(large.poll(source, cx, buf))?;
                    self.gathered += count;
                    if large.left == 0 {
                        let is_final = large.header.is_final;
                        self.frame_ends(is_final);
                    }
                    count == 0
                }
                Within::Header | Within::Whole(_) => ready!(self.poll_frames(source, cx, buf))?,
            };
            if ended || buf.filled().len() > start {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads frames straight to where they are wanted, and looks at them there. Whether that was the end.
    fn poll_frames<S: AsyncRead + Unpin>(
        &mut self,
        source: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let start = buf.filled().len();
        let held = usize::from(self.head_len);
        if buf.remaining() <= held {
            return Poll::Ready(Err(no_room()));
        }
        buf.put_slice(&self.head[..held]);
        let polled = Pin::new(source).poll_read(cx, buf);
        let came = buf.filled().len() - start - held;
        if polled.is_pending() || came == 0 {
            buf.set_filled(start);
            return polled.map_ok(|()| true);
        }
        self.head_len = 0;
        self.look(buf, start);
        Poll::Ready(Ok(false))
    }

    /// Looks at the frames from `at` on. What is not to be passed on yet is taken back.
    fn look(&mut self, buf: &mut ReadBuf<'_>, mut at: usize) {
        loop {
            let end = buf.filled().len();
            if let Within::Whole(left) = &mut self.within {
                let count = (end - at).min(usize::try_from(*left).unwrap_or(usize::MAX));
                at += count;
                *left -= count as u64;
                if *left > 0 {
                    return;
                }
                self.within = Within::Header;
            }
            let bytes = &buf.filled()[at..];
            let mut cursor = Cursor::new(bytes);
            match FrameHeader::parse(&mut cursor) {
                Ok(None) => {
                    // Short of a header, so it fits.
                    self.head[..bytes.len()].copy_from_slice(bytes);
                    self.head_len = bytes.len() as u8;
                    buf.set_filled(at);
                    return;
                }
                Ok(Some((header, length))) => {
                    let size = cursor.position() as usize;
                    match self.begins(header, length) {
                        Begun::AsItIs => at += size,
                        Begun::InFragments(large) => at = self.cut(large, buf, at, size),
                        Begun::Breach => {
                            buf.set_filled(at);
                            buf.put_slice(&BREACH);
                            self.within = Within::Off;
                        }
                    }
                }
                // The WebSocket says what is wrong with it.
                Err(_) => self.within = Within::Off,
            }
            if matches!(self.within, Within::Off | Within::Large(_)) {
                return;
            }
        }
    }

    /// What is to become of a frame with this header.
    fn begins(&mut self, header: FrameHeader, length: u64) -> Begun {
        let OpCode::Data(kind) = header.opcode else {
            self.within = Within::Whole(length);
            return if length > CONTROL {
                Begun::Breach
            } else {
                Begun::AsItIs
            };
        };
        if length > self.max {
            self.within = Within::Off;
            return Begun::AsItIs;
        }
        if length > WHOLE {
            self.open = true;
            return Begun::InFragments(Large {
                left: length,
                header,
            });
        }
        self.within = Within::Whole(length);
        let in_fragments = self.open || kind == Data::Continue || !header.is_final;
        self.gathered += if in_fragments { length as usize } else { 0 };
        self.message(header.is_final);
        Begun::AsItIs
    }

    /// Makes a fragment of what has come of a large frame, whose header of `size` bytes is at `at`. Where it ends.
    fn cut(&mut self, mut large: Large, buf: &mut ReadBuf<'_>, at: usize, size: usize) -> usize {
        let end = buf.filled().len();
        let count = (end - at - size).min(usize::try_from(large.left).unwrap_or(usize::MAX));
        let mut header = [0; HEADER];
        // Where nothing of it has come yet, there is no fragment yet.
        let length = if count > 0 {
            large.fragment(count, &mut header)
        } else {
            0
        };
        let bytes = &mut buf.filled_mut()[at..];
        bytes.copy_within(size.., length);
        bytes[..length].copy_from_slice(&header[..length]);
        buf.set_filled(end - size + length);
        self.gathered += count;
        let is_final = large.header.is_final;
        let is_done = large.left == 0;
        self.within = Within::Large(large);
        if is_done {
            self.frame_ends(is_final);
        }
        at + length + count
    }

    fn frame_ends(&mut self, is_final: bool) {
        self.within = Within::Header;
        self.message(is_final);
    }

    fn message(&mut self, is_final: bool) {
        self.open = !is_final;
        if is_final {
            self.gathered = 0;
        }
    }
}

/// How a frame is passed on.
enum Begun {
    AsItIs,
    InFragments(Large),
    /// Not at all: it breaks the protocol.
    Breach,
}

impl Large {
    /// Reads some of the frame, and makes a fragment of it. How much.
    fn poll<S: AsyncRead + Unpin>(
        &mut self,
        source: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = buf.remaining().saturating_sub(SHORT).min(left);
        let most = most.min(usize::from(u16::MAX));
        if most == 0 {
            return Poll::Ready(Err(no_room()));
        }
        let bytes = buf.initialize_unfilled_to(SHORT + most);
        let mut payload = ReadBuf::new(&mut bytes[SHORT..]);
        ready!(Pin::new(source).poll_read(cx, &mut payload))?;
        let count = payload.filled().len();
        if count > 0 {
            let mut header = [0; HEADER];
            let size = self.fragment(count, &mut header);
            bytes.copy_within(SHORT..SHORT + count, size);
            bytes[..size].copy_from_slice(&header[..size]);
            buf.advance(size + count);
        }
        Poll::Ready(Ok(count))
    }

    /// Writes the header of the next fragment, with so much payload. Its size.
    fn fragment(&mut self, count: usize, bytes: &mut [u8; HEADER]) -> usize {
        self.left -= count as u64;
        let header = FrameHeader {
            is_final: self.left == 0 && self.header.is_final,
            ..self.header.clone()
        };
        let size = header.len(count as u64);
        // There is room for any header.
        let _ = header.format(count as u64, &mut &mut bytes[..]);
        self.header = FrameHeader {
            is_final: self.header.is_final,
            rsv1: false,
            rsv2: false,
            rsv3: false,
            opcode: OpCode::Data(Data::Continue),
            mask: header.mask.map(|mut mask| {
                mask.rotate_left(count % 4);
                mask
            }),
        };
        size
    }
}

fn no_room() -> io::Error {
    io::Error::other("no room for a frame's header in what is read into")
}

#[cfg(test)]
mod tests;
