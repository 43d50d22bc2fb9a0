//! Reports: what backends are told of pushes that came from a topic.

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use linkgate_filter::Identity;
use linkgate_grpc::Channel;
use linkgate_proto::v1;
use linkgate_proto::v1::push_report_service_client::PushReportServiceClient;
use tonic::Status;

use super::message::Push;
use super::outcome::ReceiverOutcome;
use super::requests;
use crate::outbox::{Letter, Notice, Outlet};

/// Writes reports.
#[derive(Clone)]
pub struct Reporter {
    outlet: Outlet<v1::PushReport>,
    node: Arc<str>,
}

/// What a report says beside the outcome.
pub(super) struct Course<'a> {
    /// The record it first was, `topic/partition/offset`.
    pub(super) id: &'a str,
    pub(super) attempts: u32,
    /// Tells this taking up from others of the same push.
    pub(super) attempt: u64,
    pub(super) received_at: SystemTime,
    pub(super) settled_at: SystemTime,
}

impl Reporter {
    /// Reports of this node.
    pub fn new(outlet: Outlet<v1::PushReport>, node: &str) -> Self {
        Self {
            outlet,
            node: node.into(),
        }
    }

    /// The report of what became of a push for one receiver.
    pub(super) fn letter(
        &self,
        push: &Push,
        receiver: &str,
        outcome: &ReceiverOutcome,
        course: &Course<'_>,
    ) -> Letter {
        self.outlet.letter(v1::PushReport {
            id: format!("{}/{receiver}", course.id),
            key: push.key.to_string(),
            biz_id: push.biz_id.to_string(),
            receiver_id: receiver.to_owned(),
            device_id: push.device_id.as_deref().map(str::to_owned),
            status: requests::status(outcome.status).into(),
            reason: outcome.reason.clone().map(Into::into),
            node: self.node.to_string(),
            attempts: course.attempts,
            received_at: requests::unix_ms(course.received_at),
            settled_at: requests::unix_ms(course.settled_at),
            attempt: course.attempt,
        })
    }
}

impl Notice for v1::PushReport {
    fn key(&self) -> String {
        Identity::new(&self.biz_id, &self.receiver_id).to_string()
    }

    fn call(channel: Channel, reports: Vec<Self>) -> BoxFuture<'static, Result<(), Status>> {
        Box::pin(async {
            let mut service = PushReportServiceClient::new(channel);
            let request = v1::OnReportsRequest { reports };
            service.on_reports(request).await.map(|_| ())
        })
    }
}
