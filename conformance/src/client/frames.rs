//! WebSocket frames by hand: a gateway that plays tricks has to break what a library would put right.

use bytes::{Buf, Bytes, BytesMut};
use linkgate_filter::Form;
use linkgate_proto::v1::Message;
use prost::Message as _;

pub(super) const CONTINUATION: u8 = 0x0;
pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xa;

/// The largest frame that is taken of a client.
const LARGEST: u64 = 4 << 20;

/// A frame of a client, unmasked.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) last: bool,
    pub(super) opcode: u8,
    pub(super) payload: Bytes,
}

/// The next frame in `buffer`, if it is complete. The error says what is wrong with it.
pub(super) fn parse(buffer: &mut BytesMut) -> Result<Option<Frame>, String> {
    let [first, second, ..] = **buffer else {
        return Ok(None);
    };
    let opcode = first & 0x0f;
    if first & 0x70 != 0 {
        return Err("a frame with reserved bits, and no extension was agreed on".into());
    }
    if second & 0x80 == 0 {
        return Err("a frame without a mask".into());
    }
    let short = second & 0x7f;
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let header = 2 + extended + 4;
    if buffer.len() < header {
        return Ok(None);
    }
    let length = if extended == 0 {
        short.into()
    } else {
        buffer[2..2 + extended]
            .iter()
            .fold(0_u64, |length, byte| length << 8 | u64::from(*byte))
    };
    if length > LARGEST {
        return Err(format!("a frame of {length} bytes"));
    }
    if opcode >= CLOSE && (length > 125 || first & 0x80 == 0) {
        return Err("a control frame that is too long or in pieces".into());
    }
    let length = usize::try_from(length).map_err(|error| error.to_string())?;
    if buffer.len() < header + length {
        return Ok(None);
    }
    let mut mask = [0; 4];
    mask.copy_from_slice(&buffer[header - 4..header]);
    buffer.advance(header);
    let mut payload = buffer.split_to(length);
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[at % 4];
    }
    Ok(Some(Frame {
        last: first & 0x80 != 0,
        opcode,
        payload: payload.freeze(),
    }))
}

/// A frame of the gateway.
pub(super) fn build(last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![opcode | if last { 0x80 } else { 0 }];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..126), _) => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

/// The opcode of a form's data frames.
pub(super) fn opcode(form: Form) -> u8 {
    match form {
        Form::Protobuf => BINARY,
        Form::Json => TEXT,
    }
}

/// A message as a payload.
pub(super) fn encode(form: Form, message: &Message) -> Vec<u8> {
    match form {
        Form::Protobuf => message.encode_to_vec(),
        // The mapping has no value that JSON cannot hold.
        Form::Json => serde_json::to_vec(message).unwrap_or_default(),
    }
}

/// The message in a client's payload. The error says why it is none.
pub(super) fn decode(form: Form, payload: Bytes) -> Result<Message, String> {
    match form {
        Form::Protobuf => Message::decode(payload).map_err(|error| error.to_string()),
        Form::Json => linkgate_proto::from_json(&payload).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_any_length_are_read_once_they_are_complete() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let payload = vec![7; length];
            let mut frame = build(true, BINARY, &payload);
            // As a client sends it: with a mask, here of zeros.
            frame[1] |= 0x80;
            let header = frame.len() - length;
            frame.splice(header..header, [0; 4]);
            let mut buffer = BytesMut::from(&frame[..frame.len() - 1]);
            assert!(parse(&mut buffer).unwrap().is_none());
            buffer.extend(frame.last());
            let read = parse(&mut buffer).unwrap().unwrap();
            assert_eq!(
                (read.last, read.opcode, &read.payload[..]),
                (true, BINARY, &payload[..])
            );
        }
        let mut bare = BytesMut::from(&build(true, TEXT, b"x")[..]);
        assert!(parse(&mut bare).unwrap_err().contains("mask"));
    }
}
