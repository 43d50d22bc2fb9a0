//! A connection that may break every rule: bytes, HTTP by hand, single WebSocket frames.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wait::within;

/// Opcodes of RFC 6455.
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// The first bit of the first byte: the last frame of a message.
pub(crate) const FIN: u8 = 0x80;

const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// A TCP connection.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    /// Opens one, and sends nothing.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(address)).await;
        Self(stream.unwrap())
    }

    /// Opens a link of the business `chat` that agreed on protobuf.
    pub(crate) async fn link(address: SocketAddr, user: &str) -> Self {
        let mut raw = Self::connect(address).await;
        let path = format!("/ws?biz_id=chat&user_id={user}");
        raw.write(handshake(&path, "").as_bytes()).await;
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }

    /// Sends bytes. That the gateway takes no more of them is no failure of the test.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = within("room in the socket", self.0.write_all(bytes)).await;
    }

    /// The head of an HTTP answer, or what there was of it at the end of the connection.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        let read = async {
            while !head.ends_with(b"\r\n\r\n") {
                match self.0.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
        };
        within("the head of an answer", read).await;
        String::from_utf8(head).unwrap()
    }

    /// The next frame: its first byte and its payload. `None` at the end of the connection.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        within("a frame", self.read_frame()).await.ok()
    }

    async fn read_frame(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let first = self.0.read_u8().await?;
        let length = match self.0.read_u8().await? {
            126 => self.0.read_u16().await?.into(),
            127 => self.0.read_u64().await?,
            length => length.into(),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).await?;
        Ok((first, payload))
    }

    /// The code of the close frame; other frames are passed over. `None` if the connection ends without.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        loop {
            let (first, payload) = self.frame().await?;
            if first & 0x0f == CLOSE {
                return Some(u16::from_be_bytes([payload[0], payload[1]]));
            }
        }
    }

    /// Waits for the end of the connection.
    pub(crate) async fn ended(&mut self) {
        let mut bytes = [0; 4096];
        let read = async { while !matches!(self.0.read(&mut bytes).await, Ok(0) | Err(_)) {} };
        within("the end of the connection", read).await;
    }
}

/// A request that opens a link, with more header lines.
pub(crate) fn handshake(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: gateway\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{more}\r\n"
    )
}

/// A frame as a client has to send it: masked.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = announced(first, payload.len());
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// A frame as only a server may send it.
pub(crate) fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len(), 0);
    frame.extend(payload);
    frame
}

/// The beginning of a masked frame that says it has so many bytes.
pub(crate) fn announced(first: u8, length: usize) -> Vec<u8> {
    let mut frame = header(first, length, 0x80);
    frame.extend(MASK);
    frame
}

fn header(first: u8, length: usize, mask: u8) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..126 => header.push(mask | length as u8),
        126..65536 => {
            header.push(mask | 126);
            header.extend((length as u16).to_be_bytes());
        }
        _ => {
            header.push(mask | 127);
            header.extend((length as u64).to_be_bytes());
        }
    }
    header
}
