//! The node's push sources: opened before anything is accepted, then served until the node stops.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router as Routes;
use linkgate_filter::Edges;
use linkgate_filter::backend::Backends;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::StartError;
use crate::outbox::Outlet;
use crate::pipeline::Generations;
use crate::push::{GrpcPush, HttpPush, PushConfig, Reporter, Router, TopicPush};

/// Sources that are open and not served yet.
pub(super) struct Pushes {
    calls: Vec<GrpcPush>,
    topics: Vec<TopicPush>,
    routes: Routes,
}

impl Pushes {
    pub(super) async fn open(
        config: &PushConfig,
        router: &Router,
        generations: &Arc<Generations>,
        (edges, backends, node): (&Edges, &Backends, &str),
    ) -> Result<Self, StartError> {
        let reports = config.reports.as_ref();
        let outlet = reports.and_then(|reports| Outlet::open(reports, edges, backends));
        let reporter = outlet.map(|outlet| Reporter::new(outlet, node));
        let (mut calls, mut topics, mut routes) = (Vec::new(), Vec::new(), Routes::new());
        for source in &config.sources {
            if let Some(grpc) = &source.grpc {
                calls.push(GrpcPush::bind(grpc, router.clone()).await?);
            }
            if let Some(http) = &source.http {
                routes = routes.merge(HttpPush::new(http, router.clone()).routes());
            }
            if let Some(kafka) = &source.kafka {
                let generations = Arc::clone(generations);
                let serves = move |biz_id: &str| generations.load().serves(biz_id);
                let failed = |source| StartError::Topic {
                    topic: kafka.topic.clone(),
                    source,
                };
                let topic = TopicPush::subscribe(
                    kafka,
                    source.routing.unwrap_or_default(),
                    (edges, node),
                    (router.clone(), Arc::new(serves)),
                    reporter.clone(),
                );
                topics.push(topic.map_err(failed)?);
            }
        }
        Ok(Self {
            calls,
            topics,
            routes,
        })
    }

    /// What the admin address answers to for them.
    pub(super) fn routes(&self) -> Routes {
        self.routes.clone()
    }

    /// Serves all sources on tasks of their own. Gives the addresses at which backends call.
    pub(super) fn serve(self, tasks: &TaskTracker, stop: &CancellationToken) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        for source in self.calls {
            addresses.extend(source.address());
            let stop = stop.clone();
            tasks.spawn(async move {
                if let Err(error) = source.serve(stop).await {
                    tracing::error!(%error, "a push source does not serve any more");
                }
            });
        }
        for topic in self.topics {
            tasks.spawn(topic.serve(stop.clone()));
        }
        addresses
    }
}
