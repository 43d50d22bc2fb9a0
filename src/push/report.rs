//! Reports: what backends are told of pushes that came from a topic.

use std::sync::Arc;
use std::time::SystemTime;

use linkgate_filter::broker::{Broker, Record};
use linkgate_filter::{Bytes, Identity};
use linkgate_proto::v1;

use super::message::Push;
use super::outcome::ReceiverOutcome;
use super::requests;

/// Where reports go.
#[derive(Clone)]
pub struct Reporter {
    pub(super) broker: Arc<dyn Broker>,
    topic: Arc<str>,
    node: Arc<str>,
}

/// What a report says beside the outcome.
pub(super) struct Course<'a> {
    /// The record it first was, `topic/partition/offset`.
    pub(super) id: &'a str,
    pub(super) attempts: u32,
    pub(super) received_at: SystemTime,
    pub(super) settled_at: SystemTime,
}

impl Reporter {
    /// Reports of this node to a topic.
    pub fn new(broker: Arc<dyn Broker>, topic: &str, node: &str) -> Self {
        Self {
            broker,
            topic: topic.into(),
            node: node.into(),
        }
    }

    /// The report of what became of a push for one receiver.
    pub(super) fn record(
        &self,
        push: &Push,
        receiver: &str,
        outcome: &ReceiverOutcome,
        course: &Course<'_>,
    ) -> Record {
        let report = v1::PushReport {
            id: format!("{}/{receiver}", course.id),
            key: push.key.to_string(),
            biz_id: push.biz_id.to_string(),
            receiver_id: receiver.to_owned(),
            device_id: push.device_id.as_deref().map(str::to_owned),
            status: requests::status(outcome.status).into(),
            reason: outcome.reason.clone().map(requests::fault),
            node: self.node.to_string(),
            attempts: course.attempts,
            received_at: requests::unix_ms(course.received_at),
            settled_at: requests::unix_ms(course.settled_at),
        };
        Record {
            topic: self.topic.to_string(),
            key: Identity::new(&push.biz_id, receiver).to_string().into(),
            // Texts and numbers can always be written as JSON.
            payload: serde_json::to_vec(&report).map_or_else(|_| Bytes::new(), Bytes::from),
            headers: Vec::new(),
        }
    }
}
