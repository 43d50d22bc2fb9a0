//! What to do about what Kafka's brokers say, by librdkafka's codes.

use rdkafka::error::RDKafkaErrorCode;

use crate::edges::words::Hint;

/// What to make of an error.
pub(super) fn hint(code: Option<RDKafkaErrorCode>) -> Hint {
    use RDKafkaErrorCode as Code;
    let (kind, todo) = match code {
        Some(Code::TopicAuthorizationFailed) => (
            "topic_authorization",
            "grant the user of `sasl` DESCRIBE on the topic, and WRITE to write to it or READ to read from it",
        ),
        Some(Code::GroupAuthorizationFailed) => (
            "group_authorization",
            "grant the user of `sasl` READ on the consumer group",
        ),
        Some(Code::ClusterAuthorizationFailed) => (
            "cluster_authorization",
            "grant the user of `sasl` IDEMPOTENT_WRITE on the cluster",
        ),
        Some(Code::SaslAuthenticationFailed | Code::Authentication) => (
            "authentication",
            "check `sasl` of the broker: mechanism, username, password",
        ),
        Some(Code::SSL) => ("tls", "check `tls` of the broker: ca, cert, key"),
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => (
            "unknown_topic",
            "create the topic, or have the brokers create it (`auto.create.topics.enable`)",
        ),
        Some(Code::InvalidTopic) => ("invalid_topic", "name a topic that Kafka allows"),
        Some(Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend) => (
            "not_enough_replicas",
            "bring the topic's replicas back, or lower its `min.insync.replicas`",
        ),
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge) => {
            (
                "too_large",
                "raise `max.message.bytes` of the topic, and `message.max.bytes` under `properties` of the broker",
            )
        }
        Some(Code::InvalidRecord) => (
            "invalid_record",
            "a compacted topic takes no record without a key: set its `cleanup.policy` to delete",
        ),
        Some(Code::PolicyViolation) => ("policy", "ask those who run the brokers for their policy"),
        Some(Code::MessageTimedOut) => (
            "timed_out",
            "no broker has confirmed the record within `timeout`: see what else is said of this broker",
        ),
        Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve) => (
            "unreachable",
            "check `bootstrap` of the broker, and whether its listeners can be reached from here",
        ),
        Some(Code::GroupMaxSizeReached) => (
            "group_size",
            "raise `group.max.size` of the brokers, or use another group",
        ),
        Some(Code::InconsistentGroupProtocol) => (
            "group_protocol",
            "others read with this group in another way: use a group of linkgate's own",
        ),
        _ => ("other", ""),
    };
    Hint { kind, todo }
}
