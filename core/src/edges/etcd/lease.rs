//! Leases: what is written under one goes by itself when this process does.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{LeaseKeepAliveStream, LeaseKeeper, PutOptions};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::connection::{Connection, Line, kv};
use super::error::{EtcdError, text};

/// A last farewell takes no longer.
const FAREWELL: Duration = Duration::from_secs(2);

/// A lease, kept alive by a task of its own until this is dropped. Then it runs out by itself.
pub(crate) struct Lease {
    connection: Arc<Connection>,
    id: i64,
    keeping: AbortOnDropHandle<String>,
}

impl Lease {
    /// A new lease, which lasts for so long after it was last kept alive. Full seconds, at least one.
    ///
    /// # Errors
    /// If etcd does not answer or refuses.
    pub(crate) async fn grant(
        connection: &Arc<Connection>,
        lasts: Duration,
    ) -> Result<Self, EtcdError> {
        let seconds = lasts.as_secs().max(1);
        let ttl = i64::try_from(seconds).unwrap_or(i64::MAX);
        let grant = |client: etcd_client::Client| async move {
            client.lease_client().grant(ttl, None).await
        };
        let id = connection.call(grant).await?.id();
        let keeping = keep(Arc::clone(connection), id, Duration::from_secs(seconds) / 3);
        Ok(Self {
            connection: Arc::clone(connection),
            id,
            keeping: AbortOnDropHandle::new(tokio::spawn(keeping)),
        })
    }

    /// Writes a key that goes when the lease ends.
    ///
    /// # Errors
    /// If etcd does not answer or refuses.
    pub(crate) async fn put(&self, key: &str, value: &str) -> Result<(), EtcdError> {
        let id = self.id;
        let put = |client| async move {
            let options = PutOptions::new().with_lease(id);
            kv(&client).put(key, value, Some(options)).await
        };
        self.connection.call(put).await.map(|_| ())
    }

    /// Ends when it cannot be kept alive any more, and says why. Nothing is lost when this is dropped before; do not ask again
    /// after.
    pub(crate) async fn lost(&mut self) -> String {
        let ended = (&mut self.keeping).await;
        ended.unwrap_or_else(|error| error.to_string())
    }

    /// Ends it now, and with it what was written under it; `false` if etcd does not say so in time.
    pub(crate) async fn revoke(self) -> bool {
        let id = self.id;
        let revoke =
            |client: etcd_client::Client| async move { client.lease_client().revoke(id).await };
        let revoked = timeout(FAREWELL, self.connection.call(revoke)).await;
        matches!(revoked, Ok(Ok(_)))
    }
}

/// Keeps a lease alive; ends when that fails, and says why.
async fn keep(connection: Arc<Connection>, id: i64, every: Duration) -> String {
    let Line { client, number } = match connection.line().await {
        Ok(line) => line,
        Err(failure) => return connection.explain(failure).to_string(),
    };
    let mut client = client.lease_client();
    let opened = timeout(connection.patience(), client.keep_alive(id)).await;
    let why = match opened {
        Ok(Ok((keeper, answers))) => match prolong_each(every, keeper, answers).await {
            Err(why) => why,
            Ok(never) => match never {},
        },
        Ok(Err(error)) => text(&error),
        Err(_) => connection.timed_out().to_string(),
    };
    connection.give_up(number).await;
    why
}

async fn prolong_each(
    every: Duration,
    mut keeper: LeaseKeeper,
    mut answers: LeaseKeepAliveStream,
) -> Result<Infallible, String> {
    loop {
        sleep(every).await;
        prolong(&mut keeper, &mut answers, every).await?;
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
        Ok(Ok(Some(_))) => Err("the lease has ended".to_owned()),
        Ok(Ok(None)) => Err("etcd keeps the lease alive no longer".to_owned()),
        Ok(Err(error)) => Err(text(&error)),
        Err(_) => Err("etcd does not answer for the lease".to_owned()),
    }
}
