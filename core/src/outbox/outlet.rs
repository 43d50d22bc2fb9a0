//! From a notice to a letter, by the destination that is configured.

use std::sync::Arc;

use linkgate_filter::Bytes;
use linkgate_filter::backend::Backends;
use linkgate_filter::broker::{Broker, Record};
use linkgate_filter::runner::Edges;
use linkgate_grpc::{Pool, connector};
use serde::Serialize;

use super::calls::{Calls, Notice};
use super::config::Destination;
use super::letter::Letter;

/// Where notices of one kind go.
pub struct Outlet<N>(Way<N>);

/// What a record says.
type Write<N> = fn(&N) -> Bytes;

enum Way<N> {
    Topic(Arc<dyn Broker>, Arc<str>, Write<N>),
    Service(Arc<str>, Calls<N>),
}

impl<N> Clone for Outlet<N> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Way::Topic(broker, topic, write) => {
                Way::Topic(Arc::clone(broker), Arc::clone(topic), *write)
            }
            Way::Service(name, calls) => Way::Service(Arc::clone(name), calls.clone()),
        })
    }
}

impl<N: Notice> Outlet<N> {
    /// The way to `destination`, of which a checked configuration has just one. Nothing is connected yet.
    pub fn open(destination: &Destination, edges: &Edges, backends: &Backends) -> Option<Self> {
        if let Some(kafka) = &destination.kafka {
            return Some(Self::topic(edges.broker(&kafka.broker)?, &kafka.topic));
        }
        let grpc = destination.grpc.as_ref()?;
        let backend = &backends.get(&grpc.backend)?.grpc;
        let pool = Pool::new(backend, connector(edges.other()), Arc::default());
        let most = grpc.max_notices as usize;
        let calls = Calls::new(pool, *grpc.timeout, most);
        Some(Self::service(&grpc.backend, calls))
    }

    /// The way to a service; the log calls it `name`.
    pub(super) fn service(name: &str, calls: Calls<N>) -> Self {
        Self(Way::Service(name.into(), calls))
    }

    /// The way to a topic.
    pub fn topic(broker: &Arc<dyn Broker>, topic: &str) -> Self {
        Self(Way::Topic(Arc::clone(broker), topic.into(), json))
    }

    /// Records are written so, not as JSON of the notices.
    #[must_use]
    pub fn written(mut self, so: fn(&N) -> Bytes) -> Self {
        if let Way::Topic(_, _, write) = &mut self.0 {
            *write = so;
        }
        self
    }

    /// A letter that tells this.
    pub fn letter(&self, notice: N) -> Letter {
        match &self.0 {
            Way::Topic(broker, topic, write) => {
                let record = Record {
                    topic: topic.to_string(),
                    key: notice.key().into(),
                    payload: write(&notice),
                    headers: Vec::new(),
                };
                Letter::record(broker, record)
            }
            Way::Service(name, calls) => {
                let calls = calls.clone();
                Letter::new(Arc::clone(name), move || calls.tell(notice.clone()))
            }
        }
    }
}

/// Texts and numbers can always be written as JSON.
pub(crate) fn json(notice: &impl Serialize) -> Bytes {
    serde_json::to_vec(notice).map_or_else(|_| Bytes::new(), Bytes::from)
}
