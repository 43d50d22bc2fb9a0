//! What a node says of itself, for as long as it lives.

use std::convert::Infallible;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::client::Etcd;
use crate::edges::etcd::Lease;

impl Etcd {
    /// Keeps `status/NODE` at the latest of `values` until `stop`, and removes it then. It stands under a lease, so that it
    /// goes by itself when this process does, and comes back by itself after etcd was away.
    pub async fn keep_status(
        &self,
        node: &str,
        mut values: watch::Receiver<Value>,
        stop: CancellationToken,
    ) {
        let mut lease = None;
        let keeping = Box::pin(self.keep(node, &mut values, &mut lease));
        stop.run_until_cancelled(keeping).await;
        if let Some(lease) = lease
            && !lease.revoke().await
        {
            tracing::debug!(etcd = %self, "the state of this node is left to its lease");
        }
    }

    async fn keep(
        &self,
        node: &str,
        values: &mut watch::Receiver<Value>,
        lease: &mut Option<Lease>,
    ) -> Infallible {
        let mut failures = 0;
        loop {
            let why = self.keep_one(node, values, lease, &mut failures).await;
            failures += 1;
            if failures == 1 {
                tracing::warn!(etcd = %self, %why, "the state of this node cannot be told for now");
            }
            sleep(self.timing.pause(failures)).await;
        }
    }

    /// Keeps the state under one lease, until that is lost; says why.
    async fn keep_one(
        &self,
        node: &str,
        values: &mut watch::Receiver<Value>,
        lease: &mut Option<Lease>,
        failures: &mut u32,
    ) -> String {
        let lease = match Lease::grant(&self.connection, self.timing.lease).await {
            Ok(granted) => lease.insert(granted),
            Err(error) => return error.to_string(),
        };
        let key = self.keys.status(node);
        loop {
            let value = values.borrow_and_update().to_string();
            if let Err(error) = lease.put(&key, &value).await {
                return error.to_string();
            }
            *failures = 0;
            tokio::select! {
                // Without it nobody will say anything new, and what was said last stays.
                Ok(()) = values.changed() => {}
                why = lease.lost() => return why,
            }
        }
    }
}
