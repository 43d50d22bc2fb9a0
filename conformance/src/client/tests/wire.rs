//! A WebSocket client by hand, as its library's bugs are to be played too.

use std::io;

use bytes::{Buf, BytesMut};
use linkgate_filter::Form;
use linkgate_proto::v1::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bug::Bug;
use crate::client::frames;

pub(super) struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
    form: Form,
    bug: Bug,
    pieces: Vec<u8>,
}

pub(super) enum Opened {
    Wire(Wire),
    Refused { status: u16, retry_after: u64 },
}

pub(super) enum Heard {
    Message(Vec<u8>),
    Nothing,
    Closed(u16),
}

impl Wire {
    pub(super) async fn open(url: &str, form: Form, token: &str, bug: Bug) -> io::Result<Opened> {
        let (address, path) = url["ws://".len()..].split_once('/').unwrap();
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = linkgate_client::subprotocol(form);
        let request = format!(
            "GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {name}, linkgate.token.{token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut buffer = BytesMut::new();
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head = String::from_utf8(buffer.split_to(end).to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let retry_after = head.split("Retry-After: ").nth(1);
        let retry_after =
            retry_after.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
        if status != 101 {
            return Ok(Opened::Refused {
                status,
                retry_after,
            });
        }
        if bug == Bug::ReadsOnce {
            buffer.clear();
        }
        let pieces = Vec::new();
        Ok(Opened::Wire(Self {
            stream,
            buffer,
            form,
            bug,
            pieces,
        }))
    }

    /// Safe to cancel.
    pub(super) async fn next(&mut self) -> io::Result<Heard> {
        loop {
            if let Some((last, opcode, payload)) = self.parse() {
                return self.took(last, opcode, payload).await;
            }
            if self.bug == Bug::ReadsOnce {
                self.buffer.clear();
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn parse(&mut self) -> Option<(bool, u8, Vec<u8>)> {
        let (first, second) = (*self.buffer.first()?, *self.buffer.get(1)?);
        let extended = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let bytes = self.buffer.get(2..2 + extended)?;
        let length = match extended {
            0 => usize::from(second),
            _ => bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte)),
        };
        if self.buffer.len() < 2 + extended + length {
            return None;
        }
        self.buffer.advance(2 + extended);
        let payload = self.buffer.split_to(length).to_vec();
        if self.bug == Bug::ReadsOnce {
            self.buffer.clear();
        }
        Some((first & 0x80 != 0, first & 0x0f, payload))
    }

    async fn took(&mut self, last: bool, opcode: u8, payload: Vec<u8>) -> io::Result<Heard> {
        match opcode {
            frames::PING => {
                if self.bug != Bug::NoPong {
                    self.frame(frames::PONG, &payload).await?;
                }
                Ok(Heard::Nothing)
            }
            frames::CLOSE => {
                if self.bug != Bug::NoCloseAnswer {
                    self.frame(frames::CLOSE, &payload).await?;
                }
                Ok(Heard::Closed(u16::from_be_bytes([payload[0], payload[1]])))
            }
            frames::PONG => Ok(Heard::Nothing),
            _ if self.bug == Bug::NoFragments => Ok(Heard::Message(payload)),
            _ => {
                self.pieces.extend(payload);
                Ok(if last {
                    Heard::Message(std::mem::take(&mut self.pieces))
                } else {
                    Heard::Nothing
                })
            }
        }
    }

    pub(super) async fn say(&mut self, message: &Message) -> io::Result<()> {
        let payload = frames::encode(self.form, message);
        self.frame(frames::opcode(self.form), &payload).await
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) {
        if self.bug != Bug::HangsUp {
            self.frame(frames::CLOSE, &1000_u16.to_be_bytes())
                .await
                .ok();
            while let Ok(Heard::Message(_) | Heard::Nothing) = self.next().await {}
        }
    }

    async fn frame(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        let mut frame = frames::build(true, opcode, payload);
        let header = frame.len() - payload.len();
        let mask = if self.bug == Bug::NoMask {
            &[][..]
        } else {
            &[0; 4]
        };
        if self.bug != Bug::NoMask {
            frame[1] |= 0x80;
        }
        frame.splice(header..header, mask.iter().copied());
        self.stream.write_all(&frame).await
    }
}
