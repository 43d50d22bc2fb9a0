//! The filter on a link of the testkit, with the production runner, in virtual time.

mod answers;
mod configs;
mod pushes;
mod sessions;

use std::time::Duration;

use linkgate_filter::problem::Problems;
use linkgate_filter::testkit::{Pushed, TestLink, Testkit};
use linkgate_filter::{
    Command, Fact, Filter, FilterType, JsonSchema, Message, Never, Open, Outcome, Prepare,
    Properties, Registry,
};
use serde::Deserialize;

use crate::AckRetry;

const SECOND: Duration = Duration::from_secs(1);

/// Stands where the codec does; messages in these tests are decoded from the start.
struct Decoded;

struct Passing;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoConfig {}

impl FilterType for Decoded {
    const NAME: &'static str = "test_decoded";
    type Config = NoConfig;
    type Filter = Passing;

    fn prepare(_: NoConfig, _: &Prepare<'_>) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn properties(&self) -> Properties {
        Properties::new().gives(Fact::DECODED)
    }

    fn filter(&self, _: &Open<'_>) -> Passing {
        Passing
    }
}

impl Filter for Passing {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;
}

fn registry() -> Registry {
    Registry::new().with::<Decoded>().with::<AckRetry>()
}

/// A pipeline with `ack_retry` of this config; without jitter, for exact times.
fn entries(config: &str) -> String {
    format!(
        "[{{ use: test_decoded }}, {{ id: ack, use: ack_retry, config: {config} }}, {{ use: test_end }}]"
    )
}

const EXACT: &str = "{ retry: { jitter: 0 } }";

fn kit(config: &str) -> Testkit {
    Testkit::new(registry(), &entries(config))
}

/// What `ack_retry` has counted as `event`.
fn count(kit: &Testkit, event: &str) -> u64 {
    let slots = kit.own().slots();
    let slot = slots.iter().find(|slot| &**slot.id() == "ack").unwrap();
    let events = slot.meter().events();
    let counted = events.iter().find(|(name, _)| *name == event);
    counted.unwrap_or_else(|| panic!("no counter {event}")).1
}

fn acknowledge(link: &mut TestLink, key: &str) {
    link.send(Command::DownstreamAck, key, "");
}

/// The keys of what has come for the client since the last call.
fn keys(link: &mut TestLink) -> Vec<String> {
    link.received().into_iter().map(|m| m.key).collect()
}

fn code(push: &Pushed) -> Option<String> {
    let outcome = push.outcome()?;
    Some(
        outcome
            .fault()
            .map_or("accepted".to_owned(), |fault| fault.code.to_string()),
    )
}

/// What has come for the client since the last call, which is one message.
fn only(link: &mut TestLink) -> Message {
    let [m] = link.received().try_into().unwrap();
    m
}

/// Settles the one business message that has reached the end.
fn answer(kit: &Testkit, outcome: Outcome) {
    let [m] = kit.taken().try_into().unwrap();
    m.settle(outcome);
}
