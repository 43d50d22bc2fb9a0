//! The filter `mq_upstream`: the end of a pipeline whose backend reads a topic of a broker such as Kafka.
//!
//! Each message becomes a record ([`record`]); a joined one a record for each part, or with `envelope` one for each user.
//! It is accepted if, and only if, the broker has confirmed the record: with Kafka, when all in-sync replicas have it. That
//! says nothing of whether anybody has processed it. The answer is empty.
//!
//! # Order
//!
//! Records are handed to the broker in the order of the messages, under a key per user, and the broker keeps the order of
//! a key. So the first attempts of a link's messages stand in the topic in the order sent.
//!
//! # What is not confirmed
//!
//! | | fault | effect | worth another try |
//! |---|---|---|---|
//! | the broker took no records for `wait_for_room` | `mq.full` | none | yes |
//! | no confirmation within the broker's own timeout | `mq.timed_out` | none if the record certainly was not stored, else unknown | yes |
//! | the broker could not be reached, or failed | `mq.unreachable` | likewise | yes |
//! | the broker refuses it for good: it is too large | `mq.refused` | none | no |
//!
//! While the broker takes no records, messages wait here in order, and the links behind them.
//!
//! What may not enter: anything about clients' frames, and any broker by name.

mod config;
mod hand_over;
pub mod record;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use linkgate_filter::broker::Broker;
use linkgate_filter::problem::Problems;
use linkgate_filter::{
    Context, Counter, Coverage, Fact, Fault, Filter, FilterType, Message, Never, Open, Prepare,
    Properties, Verdict,
};

pub use crate::config::Config;
use crate::hand_over::Pending;

/// The prepared value of one `mq_upstream` entry.
pub struct MqUpstream {
    config: Config,
    topic: String,
    /// Made with the first link.
    writer: OnceLock<Option<Arc<Writer>>>,
}

/// What the links of a pipeline share.
struct Writer {
    config: Config,
    topic: String,
    broker: Arc<dyn Broker>,
    records: Counter,
    held: Counter,
}

impl FilterType for MqUpstream {
    const NAME: &'static str = "mq_upstream";
    type Config = Config;
    type Filter = MqUpstreamFilter;

    fn prepare(config: Config, cx: &Prepare<'_>) -> Result<Self, Problems> {
        let topic = config.check(cx)?;
        let writer = OnceLock::new();
        Ok(Self {
            config,
            topic,
            writer,
        })
    }

    fn properties(&self) -> Properties {
        let properties = Properties::new().needs(Fact::DECODED).terminal();
        if self.config.envelope {
            properties.needs(Fact::JOINED)
        } else {
            properties
        }
    }

    fn coverage(&self) -> Coverage {
        Coverage::new().raises(["mq.full", "mq.unreachable", "mq.timed_out", "mq.refused"])
    }

    fn filter(&self, cx: &Open<'_>) -> MqUpstreamFilter {
        let writer = self.writer.get_or_init(|| self.writer(cx)).clone();
        MqUpstreamFilter { writer, full: None }
    }
}

impl MqUpstream {
    fn writer(&self, cx: &Open<'_>) -> Option<Arc<Writer>> {
        let broker = cx.broker(&self.config.broker)?;
        Some(Arc::new(Writer {
            config: self.config.clone(),
            topic: self.topic.clone(),
            broker: Arc::clone(broker),
            records: cx.counter("records"),
            held: cx.counter("held"),
        }))
    }
}

/// The filter of one link or trunk shard.
pub struct MqUpstreamFilter {
    /// None only where a node has other brokers than its configuration names.
    writer: Option<Arc<Writer>>,
    /// Since when the broker has taken nothing from here, and when it was last found full. What was found long ago says
    /// nothing of now.
    full: Option<(Instant, Instant)>,
}

impl Filter for MqUpstreamFilter {
    type Token = Never;
    type Timer = Never;
    type Waited = Pending;
    type Done = ();

    fn upstream(&mut self, mut m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        let Some(writer) = self.writer.clone() else {
            return Verdict::Refuse(m, Fault::gateway("mq.unreachable").retryable());
        };
        let pending = writer.pending(&mut m);
        self.hand_over(&writer, m, pending, cx)
    }

    fn resumed(&mut self, m: Message, pending: Pending, cx: &mut Context<'_, Self>) -> Verdict {
        match self.writer.clone() {
            Some(writer) => self.hand_over(&writer, m, pending, cx),
            None => Verdict::Refuse(m, hand_over::full()),
        }
    }
}

#[cfg(test)]
mod tests;
