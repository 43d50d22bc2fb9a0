//! Leases: what is written under one goes by itself when this process does.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{LeaseKeepAliveStream, LeaseKeeper, PutOptions};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::connection::{Connection, Line, kv};
use super::error::{EtcdError, text};

/// A last farewell takes no longer.
const FAREWELL: Duration = Duration::from_secs(2);

/// A lease, kept alive by a task of its own until this is dropped. Then it runs out by itself.
pub(crate) struct Lease {
    connection: Arc<Connection>,
    id: i64,
    /// When the latest answer for it was asked for.
    asked: watch::Receiver<Instant>,
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
        let (kept, asked) = watch::channel(Instant::now());
        let id = connection.call(grant).await?.id();
        let every = Duration::from_secs(seconds) / 3;
        let keeping = keep(Arc::clone(connection), id, every, kept);
        Ok(Self {
            connection: Arc::clone(connection),
            id,
            asked,
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

    /// Its id, for [`Step::PutUnder`](super::Step::PutUnder).
    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    /// It lasts from this instant on: when etcd was asked for what it has answered last.
    pub(crate) fn asked(&self) -> Instant {
        *self.asked.borrow()
    }

    /// Waits until it is kept alive once more, and says when that was asked for; or why it is lost. Nothing is lost when this
    /// is dropped before; do not ask again after an error.
    pub(crate) async fn kept_alive(&mut self) -> Result<Instant, String> {
        match self.asked.changed().await {
            Ok(()) => Ok(*self.asked.borrow_and_update()),
            Err(_) => Err(self.lost().await),
        }
    }

    /// Ends when it cannot be kept alive any more, and says why. Nothing is lost when this is dropped before; do not ask again
    /// after.
    pub(crate) async fn lost(&mut self) -> String {
        let ended = (&mut self.keeping).await;
        ended.unwrap_or_else(|error| error.to_string())
    }

    /// Ends it now, and with it what was written under it; `false` if etcd does not say so in time.
    pub(crate) async fn revoke(self) -> bool {
        self.connection.revoke(self.id).await
    }
}

impl Connection {
    /// Ends a lease now, and with it what was written under it; `false` if etcd does not say so in time.
    pub(crate) async fn revoke(&self, lease: i64) -> bool {
        let revoke =
            |client: etcd_client::Client| async move { client.lease_client().revoke(lease).await };
        let revoked = timeout(FAREWELL, self.call(revoke)).await;
        matches!(revoked, Ok(Ok(_)))
    }
}

/// Keeps a lease alive, and tells when it was asked for; ends when that fails, and says why.
async fn keep(
    connection: Arc<Connection>,
    id: i64,
    every: Duration,
    kept: watch::Sender<Instant>,
) -> String {
    let Line { client, number } = match connection.line().await {
        Ok(line) => line,
        Err(failure) => return connection.explain(failure).to_string(),
    };
    let mut client = client.lease_client();
    let asked = Instant::now();
    let opened = timeout(connection.patience(), client.keep_alive(id)).await;
    let why = match opened {
        Ok(Ok((keeper, answers))) => {
            kept.send_replace(asked);
            match prolong_each(every, keeper, answers, &kept).await {
                Err(why) => why,
                Ok(never) => match never {},
            }
        }
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
    kept: &watch::Sender<Instant>,
) -> Result<Infallible, String> {
    loop {
        sleep(every).await;
        let asked = Instant::now();
        prolong(&mut keeper, &mut answers, every).await?;
        kept.send_replace(asked);
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
