//! A node in this process.

use std::net::SocketAddr;

use linkgate_client::Target;
use linkgate_core::config::{self, Config};
use linkgate_core::node::{Changed, Node};

use super::metrics::Metrics;
use super::wait::until;

/// What a node with one listener, `public`, and one business, `chat`, is told beyond the defaults: the inside of YAML's
/// curly brackets.
#[derive(Clone, Copy, Default)]
pub(crate) struct Setup<'a> {
    /// The listener; `auth: insecure_query` unless it says otherwise.
    pub(crate) listener: &'a str,
    /// The push source.
    pub(crate) push: &'a str,
    /// The pipeline's `limits`.
    pub(crate) limits: &'a str,
    /// The `ack_retry`.
    pub(crate) ack: &'a str,
    /// A `batch` before the end, if there is one.
    pub(crate) batch: Option<&'a str>,
    /// The `grpc_upstream`; without a backend `echo` ends the pipeline.
    pub(crate) upstream: &'a str,
    /// Where the backend is.
    pub(crate) backend: Option<SocketAddr>,
}

impl Setup<'_> {
    /// The configuration.
    pub(crate) fn yaml(&self) -> String {
        let auth = if self.listener.contains("auth:") {
            ""
        } else {
            "auth: insecure_query, "
        };
        let (backends, end) = match self.backend {
            None => (String::new(), "{ use: echo }".to_owned()),
            Some(address) => (
                format!("backends: {{ chat: {{ grpc: {{ endpoints: [\"{address}\"] }} }} }}"),
                format!(
                    "{{ use: grpc_upstream, config: {{ {} }} }}",
                    join("backend: chat", self.upstream)
                ),
            ),
        };
        let batch = self
            .batch
            .map(|batch| format!("- {{ use: batch, config: {{ {batch} }} }}"))
            .unwrap_or_default();
        let listener = join(
            &format!("{auth}name: public, address: \"127.0.0.1:0\""),
            self.listener,
        );
        let push = join("address: \"127.0.0.1:0\"", self.push);
        format!(
            "schema: 1
admin: {{ address: \"127.0.0.1:0\" }}
listeners: [{{ {listener} }}]
push: {{ sources: [{{ grpc: {{ {push} }} }}] }}
{backends}
pipelines:
  - biz_id: chat
    listeners: [public]
    limits: {{ {limits} }}
    filters:
      - {{ use: codec }}
      - {{ use: ack_retry, config: {{ {ack} }} }}
      {batch}
      - {end}
",
            limits = self.limits,
            ack = self.ack,
        )
    }

    /// Starts it.
    pub(crate) async fn start(&self) -> Gateway {
        Gateway::start(&self.yaml()).await
    }
}

fn join(first: &str, more: &str) -> String {
    if more.is_empty() {
        first.to_owned()
    } else {
        format!("{first}, {more}")
    }
}

/// What a user of the business `chat` connects to.
pub(crate) fn target(address: SocketAddr, user: &str) -> Target {
    Target {
        url: format!("ws://{address}/ws"),
        biz_id: Some("chat".into()),
        user_id: Some(user.into()),
        ..Target::default()
    }
}

pub(crate) fn read(yaml: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, yaml).unwrap();
    let config = config::load(&[file], &linkgate_filters::all());
    config.unwrap_or_else(|invalid| panic!("{}", invalid.render(false)))
}

/// A running node.
pub(crate) struct Gateway {
    node: Node,
    pub(crate) admin: SocketAddr,
}

impl Gateway {
    /// Starts a node from the text of a configuration.
    pub(crate) async fn start(yaml: &str) -> Self {
        let node = Node::start(read(yaml)).unwrap_or_else(|error| panic!("{error}"));
        let admin = node.admin_address().expect("the tests read metrics");
        Self { node, admin }
    }

    /// Changes it over to another configuration.
    pub(crate) fn change(&self, yaml: &str) -> Changed {
        let changed = self.node.change(read(yaml));
        changed.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.node.listeners()[0].1
    }

    /// Where clients connect to the listener of this name.
    pub(crate) fn listener(&self, name: &str) -> SocketAddr {
        let listeners = self.node.listeners();
        let found = listeners.iter().find(|(known, _)| known == name);
        found.expect("there is such a listener").1
    }

    /// Where backends push.
    pub(crate) fn push_address(&self) -> SocketAddr {
        self.node.push_sources()[0]
    }

    /// What a user of the business `chat` connects to.
    pub(crate) fn target(&self, user: &str) -> Target {
        target(self.address(), user)
    }

    /// What it has counted so far.
    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics::of(self.admin).await
    }

    /// Stops it, in good time.
    pub(crate) async fn stop(self) {
        let left = self.node.stop(super::wait::PATIENCE).await;
        assert_eq!(left, 0, "no link is left");
    }

    /// Waits until it has counted so.
    pub(crate) async fn counts(&self, what: &str, holds: impl Fn(&Metrics) -> bool) {
        until(what, async || holds(&self.metrics().await)).await;
    }
}
