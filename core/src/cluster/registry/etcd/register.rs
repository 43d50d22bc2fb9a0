//! Keeping a node registered.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::super::{NodeRecord, Registered};
use super::Etcd;
use crate::edges::directory::Incarnation;
use crate::edges::etcd::{Lease, Refusal, Step};

/// What has come of it and has not been read yet.
const UNREAD: usize = 16;

/// Others may be in the way of a write so often.
const ATTEMPTS: u32 = 3;

/// Why it does not stand, or may not.
enum Trouble {
    Ended,
    /// The lease has to be granted anew.
    Lost(String),
    Etcd(String),
}

pub(super) fn start(
    etcd: Arc<Etcd>,
    incarnation: Incarnation,
    lasts: Duration,
    record: watch::Receiver<Arc<NodeRecord>>,
) -> mpsc::Receiver<Registered> {
    let (told, receiver) = mpsc::channel(UNREAD);
    let node = Arc::clone(&record.borrow().id);
    let registration = Registration {
        writer: Writer {
            etcd,
            node,
            incarnation,
            base: None,
        },
        lasts,
        record,
        told: told.clone(),
    };
    tokio::spawn(async move {
        tokio::select! {
            () = registration.keep() => {}
            () = told.closed() => {}
        }
    });
    receiver
}

struct Registration {
    writer: Writer,
    lasts: Duration,
    record: watch::Receiver<Arc<NodeRecord>>,
    told: mpsc::Sender<Registered>,
}

impl Registration {
    async fn keep(mut self) {
        let (mut held, mut failures) = (None, 0);
        loop {
            let why = match self.stand(&mut held, &mut failures).await {
                Ok(never) => match never {},
                Err(Trouble::Ended) => return self.tell(Registered::Ended).await,
                Err(Trouble::Lost(why)) => {
                    held = None;
                    why
                }
                Err(Trouble::Etcd(why)) => why,
            };
            failures += 1;
            self.tell(Registered::Unknown(why)).await;
            let pause = sleep(self.writer.etcd.timing.pause(failures));
            let Some(lease) = &mut held else {
                pause.await;
                continue;
            };
            if lease.meanwhile(&self.told, pause).await.is_err() {
                held = None;
            }
        }
    }

    /// Whoever asked reads it, or has gone, which ends all of this.
    async fn tell(&self, registered: Registered) {
        self.told.send(registered).await.ok();
    }

    /// Writes each new record, until that fails.
    async fn stand(
        &mut self,
        held: &mut Option<Held>,
        failures: &mut u32,
    ) -> Result<Infallible, Trouble> {
        if self.writer.base.is_none() {
            self.writer.look().await?;
        }
        let held = match held {
            Some(held) => held,
            None => {
                let granted = Lease::grant(&self.writer.etcd.connection, self.lasts).await;
                let lease = granted.map_err(|error| Trouble::Etcd(error.to_string()))?;
                let is_used = false;
                held.insert(Held { lease, is_used })
            }
        };
        loop {
            let record = Arc::clone(&self.record.borrow_and_update());
            let writing = self.writer.write(held.lease.id(), &record);
            held.meanwhile(&self.told, writing).await??;
            *failures = 0;
            held.is_used = true;
            self.tell(Registered::Stands(record)).await;
            self.tell(Registered::KeptAlive(held.lease.asked())).await;
            let changed = async {
                // Without a writer nobody will say anything new, and what was said last stays.
                if self.record.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            held.meanwhile(&self.told, changed).await?;
        }
    }
}

/// The lease of what a node says.
struct Held {
    lease: Lease,
    /// Something has been written under it.
    is_used: bool,
}

impl Held {
    /// Tells that it is kept alive while something else is waited for.
    async fn meanwhile<T>(
        &mut self,
        told: &mpsc::Sender<Registered>,
        work: impl Future<Output = T>,
    ) -> Result<T, Trouble> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                kept = self.lease.kept_alive() => {
                    let asked = kept.map_err(Trouble::Lost)?;
                    if self.is_used {
                        told.send(Registered::KeptAlive(asked)).await.ok();
                    }
                }
            }
        }
    }
}

/// Writes what a node says. Each write is guarded by the one before, so that one which comes late is not taken.
struct Writer {
    etcd: Arc<Etcd>,
    node: Arc<str>,
    incarnation: Incarnation,
    /// The revision that wrote last what the node says; 0 if it is not there. Nothing while that is in doubt.
    base: Option<i64>,
}

impl Writer {
    /// Looks on what to build the next write, and whether the life stands.
    async fn look(&mut self) -> Result<i64, Trouble> {
        let standing = self.etcd.look(&self.node).await;
        let standing = standing.map_err(|error| Trouble::Etcd(error.to_string()))?;
        if !standing.is_life(self.incarnation) {
            return Err(Trouble::Ended);
        }
        let base = standing.node_revision();
        self.base = Some(base);
        Ok(base)
    }

    async fn write(&mut self, lease: i64, record: &NodeRecord) -> Result<(), Trouble> {
        let (etcd, node) = (Arc::clone(&self.etcd), Arc::clone(&self.node));
        for _ in 0..ATTEMPTS {
            let base = match self.base.take() {
                Some(base) => base,
                None => self.look().await?,
            };
            // In doubt until it is answered, even if this future is dropped.
            self.base = None;
            let guards = [
                etcd.is_life(&node, self.incarnation),
                etcd.is_said(&node, base),
            ];
            let step = Step::PutUnder {
                lease,
                key: etcd.keys.node(&node),
                value: record.to_json(),
            };
            match etcd.connection.transact(&guards, &[step]).await {
                Ok(origin) if origin.cluster != self.incarnation.registry => {
                    return Err(Trouble::Ended);
                }
                Ok(origin) => {
                    self.base = Some(origin.revision);
                    return Ok(());
                }
                Err(Refusal::Guard) => {}
                Err(Refusal::Unknown(error) | Refusal::Etcd(error)) => {
                    return Err(Trouble::Etcd(error.to_string()));
                }
            }
        }
        Err(Trouble::Etcd(etcd.in_the_way(&node)))
    }
}
