//! What a call says of itself beside the message: who sent it.

use std::fmt::Write;

use linkgate_filter::Identity;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

/// The metadata that all tries of a call have in common.
pub(crate) fn of(identity: &Identity, link_id: &str, key: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    insert(&mut metadata, "linkgate-biz-id", &identity.biz_id);
    insert(&mut metadata, "linkgate-user-id", &identity.user_id);
    if let Some(device_id) = &identity.device_id {
        insert(&mut metadata, "linkgate-device-id", device_id);
    }
    insert(&mut metadata, "linkgate-link-id", link_id);
    insert(&mut metadata, "linkgate-key", key);
    metadata
}

/// The metadata of a call for messages of several links.
pub(crate) fn of_batch(biz_id: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    insert(&mut metadata, "linkgate-biz-id", biz_id);
    metadata
}

/// Adds a value as [`ascii`] writes it. A very long one is left out: the request has it in full.
pub(crate) fn insert(metadata: &mut MetadataMap, name: &'static str, value: &str) {
    const LONGEST: usize = 512;
    if value.len() > LONGEST {
        return;
    }
    if let Ok(value) = AsciiMetadataValue::try_from(ascii(value)) {
        metadata.insert(name, value);
    }
}

/// Visible ASCII stays, all else and `%` is percent-encoded, byte by byte of the UTF-8.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => out.push_str("%25"),
            0x21..=0x7e => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_safe_in_a_header() {
        assert_eq!(ascii("user-1.a_b~"), "user-1.a_b~");
        assert_eq!(ascii("50% ü\r\n"), "50%25%20%C3%BC%0D%0A");
        let identity = Identity::new("chat", "jürgen\n").at_device("a b");
        let metadata = of(&identity, "x-1", &"k".repeat(600));
        assert_eq!(metadata.get("linkgate-user-id").unwrap(), "j%C3%BCrgen%0A");
        assert_eq!(metadata.get("linkgate-device-id").unwrap(), "a%20b");
        assert!(metadata.get("linkgate-key").is_none(), "too long");
    }
}
