//! When a backend says how long to wait before the next try.

use std::time::Duration;

use prost::Message as _;
use tonic::Status;
use tonic_types::pb;

/// What a backend says of further tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushback {
    /// Not before so long.
    After(Duration),
    /// None at all.
    Never,
}

/// `grpc-retry-pushback-ms` of the metadata, or else a `google.rpc.RetryInfo` of the details.
pub(crate) fn of(status: &Status) -> Option<Pushback> {
    if let Some(text) = status.metadata().get("grpc-retry-pushback-ms") {
        // As gRPC defines it: what is negative or unreadable says "do not retry".
        let ms: Option<u32> = text.to_str().ok().and_then(|text| text.trim().parse().ok());
        return Some(ms.map_or(Pushback::Never, |ms| {
            Pushback::After(Duration::from_millis(ms.into()))
        }));
    }
    retry_info(status.details()).map(Pushback::After)
}

/// Read by hand, as the library's reader (`StatusExt`) makes zero of a negative delay, and panics at `i64::MIN` seconds where
/// overflow is checked.
fn retry_info(details: &[u8]) -> Option<Duration> {
    let rich = pb::Status::decode(details).ok()?;
    let info = rich
        .details
        .iter()
        .find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = pb::RetryInfo::decode(&*info.value).ok()?.retry_delay?;
    let seconds = u64::try_from(delay.seconds).ok()?;
    let nanos = u32::try_from(delay.nanos)
        .ok()
        .filter(|n| *n < 1_000_000_000)?;
    Some(Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use prost_types::{Any, Duration as Delay};
    use tonic::Code;
    use tonic::metadata::MetadataMap;

    use super::*;

    fn with_metadata(value: &str) -> Status {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-retry-pushback-ms", value.parse().unwrap());
        Status::with_metadata(Code::Unavailable, "", metadata)
    }

    #[test]
    fn metadata_is_read_as_grpc_defines_it() {
        let wait = Duration::from_millis(250);
        assert_eq!(of(&with_metadata("250")), Some(Pushback::After(wait)));
        assert_eq!(of(&with_metadata("-1")), Some(Pushback::Never));
        assert_eq!(of(&with_metadata("soon")), Some(Pushback::Never));
        assert_eq!(of(&Status::unavailable("")), None);
    }

    fn with_details(value: Vec<u8>) -> Status {
        let any = |url: &str, value| Any {
            type_url: url.to_owned(),
            value,
        };
        let rich = pb::Status {
            details: vec![
                any("type.googleapis.com/google.rpc.Help", b"x".to_vec()),
                any("type.googleapis.com/google.rpc.RetryInfo", value),
            ],
            ..pb::Status::default()
        };
        Status::with_details(Code::Unavailable, "", rich.encode_to_vec().into())
    }

    fn after(seconds: i64, nanos: i32) -> Status {
        let retry_delay = Some(Delay { seconds, nanos });
        with_details(pb::RetryInfo { retry_delay }.encode_to_vec())
    }

    #[test]
    fn retry_info_is_found_among_other_details() {
        let wait = Duration::from_millis(2500);
        let status = after(2, 500_000_000);
        assert_eq!(of(&status), Some(Pushback::After(wait)));
    }

    #[test]
    fn details_that_make_no_sense_say_nothing() {
        for (seconds, nanos) in [
            (i64::MIN, i32::MIN),
            (i64::MIN, -1),
            (-1, 0),
            (1, -1),
            (0, i32::MAX),
            (i64::MAX, i32::MAX),
        ] {
            assert_eq!(of(&after(seconds, nanos)), None, "{seconds} {nanos}");
        }
        assert_eq!(of(&with_details(vec![0xff; 9])), None);
        let garbage = Status::with_details(Code::Unavailable, "", vec![0xff; 9].into());
        assert_eq!(of(&garbage), None);
    }
}
