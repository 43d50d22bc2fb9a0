//! In place of etcd, in a build without it.

use super::Fetched;
use crate::config::etcd::EtcdSource;
use crate::node::Node;

/// There is none.
pub(super) struct Remote;

impl Remote {
    pub(super) fn new(_: EtcdSource) -> Self {
        Self
    }

    pub(super) async fn read(&self) -> Result<Fetched, String> {
        Err("this build of linkgate has no etcd; build it with the cargo feature `etcd`".to_owned())
    }

    pub(super) fn follow(&mut self, _: &Node) {}

    pub(super) async fn changed(&mut self) -> (Option<Fetched>, Option<String>) {
        std::future::pending().await
    }
}
