//! From librdkafka's errors to ours. What an operator is to do about them stands in `hints`.

use linkgate_filter::{EdgeError, EdgeFailure};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::hints::hint;
use crate::edges::words::Words;

/// What an error says of the brokers; without effect unless the caller knows of one.
pub(super) fn error(error: &KafkaError) -> EdgeError {
    with_words(error, &error.to_string())
}

/// Likewise, in words that say more than the error.
pub(super) fn with_words(error: &KafkaError, words: &str) -> EdgeError {
    let code = error.rdkafka_error_code();
    let failure = code.map_or(EdgeFailure::Unreachable, failure);
    EdgeError::new(failure, hint(code).explain(words))
}

/// Tells the operator.
pub(super) fn say(log: &Words, error: &KafkaError, words: &str) {
    log.say(hint(error.rdkafka_error_code()), words);
}

/// [`EdgeFailure::Refused`] is for what no waiting heals, and nobody but who wrote the record, or the configuration: whoever
/// is told so gives the record up. What an operator of the brokers can heal, such as a missing permission, is for now.
fn failure(code: RDKafkaErrorCode) -> EdgeFailure {
    use RDKafkaErrorCode as Code;
    match code {
        Code::MessageTimedOut
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::TimedOutQueue => EdgeFailure::TimedOut,
        Code::QueueFull => EdgeFailure::Full,
        // The record, by itself: too large, or of a form that the topic does not take, such as one without a key where
        // it is compacted.
        Code::MessageSizeTooLarge
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::MessageBatchTooLarge
        | Code::InvalidRecord
        | Code::UnsupportedForMessageFormat
        | Code::PolicyViolation
        // What the configuration says.
        | Code::InvalidTopic
        | Code::InvalidArgument
        | Code::InvalidConfig
        | Code::InvalidGroupId => EdgeFailure::Refused,
        _ => EdgeFailure::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes back from producing and consuming, and whether waiting can heal it.
    #[test]
    fn what_an_operator_can_heal_is_for_now_and_what_the_record_is_for_good() {
        use RDKafkaErrorCode as Code;
        let table = [
            (
                EdgeFailure::Refused,
                vec![
                    Code::MessageSizeTooLarge,
                    Code::MessageBatchTooLarge,
                    Code::InvalidMessage,
                    Code::InvalidMessageSize,
                    Code::InvalidRecord,
                    Code::UnsupportedForMessageFormat,
                    Code::PolicyViolation,
                    Code::InvalidTopic,
                    Code::InvalidArgument,
                ],
            ),
            (
                EdgeFailure::TimedOut,
                vec![
                    Code::MessageTimedOut,
                    Code::OperationTimedOut,
                    Code::RequestTimedOut,
                    Code::TimedOutQueue,
                ],
            ),
            (EdgeFailure::Full, vec![Code::QueueFull]),
            (
                EdgeFailure::Unreachable,
                vec![
                    // A grant, a topic, a password that is still to be made.
                    Code::TopicAuthorizationFailed,
                    Code::GroupAuthorizationFailed,
                    Code::ClusterAuthorizationFailed,
                    Code::SaslAuthenticationFailed,
                    Code::Authentication,
                    Code::UnknownTopic,
                    Code::UnknownTopicOrPartition,
                    Code::UnknownTopicId,
                    Code::UnknownPartition,
                    // Brokers that are away, too few, busy, or changing over.
                    Code::BrokerTransportFailure,
                    Code::AllBrokersDown,
                    Code::Resolve,
                    Code::SSL,
                    Code::LeaderNotAvailable,
                    Code::NotLeaderForPartition,
                    Code::ReplicaNotAvailable,
                    Code::BrokerNotAvailable,
                    Code::NetworkException,
                    Code::NotEnoughReplicas,
                    Code::NotEnoughReplicasAfterAppend,
                    Code::ISRInsufficient,
                    Code::KafkaStorageError,
                    Code::LogDirNotFound,
                    Code::ThrottlingQuotaExceeded,
                    Code::CoordinatorLoadInProgress,
                    Code::CoordinatorNotAvailable,
                    Code::NotCoordinator,
                    Code::FencedLeaderEpoch,
                    Code::UnknownLeaderEpoch,
                    // A clock that is wrong.
                    Code::InvalidTimestamp,
                    // The producer, or another record of its batch: this one may go with the next.
                    Code::InvalidDifferentRecord,
                    Code::OutOfOrderSequenceNumber,
                    Code::UnknownProducerId,
                    Code::InvalidProducerEpoch,
                    Code::InvalidProducerIdMapping,
                    Code::Fatal,
                    Code::PurgeQueue,
                    Code::PurgeInflight,
                    // The group, or where it stands.
                    Code::OffsetOutOfRange,
                    Code::AutoOffsetReset,
                    Code::LogTruncation,
                    Code::PollExceeded,
                    Code::RebalanceInProgress,
                    Code::UnknownMemberId,
                    Code::IllegalGeneration,
                    Code::FencedInstanceId,
                    Code::GroupMaxSizeReached,
                    Code::Unknown,
                ],
            ),
        ];
        for (expected, codes) in table {
            for code in codes {
                assert_eq!(failure(code), expected, "{code:?}");
            }
        }
    }
}
