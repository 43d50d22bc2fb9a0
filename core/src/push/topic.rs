//! Pushes from a topic of a broker: read in order, sent, and passed only once they are settled and reported, or parked.
//!
//! ```text
//! record.rs   what a record says, and what is written of it
//! alone.rs    whether others read what this node is to read alone
//! ledger.rs   what of each partition is unsettled, and up to where it is done
//! desk.rs     sends pushes, and hears what becomes of them
//! patience.rs how long what is waited for
//! lines.rs    who waits for which user
//! under_way.rs what is under way, and what is said of it
//! closing.rs  the end of waiting: what is reported, and what is parked
//! letters.rs  what is written of it: reports, what is parked, dead letters
//! readable.rs whether the topic can be read, as the operator is told
//! ```
//!
//! # Sleeping phones
//!
//! A push that is unsettled for long, or stands in the way when its partition is full, is written to the topic of parked
//! pushes; once that is confirmed its offset may pass. Parked pushes are read like others, rest for a while, and are sent
//! again. One that is still under way on this node is joined, not doubled; what became of one while it was parked is
//! remembered.
//!
//! # Users elsewhere
//!
//! With `routing: directory` a user may be at another node. A push whose user is being looked for counts as sent. Where it
//! cannot be known who is where, it waits: such time is neither presence nor absence, so nobody is offline by it, and what
//! waits too long is parked.
//!
//! # Going away
//!
//! When a partition goes to another node, or this one stops, pushes under way have a while to settle; the rest is parked.
//! A node that dies leaves its offsets where they were: what lies behind them is read again.
//!
//! What may not enter: a broker's own protocol, and where links are.

mod alone;
mod closing;
mod desk;
mod landed;
mod ledger;
mod letters;
mod lines;
mod patience;
mod readable;
mod record;
mod task;
mod under_way;

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use linkgate_filter::EdgeError;
use linkgate_filter::broker::{Begin, Broker, Consumer, Subscription};
use linkgate_filter::runner::Edges;
use tokio_util::sync::CancellationToken;

use self::alone::Alone;
use self::desk::Desk;
use self::landed::Landed;
use self::ledger::{Bounds, Ledger};
use self::letters::Letters;
use self::lines::Lines;
use self::patience::Patience;
use self::readable::Readable;
use self::under_way::UnderWay;
use super::config::{OnExpired, Routing, TopicSource};
use super::report::Reporter;
use super::router::Router;
use crate::outbox::Writer;
use crate::readiness::Reason;
use crate::telemetry::limit::Every;

/// A topic that pushes come from.
pub struct TopicPush {
    consumer: Box<dyn Consumer>,
    desk: Desk,
    readable: Readable,
    alone: Alone,
    release_within: Duration,
}

impl TopicPush {
    /// Joins the group. Nothing is read yet.
    ///
    /// # Errors
    /// The broker's library refuses the subscription.
    pub fn subscribe(
        config: &TopicSource,
        routing: Routing,
        (edges, node): (&Edges, &str),
        router: Router,
        reporter: Option<Reporter>,
    ) -> Result<Self, EdgeError> {
        let Some(broker) = edges.broker(&config.broker) else {
            let what = format!("there is no broker `{}`", config.broker);
            return Err(EdgeError::new(linkgate_filter::EdgeFailure::Refused, what));
        };
        let router = router.reaching(routing.reach());
        let subscription = subscription(config, routing, node);
        let consumer = broker.subscribe(&subscription)?;
        let others = router.metrics().read_by_others(&config.topic);
        let alone = Alone::new((config, routing), &subscription.group, others);
        let desk = desk(config, routing, broker, router, reporter);
        let readable = Readable::new(config, &desk.router);
        Ok(Self {
            consumer,
            desk,
            readable,
            alone,
            release_within: *config.release_within,
        })
    }

    /// While it cannot read, `unreadable` holds; while others read what it is to read alone, `others` does.
    #[must_use]
    pub fn with_reasons(mut self, unreadable: Arc<Reason>, others: Arc<Reason>) -> Self {
        self.readable.tell(unreadable);
        self.alone.tell(others);
        self
    }

    /// Reads until `stop` is cancelled; what is unsettled then is settled or parked.
    pub async fn serve(self, stop: CancellationToken) {
        let edge = (self.consumer, self.readable, self.alone);
        task::run(edge, self.desk, self.release_within, stop).await;
    }
}

fn subscription(config: &TopicSource, routing: Routing, node: &str) -> Subscription {
    let (topics, group, begin) = match routing {
        Routing::Local | Routing::Directory => (
            vec![config.topic.clone(), config.park()],
            config.group.clone(),
            Begin::Oldest,
        ),
        Routing::Broadcast => (
            vec![config.topic.clone()],
            format!("{}-{node}", config.group),
            Begin::Newest,
        ),
    };
    Subscription {
        topics,
        group,
        begin,
        read_ahead: config.read_ahead.as_usize(),
        release_within: *config.release_within * 2,
    }
}

fn desk(
    config: &TopicSource,
    routing: Routing,
    broker: &Arc<dyn Broker>,
    router: Router,
    reporter: Option<Reporter>,
) -> Desk {
    let patience = Patience {
        min_hold: *config.min_hold,
        max_hold: *config.max_hold,
        retry_after: *config.retry_after,
        give_up_after: *config.give_up_after,
        offline_after: *config.offline_after,
        on_expired: match routing {
            Routing::Local | Routing::Directory => config.on_expired,
            // Nobody knows which node is the one to park it.
            Routing::Broadcast if config.on_expired == OnExpired::Park => OnExpired::Report,
            Routing::Broadcast => config.on_expired,
        },
        waits: routing != Routing::Broadcast,
    };
    let letters = Arc::new(Letters {
        park: (routing != Routing::Broadcast).then(|| config.park().into()),
        dead_letter: config.dead_letter().into(),
        broker: Arc::clone(broker),
        reporter,
        clock: Arc::clone(router.clock()),
        metrics: router.metrics().clone(),
        lines: Every::new(Duration::from_secs(1)),
    });
    let bounds = Bounds {
        records: config.max_unsettled as usize,
        bytes: config.max_unsettled_bytes.as_usize(),
        remembered: config.remember_settled.max(config.max_unsettled) as usize,
        kept: *config.remember_for,
    };
    Desk {
        patience,
        letters,
        writer: Writer::new(
            Arc::clone(router.clock()),
            router.metrics().failed_writes.clone(),
            router.metrics().refused_writes.clone(),
        ),
        ready: router.clock().now(),
        lines: Lines::new(Arc::clone(router.journal())),
        router,
        ledger: Ledger::new(bounds),
        landed: Landed::new(bounds.records),
        under_way: UnderWay::default(),
        work: FuturesUnordered::new(),
        attempt: 0,
        leaving: false,
    }
}

#[cfg(test)]
mod tests;
