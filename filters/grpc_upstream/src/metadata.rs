//! What a call says of itself beside the message: who sent it.

use linkgate_filter::Message;
use linkgate_filter::trace::link_id;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

use crate::config::Field;

/// The metadata that all tries of a call for one message have in common.
pub(crate) fn of(fields: &[Field], m: &Message) -> MetadataMap {
    let identity = &m.link.identity;
    let mut metadata = MetadataMap::with_capacity(fields.len() + 2);
    for field in fields {
        match field {
            Field::BizId => insert_known(&mut metadata, "linkgate-biz-id", &identity.biz_id),
            Field::UserId => insert(&mut metadata, "linkgate-user-id", &identity.user_id),
            Field::DeviceId => {
                let device = identity.device_id.as_deref().unwrap_or_default();
                if !device.is_empty() {
                    insert(&mut metadata, "linkgate-device-id", device);
                }
            }
            Field::LinkId => insert(&mut metadata, "linkgate-link-id", &link_id(&m.link)),
            Field::Key => insert(&mut metadata, "linkgate-key", &m.key),
        }
    }
    metadata
}

/// The metadata of a call for messages of several links.
pub(crate) fn of_batch(fields: &[Field], biz_id: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    if fields.contains(&Field::BizId) {
        insert_known(&mut metadata, "linkgate-biz-id", biz_id);
    }
    metadata
}

/// Adds a value that is another for each call: the connection need not remember it.
pub(crate) fn insert(metadata: &mut MetadataMap, name: &'static str, value: &str) {
    if let Some(mut value) = read(value) {
        value.set_sensitive(true);
        metadata.insert(name, value);
    }
}

fn insert_known(metadata: &mut MetadataMap, name: &'static str, value: &str) {
    if let Some(value) = read(value) {
        metadata.insert(name, value);
    }
}

/// A value as [`ascii`] writes it. A very long one is left out: the request has it in full.
fn read(value: &str) -> Option<AsciiMetadataValue> {
    const LONGEST: usize = 512;
    if value.len() > LONGEST {
        return None;
    }
    AsciiMetadataValue::try_from(ascii(value)).ok()
}

/// Visible ASCII stays, all else and `%` is percent-encoded, byte by byte of the UTF-8.
fn ascii(text: &str) -> String {
    const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use linkgate_filter::{Command, Identity, LinkInfo};

    use super::*;

    #[test]
    fn values_are_safe_in_a_header() {
        assert_eq!(ascii("user-1.a_b~"), "user-1.a_b~");
        assert_eq!(ascii("50% ü\r\n"), "50%25%20%C3%BC%0D%0A");
        let identity = Identity::new("chat", "jürgen\n").at_device("a b");
        let link = Arc::new(LinkInfo::new(1, identity));
        let request = Message::new(link, Command::UpstreamMessage, "k".repeat(600), "");
        let fields = [Field::BizId, Field::UserId, Field::DeviceId, Field::Key];
        let metadata = of(&fields, &request);
        assert_eq!(metadata.get("linkgate-user-id").unwrap(), "j%C3%BCrgen%0A");
        assert_eq!(metadata.get("linkgate-device-id").unwrap(), "a%20b");
        assert!(metadata.get("linkgate-key").is_none(), "too long");
    }
}
