//! No wake is lost: links, shards and backends on many threads, with every queue too short.
//!
//! A link here sleeps unless the runner wakes it, so that one lost wake stops the test.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/mod.rs"]
mod common;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use linkgate_filter::problem::Problems;
use linkgate_filter::runner::{Chains, Limits, Pipeline};
use linkgate_filter::testkit::Testkit;
use linkgate_filter::{
    Command, Context, Deserialize, Filter, FilterType, Identity, JsonSchema, LinkInfo, Message,
    Never, Open, Outcome, Prepare, Properties, Verdict,
};

/// An end that settles on another task, each part by itself.
struct Elsewhere;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl FilterType for Elsewhere {
    const NAME: &'static str = "elsewhere";
    type Config = Nothing;
    type Filter = Self;

    fn prepare(_: Nothing, _: &Prepare<'_>) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn properties(&self) -> Properties {
        Properties::new().terminal()
    }

    fn filter(&self, _: &Open<'_>) -> Self {
        Self
    }
}

impl Filter for Elsewhere {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, mut m: Message, _: &mut Context<'_, Self>) -> Verdict {
        tokio::spawn(async move {
            for part in m.take_parts() {
                if part.key.ends_with('3') {
                    tokio::task::yield_now().await;
                }
                part.settle(Outcome::accepted(""));
            }
            m.settle(Outcome::accepted(""));
        });
        Verdict::Done
    }
}

const LINKS: u64 = 100;
const MESSAGES: usize = 300;

async fn client(mut chains: Chains, info: Arc<LinkInfo>, others: [Arc<Pipeline>; 2]) {
    let (mut sent, mut answered) = (0, 0);
    poll_fn(|cx| {
        chains.tick();
        while sent < MESSAGES && chains.load().messages < 8 {
            let m = Message::new(
                Arc::clone(&info),
                Command::UpstreamMessage,
                sent.to_string(),
                "",
            );
            chains.upstream(m);
            sent += 1;
            if sent % 50 == 0 {
                chains.change(&others[sent / 50 % 2], Duration::from_secs(600));
            }
            chains.poll(cx);
        }
        chains.poll(cx);
        while let Some(m) = chains.next_outgoing() {
            assert_eq!(m.command, Some(Command::UpstreamAck), "{m:?}");
            answered += 1;
            // Room for the next.
            cx.waker().wake_by_ref();
        }
        if answered < MESSAGES {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    chains.disconnect();
    poll_fn(|cx| {
        chains.poll(cx);
        if chains.is_finished() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn links_and_shards_never_sleep_through_a_wake() {
    let entries = "[{ id: ack, use: track, config: { answer: true } }, { use: join, config: { size: 1 } }, { use: elsewhere }]";
    let limits = Limits {
        in_trunk: 3,
        trunk_bytes: 700,
        trunk_shards: 2,
        ..Limits::default()
    };
    let registry = common::registry().with::<Elsewhere>();
    let kit = Testkit::with(registry, Default::default(), limits, entries);
    let others = [kit.pipeline(entries), kit.pipeline(entries)];
    let links = (1..=LINKS).map(|id| {
        let info = Arc::new(LinkInfo::new(id, Identity::new("chat", &id.to_string())));
        tokio::spawn(client(Chains::open(kit.own(), &info), info, others.clone()))
    });
    let links: Vec<_> = links.collect();
    tokio::time::timeout(Duration::from_secs(60), async {
        for link in links {
            link.await.unwrap();
        }
    })
    .await
    .unwrap();
}
