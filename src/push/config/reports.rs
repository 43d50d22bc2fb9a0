//! `reports:` of `push:`: who is told what became of pushes from a topic.

use linkgate_filter::problem::{Path, Problems};
use schemars::JsonSchema;
use serde::Deserialize;

/// Who is told what became of each push from a topic, for each receiver.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reports {
    /// A topic of a broker, whatever its kind.
    pub kafka: ReportTopic,
}

/// A topic for reports. They are `PushReport` of `linkgate/v1/report.proto` in its JSON mapping; the record's key is
/// `bizID-userID`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportTopic {
    /// The name of the broker.
    pub broker: String,
    /// The topic.
    pub topic: String,
}

impl Reports {
    /// Notes what is wrong beyond the types of its values.
    pub(crate) fn check(&self, problems: &mut Problems) {
        if self.kafka.topic.is_empty() {
            problems.at(Path::from(["kafka", "topic"]), "a topic has a name");
        }
    }
}
