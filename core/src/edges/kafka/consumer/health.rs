//! Whether the brokers can be read. An error of librdkafka may be that of one broker among many, and nothing says when it
//! is over. So once something has failed the brokers are asked, again and again until all is well.

use std::time::Duration;

use linkgate_filter::{EdgeError, EdgeFailure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use tokio::time::Instant;

use super::context::Group;
use super::shared::Shared;
use crate::edges::kafka::failure;

/// From the first failure to the first question: a topic that is just being made is no trouble.
const LET_PASS: Duration = Duration::from_secs(1);

/// From one question to the next.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// How long an answer may take. Nothing is polled meanwhile.
const ASK_WITHIN: Duration = Duration::from_secs(1);

pub(super) struct Health {
    topics: Vec<String>,
    /// The latest failure since the brokers were asked.
    heard: Option<(RDKafkaErrorCode, EdgeError)>,
    /// Why the group does not take this member, until it has.
    group: Option<EdgeError>,
    /// When to ask; `None`: all is well.
    ask_at: Option<Instant>,
    /// The reader was told so.
    is_failing: bool,
}

impl Health {
    pub(super) fn new(topics: &[String]) -> Self {
        Self {
            topics: topics.to_vec(),
            heard: None,
            group: None,
            ask_at: None,
            is_failing: false,
        }
    }

    /// librdkafka tells of a failure.
    pub(super) fn hear(&mut self, error: &KafkaError, words: Option<String>) {
        let Some(code) = error.rdkafka_error_code() else {
            return;
        };
        let told = match words {
            Some(words) => failure::with_words(error, &words),
            None => failure::error(error),
        };
        if is_of_group(code) {
            self.group = Some(told.clone());
        }
        // That nobody is there may be the end of a longer story: why they do not let linkgate in says more.
        let is_end = matches!(
            code,
            RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure
        );
        if !is_end || self.heard.is_none() {
            self.heard = Some((code, told));
        }
        self.ask_at.get_or_insert(Instant::now() + LET_PASS);
    }

    /// Asks, if it is time to, and tells the reader what has come of it.
    pub(super) fn look(&mut self, consumer: &BaseConsumer<Group>, shared: &Shared) {
        if shared.has_joined() {
            self.group = None;
        }
        let now = Instant::now();
        if self.ask_at.is_none_or(|at| at > now) {
            return;
        }
        self.ask_at = Some(now + ASK_EVERY);
        let answer = self.ask(consumer);
        let heard = match answer {
            Err(_) => self.heard.clone(),
            Ok(_) => self.heard.take(),
        };
        let trouble = match answer {
            Err(NoAnswer(error)) => Some(heard.map_or(error, |(_, heard)| heard)),
            Ok(Err(error)) => Some(error),
            Ok(Ok(())) => {
                let denied = heard.filter(|(code, _)| is_denied(*code));
                if denied.is_some() {
                    // librdkafka says this once, and asks on.
                    shared.read_anew();
                }
                self.group.clone().or(denied.map(|(_, denied)| denied))
            }
        };
        match trouble {
            Some(error) => {
                self.is_failing = true;
                shared.failed(error);
            }
            None => {
                self.ask_at = None;
                if std::mem::take(&mut self.is_failing) {
                    shared.recovered();
                }
            }
        }
    }

    fn ask(&self, consumer: &BaseConsumer<Group>) -> Result<Result<(), EdgeError>, NoAnswer> {
        for name in &self.topics {
            let answer = consumer.fetch_metadata(Some(name), ASK_WITHIN);
            let answer = answer.map_err(|error| NoAnswer(failure::error(&error)))?;
            let mut topics = answer.topics().iter();
            if let Some(topic) = topics.find(|topic| topic.name() == name)
                && let Err(error) = judge(topic)
            {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }
}

/// No broker answers. What librdkafka has told before says more.
struct NoAnswer(EdgeError);

fn judge(topic: &MetadataTopic) -> Result<(), EdgeError> {
    let name = topic.name();
    if let Some(code) = topic.error() {
        let error = KafkaError::MetadataFetch(code.into());
        return Err(failure::with_words(
            &error,
            &format!("topic `{name}`: {error}"),
        ));
    }
    let mut partitions = topic.partitions().iter();
    match partitions.find(|partition| partition.leader() < 0) {
        Some(partition) => {
            let what = format!(
                "partition {} of topic `{name}` has no leader",
                partition.id()
            );
            Err(EdgeError::new(EdgeFailure::Unreachable, what))
        }
        None => Ok(()),
    }
}

fn is_denied(code: RDKafkaErrorCode) -> bool {
    code == RDKafkaErrorCode::TopicAuthorizationFailed
}

/// Whether it is about the group, of which no question tells.
fn is_of_group(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::GroupAuthorizationFailed
            | Code::InvalidGroupId
            | Code::InconsistentGroupProtocol
            | Code::InvalidSessionTimeout
            | Code::GroupMaxSizeReached
            | Code::PollExceeded
    )
}
