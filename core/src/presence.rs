//! Presence: what backends are told of users who come and go.
//!
//! The table of links says what changes; it is told in that order, in batches, each until it is confirmed. What may not
//! enter: how a link works, and how a topic or a service is reached ([`crate::outbox`]).

mod config;
mod users_action;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use linkgate_filter::trace::link_id;
use linkgate_filter::{Clock, Identity};
use linkgate_grpc::Checked;
use linkgate_proto::v1;
use linkgate_proto::v1::presence_event::Kind;
use linkgate_proto::v1::presence_service_client::PresenceServiceClient;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::Status;

pub use self::config::{PresenceConfig, PresenceFormat};
use crate::link::{Change, Watch};
use crate::outbox::{Notice, Outlet, Writer};
use crate::telemetry::limit::Every;

/// What presence counts.
#[derive(Clone, Default)]
pub struct PresenceMetrics {
    events: Counter,
    waiting: Gauge,
    dropped: Counter,
    failed_writes: Counter,
    refused_writes: Counter,
}

impl PresenceMetrics {
    /// Shows the metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "presence_events",
            "Links that came or went, as backends are told",
            self.events.clone(),
        );
        registry.register(
            "presence_waiting",
            "Events that are not confirmed yet",
            self.waiting.clone(),
        );
        registry.register(
            "presence_dropped",
            "Events that backends are not told of, as too many waited",
            self.dropped.clone(),
        );
        registry.register(
            "presence_writes_failed",
            "Events that were not confirmed; they are sent again",
            self.failed_writes.clone(),
        );
        registry.register(
            "presence_writes_refused",
            "Events that the broker refused for good; they are dropped",
            self.refused_writes.clone(),
        );
    }
}

/// Tells backends of users who come and go.
pub struct Presence {
    outlet: Outlet<v1::PresenceEvent>,
    writer: Writer,
    events: mpsc::Receiver<v1::PresenceEvent>,
    is_told: fn(&v1::PresenceEvent) -> bool,
    metrics: PresenceMetrics,
}

impl Presence {
    /// Events told at a time.
    const BATCH: usize = 500;
    /// How long a node that stops goes on telling.
    const LAST_WORDS: Duration = Duration::from_millis(900);

    /// Begins with the start of the node; what `Watch` hears comes behind that.
    pub fn new(
        outlet: Outlet<v1::PresenceEvent>,
        max_queued: usize,
        (node, clock): (&str, &Arc<dyn Clock>),
        metrics: &PresenceMetrics,
    ) -> (Self, Watch) {
        let (queue, events) = mpsc::channel(max_queued);
        let desk = Desk {
            node: node.to_owned(),
            clock: Arc::clone(clock),
            sequence: AtomicU64::new(micros(clock.wall())),
            queue,
            metrics: metrics.clone(),
        };
        desk.tell(v1::PresenceEvent {
            kind: Kind::NodeStarted.into(),
            ..v1::PresenceEvent::default()
        });
        let presence = Self {
            outlet,
            writer: Writer::new(
                Arc::clone(clock),
                metrics.failed_writes.clone(),
                metrics.refused_writes.clone(),
            ),
            events,
            is_told: |_| true,
            metrics: metrics.clone(),
        };
        (presence, Arc::new(move |change| desk.hear(change)))
    }

    /// Has the records of a topic say it in this format.
    #[must_use]
    pub fn in_format(mut self, format: PresenceFormat) -> Self {
        if format == PresenceFormat::UsersAction {
            self.outlet = self.outlet.written(users_action::write);
            self.is_told = users_action::is_told;
        }
        self
    }

    /// Tells until `stop`, and then what is left, for as long as a node that stops may.
    pub async fn run(self, stop: CancellationToken) {
        let waiting = self.metrics.waiting.clone();
        let over = async {
            stop.cancelled().await;
            sleep(Self::LAST_WORDS).await;
        };
        tokio::select! {
            () = self.tell_all(&stop) => {}
            () = over => {
                let left = waiting.get();
                tracing::warn!(left, "the node stops before backends were told who is gone");
            }
        }
    }

    /// Ends when the node stops and all is told.
    async fn tell_all(mut self, stop: &CancellationToken) {
        loop {
            let mut batch = Vec::new();
            let next = self.events.recv_many(&mut batch, Self::BATCH);
            if stop.run_until_cancelled(next).await.is_none() {
                // What is queued can still be received.
                self.events.close();
                self.events.recv_many(&mut batch, Self::BATCH).await;
            }
            if batch.is_empty() {
                return;
            }
            let told = batch.len();
            let letters = batch.into_iter().filter(self.is_told);
            let letters = letters.map(|event| self.outlet.letter(event));
            self.writer.clone().write(letters.collect()).await;
            self.metrics.waiting.dec_by(told as i64);
        }
    }
}

/// Where changes are written down.
struct Desk {
    node: String,
    clock: Arc<dyn Clock>,
    sequence: AtomicU64,
    queue: mpsc::Sender<v1::PresenceEvent>,
    metrics: PresenceMetrics,
}

impl Desk {
    fn hear(&self, change: &Change<'_>) {
        let Identity {
            biz_id,
            user_id,
            device_id,
        } = &change.link.identity;
        let kind = if change.is_online {
            Kind::Online
        } else {
            Kind::Offline
        };
        self.tell(v1::PresenceEvent {
            kind: kind.into(),
            biz_id: biz_id.to_string(),
            user_id: user_id.to_string(),
            device_id: device_id.as_deref().map(str::to_owned),
            link_id: link_id(change.link),
            links: u32::try_from(change.links).unwrap_or(u32::MAX),
            ..v1::PresenceEvent::default()
        });
    }

    fn tell(&self, event: v1::PresenceEvent) {
        let event = v1::PresenceEvent {
            node: self.node.clone(),
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
            at: i64::try_from(micros(self.clock.wall()) / 1000).unwrap_or(i64::MAX),
            ..event
        };
        self.metrics.events.inc();
        self.metrics.waiting.inc();
        if self.queue.try_send(event).is_err() {
            self.metrics.waiting.dec();
            self.metrics.dropped.inc();
            static FULL: Every = Every::new(Duration::from_secs(10));
            if let Some(held_back) = FULL.pass() {
                tracing::warn!(
                    held_back,
                    "backends are not told who comes and goes: too many events wait for them"
                );
            }
        }
    }
}

/// Microseconds since 1970.
fn micros(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

impl Notice for v1::PresenceEvent {
    fn key(&self) -> String {
        match self.kind() {
            Kind::NodeStarted | Kind::Unspecified => self.node.clone(),
            Kind::Online | Kind::Offline => Identity::new(&self.biz_id, &self.user_id).to_string(),
        }
    }

    fn call(channel: Checked, events: Vec<Self>) -> BoxFuture<'static, Result<(), Status>> {
        Box::pin(async {
            let mut service = PresenceServiceClient::new(channel);
            let request = v1::OnPresenceRequest { events };
            service.on_presence(request).await.map(|_| ())
        })
    }
}

#[cfg(test)]
mod tests;
