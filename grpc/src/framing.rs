//! How gRPC cuts a body into messages.

use bytes::Buf;

/// What stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The length of the first message with its prefix, if it is all there; of one that has more than `largest` bytes that of the
/// prefix, by which a decoder refuses it.
pub fn whole_message(mut come: &[u8], largest: usize) -> Option<usize> {
    let there = come.len();
    if there < PREFIX {
        return None;
    }
    come.advance(1);
    let length = come.get_u32() as usize;
    if length > largest {
        return Some(PREFIX);
    }
    (there >= PREFIX + length).then_some(PREFIX + length)
}
