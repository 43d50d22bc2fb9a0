//! What the YAML entry says, checked.

use std::time::Duration;

use linkgate_filter::problem::{Path, Problems};
use linkgate_filter::units::{ByteSize, HumanDuration};
use linkgate_filter::{Deserialize, JsonSchema, Prepare, schemars};

/// Writes each message to a topic, and answers once the broker has it for good.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "schemars")]
pub struct Config {
    /// The name of a broker under `brokers:`.
    pub broker: String,
    /// The topic; `{biz_id}` in it is the business. Default: `{biz_id}`.
    #[serde(default = "Config::default_topic")]
    pub topic: String,
    /// Behind a `batch`: one record for the messages that a user has in a batch, in place of one for each. Default: false.
    #[serde(default)]
    pub envelope: bool,
    /// What one envelope may weigh, as it is written; messages beyond it go into a further one, and one that weighs more
    /// goes alone. Keep it below what the broker takes in one record. At most 64MiB. Default: 512KiB.
    #[serde(default = "Config::default_max_envelope")]
    pub max_envelope: ByteSize,
    /// How long messages wait for room while the broker takes no more records. At most 1h. Default: 10s.
    #[serde(default = "Config::default_wait_for_room")]
    pub wait_for_room: HumanDuration,
    /// The share of records whose `traceparent` asks for a trace to be recorded, from 0 to 1. Default: 0.01.
    #[serde(default = "Config::default_trace_sampling")]
    pub trace_sampling: f64,
}

impl Config {
    const PLACE: &str = "{biz_id}";
    const LONGEST_WAIT: Duration = Duration::from_secs(3600);

    fn default_topic() -> String {
        Self::PLACE.to_owned()
    }

    fn default_max_envelope() -> ByteSize {
        ByteSize::kib(512)
    }

    fn default_wait_for_room() -> HumanDuration {
        Duration::from_secs(10).into()
    }

    fn default_trace_sampling() -> f64 {
        0.01
    }

    /// The topic of this business.
    pub(crate) fn check(&self, cx: &Prepare<'_>) -> Result<String, Problems> {
        let mut problems = Problems::new();
        cx.broker("broker", &self.broker, &mut problems);
        let topic = self.topic.replace(Self::PLACE, cx.biz_id);
        if let Err(why) = check_topic(&topic) {
            problems
                .at("topic", format!("`{topic}` is no name of a topic: {why}"))
                .hint("a name has letters, digits, `.`, `_` and `-`; `{biz_id}` stands for the business");
        }
        if self.max_envelope.bytes() == 0 || self.max_envelope > ByteSize::mib(64) {
            problems.at("max_envelope", "this is not between 1B and 64MiB");
        }
        if *self.wait_for_room > Self::LONGEST_WAIT {
            problems
                .at("wait_for_room", "no client waits that long")
                .hint("write 1h or less");
        }
        if !(0.0..=1.0).contains(&self.trace_sampling) {
            problems.at(Path::from("trace_sampling"), "this is not between 0 and 1");
        }
        problems.into_result(topic)
    }
}

fn check_topic(topic: &str) -> Result<(), String> {
    const LONGEST: usize = 249;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match topic.chars().find(|c| !fits(*c)) {
        Some('{' | '}') => Err("`{biz_id}` is all that can be filled in".to_owned()),
        Some(other) => Err(format!("it has `{other}`")),
        None if topic.is_empty() => Err("it is empty".to_owned()),
        None if topic.len() > LONGEST => Err(format!("it is longer than {LONGEST}")),
        None if matches!(topic, "." | "..") => Err("brokers refuse it".to_owned()),
        None => Ok(()),
    }
}
