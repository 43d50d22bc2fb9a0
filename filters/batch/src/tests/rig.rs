//! What the tests share: a pipeline around the filter, and the short names of what comes out of it.

use std::time::Duration;

use crate::Batches;
use linkgate_filter::runner::Limits;
use linkgate_filter::testkit::{TestLink, Testkit};
use linkgate_filter::{Fault, Message, Outcome, Registry};

/// The pipeline around a `batch` of this config.
pub(super) fn entries(config: &str) -> String {
    format!(
        "[{{ use: test_decoded }}, {{ use: test_answers }}, {{ use: batch, config: {config} }}, {{ use: test_end }}]"
    )
}

pub(super) fn kit_with(limits: Limits, config: &str) -> Testkit {
    let registry = Registry::new().with::<Batches>();
    Testkit::with(registry, Default::default(), limits, &entries(config))
}

/// With one shard, so that all links meet in it.
pub(super) fn kit(config: &str) -> Testkit {
    let limits = Limits {
        trunk_shards: 1,
        ..Limits::default()
    };
    kit_with(limits, config)
}

/// Sends the messages, `alice` those that begin with `a`, and lets everything run.
pub(super) async fn send(links: &mut [TestLink], keys: &[&str]) {
    for key in keys {
        let link = links.iter_mut().find(|link| {
            let user = &link.info().identity.user_id;
            user.chars().next() == key.chars().next()
        });
        link.expect("a link of this letter").business(key, "");
    }
    run(links).await;
}

pub(super) async fn run(links: &mut [TestLink]) {
    for link in links {
        link.run().await;
    }
}

pub(super) async fn advance(links: &mut [TestLink], by: Duration) {
    run(links).await;
    tokio::time::advance(by).await;
    run(links).await;
}

pub(super) fn keys(batch: &Message) -> Vec<&str> {
    batch.parts().iter().map(|part| part.key.as_str()).collect()
}

/// The batches that have come since the last call, as `a1 b1`.
pub(super) fn texts(batches: &[Message]) -> Vec<String> {
    batches.iter().map(|batch| keys(batch).join(" ")).collect()
}

/// Settles each part, and then the shell.
pub(super) fn settle(mut batch: Message, outcome: impl Fn(&str) -> Outcome) {
    for part in batch.take_parts() {
        let outcome = outcome(&part.key);
        part.settle(outcome);
    }
    batch.settle(Outcome::accepted(""));
}

pub(super) fn accept(batch: Message) {
    settle(batch, |_| Outcome::accepted(""));
}

pub(super) fn failed() -> Outcome {
    Outcome::Failed(Fault::backend("test.failed"))
}

/// `a1 ok`, or `a1` and the fault's code.
pub(super) fn answers(link: &mut TestLink) -> Vec<String> {
    let text = |m: Message| {
        let said = m.fault.map_or("ok".into(), |fault| fault.code);
        format!("{} {said}", m.key)
    };
    link.received().into_iter().map(text).collect()
}
