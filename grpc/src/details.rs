//! Details of a status that nobody can read: tonic's reader of `grpc-status-details-bin` panics at what is no base64.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;

const DETAILS: &str = "grpc-status-details-bin";

/// As tonic reads it.
const READER: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Takes details out that nobody can read. What the status says beside them stands.
pub(crate) fn clean(headers: &mut HeaderMap) {
    let is_unreadable = |details: &http::HeaderValue| READER.decode(details.as_bytes()).is_err();
    if headers.get(DETAILS).is_some_and(is_unreadable) {
        headers.remove(DETAILS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_that_tonic_panics_at_are_taken_out() {
        for (details, stays) in [
            ("CAUSAmhp", true),
            ("CAUSAmg=", true),
            ("CAUSAmg", true),
            ("", true),
            ("%", false),
            ("CAUSAmhpx", false),
            ("CAU\u{2}", false),
        ] {
            let Ok(value) = http::HeaderValue::from_bytes(details.as_bytes()) else {
                continue;
            };
            let mut headers = HeaderMap::new();
            headers.insert("grpc-status", http::HeaderValue::from_static("5"));
            headers.insert(DETAILS, value);
            clean(&mut headers);
            assert_eq!(headers.contains_key(DETAILS), stays, "{details}");
            let status = tonic::Status::from_header_map(&headers).unwrap();
            assert_eq!(status.code(), tonic::Code::NotFound);
        }
    }
}
