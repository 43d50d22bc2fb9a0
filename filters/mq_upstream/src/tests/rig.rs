//! What the tests share: a pipeline around the filter, and the short names of what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::backend::Backends;
use linkgate_filter::broker::Broker;
use linkgate_filter::problem::Problems;
use linkgate_filter::runner::{Edges, Limits};
use linkgate_filter::testkit::{TestLink, Testkit};
use linkgate_filter::{
    Context, Deserialize, Effect, Fact, Filter, FilterType, JsonSchema, Message, Never, Open,
    Prepare, Properties, Registry, Verdict, schemars,
};

use crate::MqUpstream;

/// Each message for itself.
pub(super) const PLAIN: &str = "{ use: test_decoded }";

/// Messages of all links joined.
pub(super) const JOINED: &str = "{ use: joins }";

/// Joins so many messages, of any links, into one.
struct Joins {
    count: usize,
    messages: Vec<Message>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "schemars")]
struct Count {
    count: usize,
}

impl FilterType for Joins {
    const NAME: &'static str = "joins";
    type Config = Count;
    type Filter = Self;

    fn prepare(Count { count }: Count, _: &Prepare<'_>) -> Result<Self, Problems> {
        let messages = Vec::new();
        Ok(Self { count, messages })
    }

    fn properties(&self) -> Properties {
        Properties::new().gives(Fact::JOINED).joins_links()
    }

    fn filter(&self, _: &Open<'_>) -> Self {
        let (count, messages) = (self.count, Vec::new());
        Self { count, messages }
    }
}

impl Filter for Joins {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        self.messages.push(m);
        if self.messages.len() == self.count {
            cx.upstream(Message::joined(std::mem::take(&mut self.messages)).unwrap());
        }
        Verdict::Done
    }
}

pub(super) fn kit(broker: &Arc<impl Broker + 'static>, before: &str, config: &str) -> Testkit {
    kit_of(broker, before, 1, config)
}

/// A kit with `before` in front of the filter; messages are joined by `count`.
pub(super) fn kit_of(
    broker: &Arc<impl Broker + 'static>,
    before: &str,
    count: usize,
    config: &str,
) -> Testkit {
    let registry = Registry::new().with::<Joins>().with::<MqUpstream>();
    let edges = Edges::new().with_broker("main", Arc::clone(broker) as Arc<dyn Broker>);
    let limits = Limits {
        trunk_shards: 1,
        ..Limits::default()
    };
    let before = match before {
        JOINED => format!("{PLAIN}, {{ use: joins, config: {{ count: {count} }} }}"),
        other => other.to_owned(),
    };
    let entries = format!(
        "[{{ use: test_answers }}, {before}, {{ id: out, use: mq_upstream, config: {{ broker: main, {config} }} }}]"
    );
    Testkit::with_edges(registry, Backends::new(), limits, edges, &entries)
}

/// A link whose client speaks in keys.
pub(super) struct Link(TestLink);

pub(super) fn link(kit: &Testkit, user: &str) -> Link {
    Link(kit.link(user))
}

impl Link {
    pub(super) fn of(link: TestLink) -> Self {
        Self(link)
    }

    pub(super) async fn send(&mut self, keys: &[&str]) {
        for key in keys {
            self.0.business(key, format!("body of {key}"));
        }
        self.run().await;
    }

    pub(super) async fn run(&mut self) {
        self.0.run().await;
    }

    pub(super) async fn advance(&mut self, by: Duration) {
        self.0.advance(by).await;
    }

    /// What the client has heard since the last call.
    pub(super) async fn answers(&mut self) -> Vec<String> {
        self.run().await;
        self.0.received().iter().map(answer).collect()
    }
}

fn answer(m: &Message) -> String {
    let Some(fault) = &m.fault else {
        assert!(m.body.is_empty());
        return format!("{} ACK", m.key);
    };
    assert!(!fault.detail.contains("secret"), "{fault}");
    let retry = fault.retry_after.map_or("", |_| " retry");
    let effect = match fault.effect {
        Effect::None => "",
        Effect::Unknown => " unknown",
    };
    format!("{} NACK {}{retry}{effect}", m.key, fault.code)
}
