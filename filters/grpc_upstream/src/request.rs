//! A request as it goes out: written once, however often it is tried. What each try says of itself comes last.

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use linkgate_filter::Message;
use linkgate_filter::trace::link_id;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len, uint32};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::ProstDecoder;

/// The fields of `OnReceiveRequest` by their numbers.
mod field {
    pub(super) const KEY: u32 = 1;
    pub(super) const BODY: u32 = 2;
    pub(super) const BIZ_ID: u32 = 3;
    pub(super) const USER_ID: u32 = 4;
    pub(super) const DEVICE_ID: u32 = 5;
    pub(super) const LINK_ID: u32 = 6;
    pub(super) const ATTEMPT: u32 = 7;
    /// That of `BatchOnReceiveRequest`.
    pub(super) const ITEMS: u32 = 1;
}

/// An `OnReceiveRequest` without its `attempt`.
pub(crate) fn of(m: &Message) -> Bytes {
    let identity = &m.link.identity;
    let link = link_id(&m.link);
    let fields: [(u32, &[u8]); 6] = [
        (field::KEY, m.key.as_bytes()),
        (field::BODY, &m.body),
        (field::BIZ_ID, identity.biz_id.as_bytes()),
        (field::USER_ID, identity.user_id.as_bytes()),
        (
            field::DEVICE_ID,
            identity.device_id.as_deref().unwrap_or_default().as_bytes(),
        ),
        (field::LINK_ID, link.as_bytes()),
    ];
    let length = fields.iter().map(|(_, value)| 16 + value.len()).sum();
    let mut request = Vec::with_capacity(length);
    for (number, value) in fields {
        if !value.is_empty() {
            encode_key(number, WireType::LengthDelimited, &mut request);
            encode_varint(value.len() as u64, &mut request);
            request.put_slice(value);
        }
    }
    request.into()
}

/// What one try sends.
#[derive(Clone)]
pub(crate) struct Tried {
    pub(crate) attempt: u32,
    pub(crate) request: Request,
}

/// One message, or several.
#[derive(Clone)]
pub(crate) enum Request {
    One(Bytes),
    Many(Arc<[Bytes]>),
}

impl Tried {
    fn item_length(&self, item: &Bytes) -> usize {
        item.len() + uint32::encoded_len(field::ATTEMPT, &self.attempt)
    }

    fn length(&self) -> usize {
        match &self.request {
            Request::One(item) => self.item_length(item),
            Request::Many(items) => {
                let lengths = items.iter().map(|item| self.item_length(item));
                let framed =
                    |length| key_len(field::ITEMS) + encoded_len_varint(length as u64) + length;
                lengths.map(framed).sum()
            }
        }
    }

    fn write_item(&self, item: &Bytes, to: &mut impl BufMut) {
        to.put_slice(item);
        uint32::encode(field::ATTEMPT, &self.attempt, to);
    }

    fn write(&self, to: &mut impl BufMut) {
        match &self.request {
            Request::One(item) => self.write_item(item, to),
            Request::Many(items) => {
                for item in items.iter() {
                    encode_key(field::ITEMS, WireType::LengthDelimited, to);
                    encode_varint(self.item_length(item) as u64, to);
                    self.write_item(item, to);
                }
            }
        }
    }
}

/// Writes requests and reads replies, with buffers of their sizes.
pub(crate) struct Wording<R> {
    length: usize,
    reply: PhantomData<fn() -> R>,
}

impl<R> Wording<R> {
    pub(crate) fn of(tried: &Tried) -> Self {
        Self {
            length: tried.length(),
            reply: PhantomData,
        }
    }
}

/// An answer takes more as it comes.
const REPLY: usize = 256;
/// What stands before a message.
const PREFIX: usize = 5;

impl<R: prost::Message + Default + Send + 'static> Codec for Wording<R> {
    type Encode = Tried;
    type Decode = R;
    type Encoder = Writer;
    type Decoder = ProstDecoder<R>;

    fn encoder(&mut self) -> Writer {
        Writer(self.length)
    }

    fn decoder(&mut self) -> ProstDecoder<R> {
        ProstDecoder::new(BufferSettings::new(REPLY, REPLY))
    }
}

/// Writes a request of this length.
pub(crate) struct Writer(usize);

impl Encoder for Writer {
    type Item = Tried;
    type Error = Status;

    fn encode(&mut self, tried: Tried, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        tried.write(to);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        let length = self.0 + PREFIX;
        BufferSettings::new(length, length)
    }
}

#[cfg(test)]
mod tests {
    use linkgate_filter::{Command, Identity, LinkInfo};
    use linkgate_proto::v1::{BatchOnReceiveRequest, OnReceiveRequest};
    use prost::Message as _;

    use super::*;

    fn message(key: &str, body: &'static str, device: Option<&str>) -> Message {
        let mut identity = Identity::new("chat", "ann");
        if let Some(device) = device {
            identity = identity.at_device(device);
        }
        let link = Arc::new(LinkInfo::new(7, identity));
        Message::new(link, Command::UpstreamMessage, key, body)
    }

    fn read(m: &Message, attempt: u32) -> OnReceiveRequest {
        OnReceiveRequest {
            key: m.key.clone(),
            body: m.body.clone(),
            biz_id: "chat".to_owned(),
            user_id: "ann".to_owned(),
            device_id: m
                .link
                .identity
                .device_id
                .as_deref()
                .unwrap_or_default()
                .to_owned(),
            link_id: link_id(&m.link),
            attempt,
        }
    }

    fn written(tried: &Tried) -> Vec<u8> {
        let mut bytes = Vec::new();
        tried.write(&mut bytes);
        assert_eq!(bytes.len(), tried.length());
        bytes
    }

    #[test]
    fn backends_read_what_the_protocol_says() {
        let long = "x".repeat(300);
        let messages = [
            message("k", "hello", None),
            message("", "", Some("phone")),
            message(&long, "hello", Some(&long)),
        ];
        for attempt in [1, 2, 300] {
            for m in &messages {
                let request = Request::One(of(m));
                let bytes = written(&Tried { attempt, request });
                assert_eq!(bytes, read(m, attempt).encode_to_vec());
            }
            let request = Request::Many(messages.iter().map(of).collect());
            let bytes = written(&Tried { attempt, request });
            let items = messages.iter().map(|m| read(m, attempt)).collect();
            assert_eq!(bytes, BatchOnReceiveRequest { items }.encode_to_vec());
        }
    }
}
