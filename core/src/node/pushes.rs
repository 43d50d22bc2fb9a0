//! The node's push sources: opened before they are needed, changed in place where that is possible, closed.

use std::net::SocketAddr;
use std::sync::Arc;

use linkgate_filter::backend::Backends;
use linkgate_filter::runner::{EdgeName, Edges};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::StartError;
use crate::edges::Edge;
use crate::network::Network;
use crate::outbox::{Destination, Outlet};
use crate::push::{
    GrpcControl, GrpcPush, GrpcSource, HttpPush, HttpSlot, PushConfig, Ready, Reporter, Router,
    Routing, TopicPush, TopicSource,
};
use crate::readiness::{Reason, Reasons};
use crate::reception::ReceptionMetrics;

/// The sources that are open.
#[derive(Default)]
pub(super) struct Pushes {
    /// Served on the admin address, if there is one.
    pub(super) http: HttpSlot,
    calls: Vec<Calls>,
    topics: Vec<Topic>,
}

struct Calls {
    config: GrpcSource,
    routing: Routing,
    control: GrpcControl,
    address: SocketAddr,
    stop: CancellationToken,
}

struct Topic {
    made_of: TopicOf,
    reasons: TopicReasons,
    stop: CancellationToken,
}

/// What of a topic may speak against sending traffic to the node.
struct TopicReasons {
    /// It cannot be read.
    unreadable: Arc<Reason>,
    /// Others read it too.
    others: Arc<Reason>,
}

impl TopicReasons {
    fn of(reasons: &Reasons) -> Self {
        Self {
            unreadable: Arc::new(reasons.reason(false)),
            others: Arc::new(reasons.reason(true)),
        }
    }

    fn set(&self, ready: Option<Ready>) {
        self.unreadable.set_required(ready == Some(Ready::Required));
        self.others.set_required(ready != Some(Ready::Ignored));
    }
}

/// What a topic's reader was made of: equal ones do the same.
#[derive(PartialEq)]
struct TopicOf {
    config: TopicSource,
    routing: Routing,
    reports: Option<Destination>,
    edges: Vec<Edge>,
}

/// What sources work with.
pub(super) struct Around<'a> {
    pub(super) router: &'a Router,
    pub(super) edges: &'a Edges,
    pub(super) backends: &'a Backends,
    pub(super) node: &'a str,
    pub(super) network: &'a Network,
    pub(super) reasons: &'a Reasons,
    pub(super) reception: &'a ReceptionMetrics,
}

/// Everything that can fail of a change is done. Numbers are those of sources that stay.
pub(super) struct Next {
    http: Option<Arc<HttpPush>>,
    calls: Vec<NextCalls>,
    topics: Vec<NextTopic>,
}

enum NextCalls {
    /// It stays, for these callers.
    Stays(usize, GrpcSource),
    Opens((GrpcSource, Routing), GrpcControl, Box<GrpcPush>),
}

struct NextTopic {
    ready: Option<Ready>,
    way: TopicWay,
}

enum TopicWay {
    Stays(usize),
    Opens(Box<(TopicOf, TopicReasons, TopicPush)>),
}

impl Next {
    /// Whether anything is different from what is open, but who may call.
    pub(super) fn is_change(&self, open: &Pushes) -> bool {
        let calls_stay = |calls: &NextCalls| matches!(calls, NextCalls::Stays(..));
        let topic_stays = |topic: &NextTopic| matches!(topic.way, TopicWay::Stays(_));
        self.calls.len() != open.calls.len()
            || self.topics.len() != open.topics.len()
            || !self.calls.iter().all(calls_stay)
            || !self.topics.iter().all(topic_stays)
    }
}

impl Pushes {
    /// Prepares a change to this config: opens what is new, and nothing else.
    pub(super) fn next(
        &self,
        config: &PushConfig,
        around: &Around<'_>,
    ) -> Result<Next, StartError> {
        let mut next = Next {
            http: None,
            calls: Vec::new(),
            topics: Vec::new(),
        };
        for source in &config.sources {
            let routing = source.routing.unwrap_or_default();
            let router = || around.router.clone().reaching(routing.reach());
            if let Some(grpc) = &source.grpc {
                next.calls
                    .push(self.next_calls((grpc, routing), router(), around)?);
            }
            if let Some(http) = &source.http {
                next.http = Some(Arc::new(HttpPush::new(http, router())));
            }
            if let Some(kafka) = &source.kafka {
                let topic = TopicOf {
                    config: kafka.clone(),
                    routing,
                    reports: config.reports.clone(),
                    edges: edges_of(kafka, config.reports.as_ref(), around),
                };
                next.topics.push(NextTopic {
                    ready: source.ready,
                    way: self.next_topic(topic, around)?,
                });
            }
        }
        Ok(next)
    }

    fn next_calls(
        &self,
        (config, routing): (&GrpcSource, Routing),
        router: Router,
        around: &Around<'_>,
    ) -> Result<NextCalls, StartError> {
        let mut open = self.calls.iter();
        let same_address = open.position(|calls| calls.config.address == config.address);
        let source = match same_address {
            Some(index) => {
                let open = &self.calls[index];
                let auth = config.auth.clone();
                let for_others = GrpcSource {
                    auth,
                    ..open.config.clone()
                };
                if for_others == *config && open.routing == routing {
                    return Ok(NextCalls::Stays(index, for_others));
                }
                GrpcPush::on(open.control.socket(), config, router, around.reception)?
            }
            None => GrpcPush::bind(config, router, (around.network, around.reception))?,
        };
        let control = source.control();
        Ok(NextCalls::Opens(
            (config.clone(), routing),
            control,
            Box::new(source),
        ))
    }

    fn next_topic(&self, topic: TopicOf, around: &Around<'_>) -> Result<TopicWay, StartError> {
        if let Some(index) = self.topics.iter().position(|open| open.made_of == topic) {
            return Ok(TopicWay::Stays(index));
        }
        let outlet = |reports| Outlet::open(reports, around.edges, around.backends);
        let outlet = topic.reports.as_ref().and_then(outlet);
        let reporter = outlet.map(|outlet| Reporter::new(outlet, around.node));
        let source = TopicPush::subscribe(
            &topic.config,
            topic.routing,
            (around.edges, around.node),
            around.router.clone(),
            reporter,
        );
        let source = source.map_err(|source| StartError::Topic {
            topic: topic.config.topic.clone(),
            source,
        })?;
        let reasons = TopicReasons::of(around.reasons);
        let TopicReasons { unreadable, others } = &reasons;
        let source = source.with_reasons(Arc::clone(unreadable), Arc::clone(others));
        Ok(TopicWay::Opens(Box::new((topic, reasons, source))))
    }

    /// Makes the change: what is new is served on tasks of its own, what is gone takes nothing more and settles.
    pub(super) fn make(&mut self, next: Next, (tasks, stop): (&TaskTracker, &CancellationToken)) {
        self.http.store(next.http);
        let mut before: Vec<_> = self.calls.drain(..).map(Some).collect();
        for calls in next.calls {
            match calls {
                NextCalls::Stays(index, config) => {
                    if let Some(open) = before[index].take() {
                        open.control.admit(&config.auth);
                        self.calls.push(Calls { config, ..open });
                    }
                }
                NextCalls::Opens((config, routing), control, source) => {
                    let stop = stop.child_token();
                    self.calls.push(Calls {
                        address: source.address().unwrap_or(config.address),
                        config,
                        routing,
                        control,
                        stop: stop.clone(),
                    });
                    tasks.spawn(async move {
                        if let Err(error) = source.serve(stop).await {
                            tracing::error!(%error, "a push source does not serve any more");
                        }
                    });
                }
            }
        }
        for gone in before.into_iter().flatten() {
            gone.stop.cancel();
        }
        let mut before: Vec<_> = self.topics.drain(..).map(Some).collect();
        for NextTopic { ready, way } in next.topics {
            let topic = match way {
                TopicWay::Stays(index) => before[index].take(),
                TopicWay::Opens(topic) => {
                    let (made_of, reasons, source) = *topic;
                    let stop = stop.child_token();
                    tasks.spawn(source.serve(stop.clone()));
                    Some(Topic {
                        made_of,
                        reasons,
                        stop,
                    })
                }
            };
            if let Some(topic) = &topic {
                topic.reasons.set(ready);
            }
            self.topics.extend(topic);
        }
        for gone in before.into_iter().flatten() {
            gone.stop.cancel();
        }
    }

    /// The addresses at which backends call.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.calls.iter().map(|calls| calls.address).collect()
    }
}

/// What a topic's reader uses of what lies outside.
fn edges_of(config: &TopicSource, reports: Option<&Destination>, around: &Around<'_>) -> Vec<Edge> {
    let topic = EdgeName::Broker(config.broker.clone());
    let names = std::iter::once(topic).chain(reports.and_then(Destination::edge));
    names
        .map(|name| Edge::find(&name, around.edges, around.backends))
        .collect()
}
