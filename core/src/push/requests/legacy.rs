//! A push in protobuf: a `PushRequest`, or the `PushMessage` of older gateways, which has numbers where a `PushRequest`
//! has texts. The wire types of fields 2 and 3 tell them apart.

use linkgate_filter::Bytes;
use linkgate_proto::v1;
use prost::Message;

/// What older gateways read from their topic of pushes.
#[derive(Clone, PartialEq, Message)]
struct PushMessage {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(int64, tag = "2")]
    biz_id: i64,
    #[prost(int64, tag = "3")]
    receiver_id: i64,
    #[prost(bytes = "bytes", tag = "4")]
    body: Bytes,
}

/// Reads a push in protobuf, of either kind.
pub(in crate::push) fn from_protobuf(bytes: &Bytes) -> Option<v1::PushRequest> {
    let request = v1::PushRequest::decode(bytes.clone()).ok();
    request.or_else(|| older(bytes))
}

fn older(bytes: &Bytes) -> Option<v1::PushRequest> {
    let message = PushMessage::decode(bytes.clone()).ok()?;
    // 0 is what is not there.
    (message.biz_id != 0 && message.receiver_id != 0).then(|| v1::PushRequest {
        key: message.key,
        biz_id: message.biz_id.to_string(),
        receiver_ids: vec![message.receiver_id.to_string()],
        body: message.body,
        ..v1::PushRequest::default()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn requests() -> impl Strategy<Value = v1::PushRequest> {
        let receivers = proptest::collection::vec(".{1,20}", 1..4);
        let body = proptest::collection::vec(any::<u8>(), 0..40);
        let rest = (any::<Option<i64>>(), any::<Option<bool>>(), any::<bool>());
        let all = (".{1,40}", ".{1,20}", receivers, body, rest);
        all.prop_map(
            |(key, biz_id, receiver_ids, body, (expires_at, ack, all))| v1::PushRequest {
                key,
                biz_id,
                receiver_ids,
                body: body.into(),
                device_id: None,
                expires_at,
                ack,
                all,
            },
        )
    }

    fn messages() -> impl Strategy<Value = PushMessage> {
        let body = proptest::collection::vec(any::<u8>(), 0..40);
        let numbers = (any::<i64>(), any::<i64>());
        let numbers =
            numbers.prop_filter("0 is not there", |(one, other)| *one != 0 && *other != 0);
        (".{1,40}", numbers, body).prop_map(|(key, (biz_id, receiver_id), body)| PushMessage {
            key,
            biz_id,
            receiver_id,
            body: body.into(),
        })
    }

    proptest! {
        #[test]
        fn a_request_is_never_read_as_a_message_of_older_gateways(request in requests()) {
            let bytes = Bytes::from(request.encode_to_vec());
            prop_assert!(PushMessage::decode(bytes.clone()).is_err());
            prop_assert_eq!(from_protobuf(&bytes), Some(request));
        }

        #[test]
        fn a_message_of_older_gateways_is_never_read_as_a_request(message in messages()) {
            let bytes = Bytes::from(message.encode_to_vec());
            prop_assert!(v1::PushRequest::decode(bytes.clone()).is_err());
            let request = from_protobuf(&bytes).unwrap();
            prop_assert_eq!(request.biz_id, message.biz_id.to_string());
            prop_assert_eq!(request.receiver_ids, [message.receiver_id.to_string()]);
            prop_assert_eq!((request.key, request.body), (message.key, message.body));
        }

        #[test]
        fn bytes_that_are_neither_have_no_business(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Some(request) = older(&bytes.into()) {
                prop_assert!(request.biz_id.parse::<i64>().is_ok());
            }
        }
    }
}
