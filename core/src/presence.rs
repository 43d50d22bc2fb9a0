//! Presence: what backends are told of users who come and go.
//!
//! The journal of links says what has changed. As long as there is room, each change is put in line as an event of its own;
//! while there is none, the journal keeps what is untold, as one difference a user. Events are told in batches, each until
//! it is confirmed. What may not enter: how a link works, and how a topic or a service is reached ([`crate::outbox`]).

mod config;
mod users_action;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use linkgate_filter::trace::link_id;
use linkgate_filter::{Clock, Identity};
use linkgate_grpc::Channel;
use linkgate_proto::v1;
use linkgate_proto::v1::presence_event::Kind;
use linkgate_proto::v1::presence_service_client::PresenceServiceClient;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tonic::Status;

pub use self::config::{PresenceConfig, PresenceFormat};
use crate::link::{Backlog, Change, Reader};
use crate::outbox::{Notice, Outlet, Writer};
use crate::telemetry::limit::Every;

/// What presence counts.
#[derive(Clone, Default)]
pub struct PresenceMetrics {
    events: Counter,
    waiting: Gauge,
    behind: Backlog,
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
            "presence_users_waiting",
            "Users whose links have come or gone and whose events find no room yet",
            self.behind.users.clone(),
        );
        registry.register(
            "presence_links_unseen",
            "Links that came and went before there was room: backends are told of neither",
            self.behind.unseen.clone(),
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
    desk: Desk,
    reader: Reader,
    events: mpsc::Receiver<v1::PresenceEvent>,
    is_told: fn(&v1::PresenceEvent) -> bool,
}

impl Presence {
    /// Events told at a time.
    const BATCH: usize = 500;
    /// How long a node that stops goes on telling.
    const LAST_WORDS: Duration = Duration::from_millis(900);

    /// Begins with the start of the node; what `read` gives comes behind that.
    pub fn new(
        outlet: Outlet<v1::PresenceEvent>,
        max_queued: usize,
        (node, clock): (&str, &Arc<dyn Clock>),
        metrics: &PresenceMetrics,
        read: impl FnOnce(Backlog) -> Reader,
    ) -> Self {
        let (queue, events) = mpsc::channel(max_queued);
        let mut desk = Desk {
            node: node.to_owned(),
            clock: Arc::clone(clock),
            sequence: micros(clock.wall()),
            queue,
            metrics: metrics.clone(),
        };
        desk.tell_start();
        Self {
            outlet,
            writer: Writer::new(
                Arc::clone(clock),
                metrics.failed_writes.clone(),
                metrics.refused_writes.clone(),
            ),
            desk,
            reader: read(metrics.behind.clone()),
            events,
            is_told: |_| true,
        }
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
        let metrics = self.desk.metrics.clone();
        let over = async {
            stop.cancelled().await;
            sleep(Self::LAST_WORDS).await;
            (metrics.waiting.get(), metrics.behind.users.get())
        };
        let telling = Telling {
            outlet: self.outlet,
            writer: self.writer,
            events: self.events,
            is_told: self.is_told,
            under_way: 0,
            waiting: metrics.waiting.clone(),
        };
        tokio::select! {
            _ = async { tokio::join!(self.desk.gather(self.reader, &stop), telling.tell()) } => {}
            (left, users) = over => {
                tracing::warn!(left, users, "the node stops before backends were told who is gone");
            }
        }
    }
}

/// Where events stand in line, and who sends them.
struct Telling {
    outlet: Outlet<v1::PresenceEvent>,
    writer: Writer,
    events: mpsc::Receiver<v1::PresenceEvent>,
    is_told: fn(&v1::PresenceEvent) -> bool,
    /// Events that have left the line and are not confirmed.
    under_way: usize,
    waiting: Gauge,
}

impl Drop for Telling {
    /// What is left will not be told.
    fn drop(&mut self) {
        self.waiting
            .dec_by((self.under_way + self.events.len()) as i64);
    }
}

impl Telling {
    /// Ends when all is told and nothing can come any more.
    async fn tell(mut self) {
        let mut batch = Vec::new();
        while self.events.recv_many(&mut batch, Presence::BATCH).await > 0 {
            self.under_way = batch.len();
            let letters = batch.drain(..).filter(self.is_told);
            let letters = letters.map(|event| self.outlet.letter(event));
            self.writer.clone().write(letters.collect()).await;
            self.waiting.dec_by(self.under_way as i64);
            self.under_way = 0;
        }
    }
}

/// Where changes become events.
struct Desk {
    node: String,
    clock: Arc<dyn Clock>,
    sequence: u64,
    queue: mpsc::Sender<v1::PresenceEvent>,
    metrics: PresenceMetrics,
}

impl Desk {
    /// Puts what changes in line while there is room, until `stop`, and then what is still unread.
    async fn gather(mut self, reader: Reader, stop: &CancellationToken) {
        loop {
            self.wait_for_room().await;
            let most = self.queue.capacity().min(Presence::BATCH);
            let changes = reader.changes(most);
            let changes = match stop.run_until_cancelled(changes).await {
                Some(changes) => changes,
                None => {
                    reader.close();
                    reader.changes(most).await
                }
            };
            let Some(changes) = changes else {
                return;
            };
            for change in changes {
                self.tell_change(&change);
            }
        }
    }

    async fn wait_for_room(&self) {
        if self.queue.capacity() == 0 {
            static FULL: Every = Every::new(Duration::from_secs(10));
            if let Some(held_back) = FULL.pass() {
                tracing::warn!(
                    held_back,
                    "backends are behind with who comes and goes: of links that come and go meanwhile they are not told"
                );
            }
        }
        // Nobody else puts anything in line, so the room stays.
        let _ = self.queue.reserve().await;
    }

    fn tell_start(&mut self) {
        let at = self.clock.wall();
        self.tell(
            v1::PresenceEvent {
                kind: Kind::NodeStarted.into(),
                ..v1::PresenceEvent::default()
            },
            at,
        );
    }

    fn tell_change(&mut self, change: &Change) {
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
        let event = v1::PresenceEvent {
            kind: kind.into(),
            biz_id: biz_id.to_string(),
            user_id: user_id.to_string(),
            device_id: device_id.as_deref().map(str::to_owned),
            link_id: link_id(&change.link),
            links: u32::try_from(change.links).unwrap_or(u32::MAX),
            ..v1::PresenceEvent::default()
        };
        let now = self.clock.wall();
        let since = Instant::now().saturating_duration_since(change.at);
        self.tell(event, now.checked_sub(since).unwrap_or(now));
    }

    fn tell(&mut self, event: v1::PresenceEvent, at: SystemTime) {
        let event = v1::PresenceEvent {
            node: self.node.clone(),
            sequence: self.sequence,
            at: i64::try_from(micros(at) / 1000).unwrap_or(i64::MAX),
            ..event
        };
        self.sequence += 1;
        // There is room; if nobody tells any more, the node has stopped.
        if self.queue.try_send(event).is_ok() {
            self.metrics.events.inc();
            self.metrics.waiting.inc();
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

    fn call(channel: Channel, events: Vec<Self>) -> BoxFuture<'static, Result<(), Status>> {
        Box::pin(async {
            let mut service = PresenceServiceClient::new(channel);
            let request = v1::OnPresenceRequest { events };
            service.on_presence(request).await.map(|_| ())
        })
    }
}

#[cfg(test)]
mod tests;
