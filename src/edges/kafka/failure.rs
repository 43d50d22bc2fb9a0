//! From librdkafka's errors to ours.

use linkgate_filter::{EdgeError, EdgeFailure};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What an error says of the brokers; without effect unless the caller knows of one.
pub(super) fn error(error: &KafkaError) -> EdgeError {
    let failure = error
        .rdkafka_error_code()
        .map_or(EdgeFailure::Unreachable, failure);
    EdgeError::new(failure, error.to_string())
}

fn failure(code: RDKafkaErrorCode) -> EdgeFailure {
    use RDKafkaErrorCode as Code;
    match code {
        Code::MessageTimedOut | Code::OperationTimedOut | Code::RequestTimedOut => {
            EdgeFailure::TimedOut
        }
        Code::QueueFull => EdgeFailure::Full,
        Code::MessageSizeTooLarge
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::InvalidTopic
        | Code::InvalidRecord
        | Code::InvalidArgument
        | Code::PolicyViolation
        | Code::UnsupportedForMessageFormat
        | Code::MessageBatchTooLarge
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed => EdgeFailure::Refused,
        _ => EdgeFailure::Unreachable,
    }
}
