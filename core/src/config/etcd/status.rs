//! What a node says of itself, for as long as it lives.

use std::convert::Infallible;
use std::time::Duration;

use etcd_client::{LeaseKeepAliveStream, LeaseKeeper, PutOptions};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::client::{Etcd, kv};
use super::connection::Line;
use super::error::text;

/// A last farewell takes no longer.
const FAREWELL: Duration = Duration::from_secs(2);

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
        let Some(lease) = lease else {
            return;
        };
        let revoked = self
            .connection
            .call(|client| async move { client.lease_client().revoke(lease).await });
        if !matches!(timeout(FAREWELL, revoked).await, Ok(Ok(_))) {
            tracing::debug!(etcd = %self, "the state of this node is left to its lease");
        }
    }

    async fn keep(
        &self,
        node: &str,
        values: &mut watch::Receiver<Value>,
        lease: &mut Option<i64>,
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

    /// Keeps one lease, until it is lost; says why.
    async fn keep_one(
        &self,
        node: &str,
        values: &mut watch::Receiver<Value>,
        lease: &mut Option<i64>,
        failures: &mut u32,
    ) -> String {
        let seconds = self.timing.lease.as_secs().max(1);
        let ttl = i64::try_from(seconds).unwrap_or(i64::MAX);
        let granted = self
            .connection
            .call(|client| async move { client.lease_client().grant(ttl, None).await })
            .await;
        let id = match granted {
            Ok(granted) => granted.id(),
            Err(error) => return error.to_string(),
        };
        *lease = Some(id);
        let (mut keeper, mut answers, number) = match self.keep_alive(id).await {
            Ok(opened) => opened,
            Err(why) => return why,
        };
        let third = Duration::from_secs(seconds) / 3;
        let mut is_told = false;
        let mut next = Instant::now() + third;
        let why = loop {
            if !is_told {
                if let Err(why) = self.tell(node, values, id).await {
                    break why;
                }
                is_told = true;
                *failures = 0;
            }
            tokio::select! {
                changed = values.changed() => match changed {
                    Ok(()) => is_told = false,
                    // Nobody will say anything new; what was said last stays.
                    Err(_) => match self.keep_last(&mut keeper, &mut answers, third).await {
                        Ok(never) => match never {},
                        Err(why) => break why,
                    },
                },
                () = sleep_until(next) => {
                    if let Err(why) = prolong(&mut keeper, &mut answers, third).await {
                        break why;
                    }
                    next = Instant::now() + third;
                }
            }
        };
        self.connection.give_up(number).await;
        why
    }

    async fn keep_last(
        &self,
        keeper: &mut LeaseKeeper,
        answers: &mut LeaseKeepAliveStream,
        third: Duration,
    ) -> Result<Infallible, String> {
        loop {
            prolong(keeper, answers, third).await?;
            sleep(third).await;
        }
    }

    async fn keep_alive(
        &self,
        lease: i64,
    ) -> Result<(LeaseKeeper, LeaseKeepAliveStream, u64), String> {
        let line = self.connection.line().await;
        let Line { client, number } =
            line.map_err(|failure| self.connection.explain(failure).to_string())?;
        let mut client = client.lease_client();
        let opened = timeout(self.connection.patience(), client.keep_alive(lease)).await;
        let why = match opened {
            Ok(Ok((keeper, answers))) => return Ok((keeper, answers, number)),
            Ok(Err(error)) => text(&error),
            Err(_) => self.connection.timed_out().to_string(),
        };
        self.connection.give_up(number).await;
        Err(why)
    }

    async fn tell(
        &self,
        node: &str,
        values: &mut watch::Receiver<Value>,
        lease: i64,
    ) -> Result<(), String> {
        let (key, value) = (
            self.keys.status(node),
            values.borrow_and_update().to_string(),
        );
        let (key, value) = (key.as_str(), value.as_str());
        let put = |client| async move {
            let options = PutOptions::new().with_lease(lease);
            kv(&client).put(key, value, Some(options)).await
        };
        let done = self.connection.call(put).await;
        done.map(|_| ()).map_err(|error| error.to_string())
    }
}

/// Asks for more time, and takes the answer.
async fn prolong(
    keeper: &mut LeaseKeeper,
    answers: &mut LeaseKeepAliveStream,
    limit: Duration,
) -> Result<(), String> {
    let asked = async {
        keeper.keep_alive().await?;
        answers.message().await
    };
    match timeout(limit, asked).await {
        Ok(Ok(Some(answer))) if answer.ttl() > 0 => Ok(()),
        Ok(Ok(Some(_))) => Err("the lease of this node has ended".to_owned()),
        Ok(Ok(None)) => Err("etcd keeps the lease of this node alive no longer".to_owned()),
        Ok(Err(error)) => Err(text(&error)),
        Err(_) => Err("etcd does not answer for the lease of this node".to_owned()),
    }
}
