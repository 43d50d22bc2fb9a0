//! The way of a push to the gateway: its push service, or a topic that it reads.

use std::collections::HashMap;
use std::sync::Arc;

use linkgate_client::Pusher;
use linkgate_core::clock::SystemClock;
use linkgate_core::edges::config::BrokerConfig;
use linkgate_core::edges::{AsConfigured, Opener};
use linkgate_filter::Clock;
use linkgate_filter::broker::{self, Broker, Record};
use linkgate_proto::v1::receiver_outcome::Status;
use linkgate_proto::v1::{PushRequest, PushResponse, ReceiverOutcome};
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::oneshot;

use crate::text;

/// The way of a push to the gateway.
pub(super) enum Way {
    Service(Pusher),
    Topic(Topic),
}

/// A topic that the gateway reads. Nobody answers there: a push has come to its end when its client has it.
pub(super) struct Topic {
    broker: Arc<dyn Broker>,
    name: String,
    arrivals: Arc<Arrivals>,
}

/// Who waits for pushes to arrive, by key.
#[derive(Default)]
pub(super) struct Arrivals(Mutex<HashMap<String, oneshot::Sender<()>>>);

impl Arrivals {
    /// A client has the push.
    pub(super) fn note(&self, key: &str) {
        if let Some(waiting) = self.0.lock().remove(key) {
            let _ = waiting.send(());
        }
    }
}

impl Way {
    /// `kafka://host:port/topic`, or the URL of a push service with a token and so many pushes under way at the most.
    pub(super) fn open(to: &str, token: Option<&str>, most: usize) -> Result<Self, String> {
        let Some(place) = to.strip_prefix("kafka://") else {
            let own = to.to_owned();
            let refused = move |status: tonic::Status| {
                text::complain(format_args!("cannot push to {own}: {}", status.message()));
            };
            let pusher = Pusher::start(to, token, most, refused).map_err(|e| e.to_string())?;
            return Ok(Self::Service(pusher));
        };
        let (bootstrap, name) = place
            .split_once('/')
            .filter(|(bootstrap, name)| !bootstrap.is_empty() && !name.is_empty())
            .ok_or_else(|| format!("`{to}` names no topic: write kafka://HOST:PORT/TOPIC"))?;
        Ok(Self::Topic(Topic {
            broker: broker(bootstrap)?,
            name: name.to_owned(),
            arrivals: Arc::default(),
        }))
    }

    /// Where clients note what has arrived.
    pub(super) fn arrivals(&self) -> Arc<Arrivals> {
        match self {
            Self::Service(_) => Arc::default(),
            Self::Topic(topic) => Arc::clone(&topic.arrivals),
        }
    }

    /// Pushes; `None` if the gateway takes no pushes from here any more.
    pub(super) async fn push(&self, request: PushRequest) -> Option<PushResponse> {
        match self {
            Self::Service(pusher) => pusher.push(request).await.ok()?.await.ok(),
            Self::Topic(topic) => topic.push(request).await,
        }
    }
}

impl Topic {
    async fn push(&self, request: PushRequest) -> Option<PushResponse> {
        let (arriving, arrived) = oneshot::channel();
        self.arrivals.0.lock().insert(request.key.clone(), arriving);
        let user = request.receiver_ids.first().cloned().unwrap_or_default();
        let record = Record {
            topic: self.name.clone(),
            key: user.into(),
            payload: request.encode_to_vec().into(),
            headers: Vec::new(),
        };
        if let Err(error) = broker::deliver(&self.broker, record).await {
            text::complain(format_args!("cannot write to the topic: {error}"));
            return None;
        }
        arrived.await.ok()?;
        let outcome = ReceiverOutcome {
            status: Status::Delivered.into(),
            ..ReceiverOutcome::default()
        };
        Some(PushResponse {
            outcomes: vec![outcome],
            ..PushResponse::default()
        })
    }
}

fn broker(bootstrap: &str) -> Result<Arc<dyn Broker>, String> {
    // As backends write that have much to push: not a record by itself.
    let yaml = serde_json::json!({ "kafka": { "bootstrap": bootstrap, "linger": "10ms" } });
    let config: BrokerConfig = serde_json::from_value(yaml).map_err(|e| e.to_string())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    AsConfigured::new(&clock).broker("bench", &config)
}
