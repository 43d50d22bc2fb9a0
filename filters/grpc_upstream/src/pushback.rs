//! When a backend says how long to wait before the next try.

use std::time::Duration;

use prost::Message;
use tonic::Status;

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

fn retry_info(details: &[u8]) -> Option<Duration> {
    let rich = RichStatus::decode(details).ok()?;
    let info = rich
        .details
        .iter()
        .find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.delay?;
    let seconds = u64::try_from(delay.seconds).ok()?;
    let nanos = u32::try_from(delay.nanos)
        .ok()
        .filter(|n| *n < 1_000_000_000)?;
    Some(Duration::new(seconds, nanos))
}

/// `google.rpc.Status`, as far as it is read.
#[derive(Clone, PartialEq, Message)]
struct RichStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn retry_info_is_found_among_other_details() {
        let delay = Some(Delay {
            seconds: 2,
            nanos: 500_000_000,
        });
        let any = |url: &str, value| Any {
            type_url: url.to_owned(),
            value,
        };
        let details = vec![
            any("type.googleapis.com/google.rpc.Help", b"x".to_vec()),
            any(
                "type.googleapis.com/google.rpc.RetryInfo",
                RetryInfo { delay }.encode_to_vec(),
            ),
        ];
        let details = RichStatus { details }.encode_to_vec();
        let status = Status::with_details(Code::Unavailable, "", details.into());
        let wait = Duration::from_millis(2500);
        assert_eq!(of(&status), Some(Pushback::After(wait)));

        let garbage = Status::with_details(Code::Unavailable, "", vec![0xff; 9].into());
        assert_eq!(of(&garbage), None);
    }
}
