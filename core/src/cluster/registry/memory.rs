//! The registry in this process, for one process and for tests: what etcd does, by tokio's clock.
//!
//! Several nodes share it, each by a handle of its own, whose [`Way`] says what gets through.

mod state;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use linkgate_filter::Clock;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::state::State;
use super::{Boot, BootError, Mark, NodeRecord, Registered, Registry, RegistryError, Told, View};
use crate::clock::SystemClock;
use crate::edges::directory::Incarnation;

/// A call that gets no answer is given up after so long.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a registration has come to and has not been read yet.
const UNREAD: usize = 16;

/// The registry in this process.
#[derive(Clone)]
pub struct MemoryRegistry {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Counts changes.
    changed: watch::Sender<u64>,
}

/// What stood in the registry at some time, for [`MemoryRegistry::restore`].
#[derive(Clone)]
pub struct Kept(State);

/// What gets through between a node and the registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Way {
    /// All.
    #[default]
    Open,
    /// Calls are answered, but whoever follows is told nothing new.
    Stale,
    /// Calls are taken, but their answers are lost.
    Unanswered,
    /// Nothing.
    Cut,
}

impl MemoryRegistry {
    /// An empty one with this id, which no other registry has had that wrote to the same directory.
    pub fn new(registry: u64) -> Self {
        Self::with_clock(registry, Arc::new(SystemClock))
    }

    /// One whose leases last by this clock, whatever the clocks of the nodes say.
    pub fn with_clock(registry: u64, clock: Arc<dyn Clock>) -> Self {
        let shared = Shared {
            clock,
            state: Mutex::new(State::new(registry)),
            changed: watch::Sender::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// A node's way to it.
    pub fn handle(&self) -> RegistryHandle {
        RegistryHandle {
            shared: Arc::clone(&self.shared),
            way: Arc::new(watch::Sender::default()),
        }
    }

    /// What stands there now.
    pub fn keep(&self) -> Kept {
        Kept(self.shared.change(|state| state.clone()))
    }

    /// Goes back to what stood there once, as a registry of this id. Leases last anew.
    pub fn restore(&self, kept: &Kept, registry: u64) {
        let mut restored = kept.0.clone();
        restored.restored(registry, self.shared.now());
        *self.shared.state.lock() = restored;
        self.shared.changed.send_modify(|count| *count += 1);
    }
}

impl Shared {
    fn now(&self) -> Instant {
        self.clock.now().into()
    }

    /// Works on what stands there now.
    fn change<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let before = state.revision();
        state.expire(self.now());
        let done = work(&mut state);
        if state.revision() != before {
            self.changed.send_modify(|count| *count += 1);
        }
        done
    }
}

/// A node's way to the registry in this process. Clones are the same way.
#[derive(Clone)]
pub struct RegistryHandle {
    shared: Arc<Shared>,
    way: Arc<watch::Sender<Way>>,
}

impl RegistryHandle {
    /// From now on this gets through.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    async fn call<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T, RegistryError> {
        let mut way = self.way.subscribe();
        let open = way.wait_for(|way| *way != Way::Cut);
        let Ok(Ok(_)) = timeout(TIMEOUT, open).await else {
            return Err(silent());
        };
        let answer = self.shared.change(work);
        if *self.way.borrow() == Way::Unanswered {
            sleep(TIMEOUT).await;
            return Err(silent());
        }
        Ok(answer)
    }

    fn called<T: Send + 'static, E: From<RegistryError> + Send + 'static>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T, E> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, E>> {
        let handle = self.clone();
        async move { handle.call(work).await? }.boxed()
    }
}

fn silent() -> RegistryError {
    RegistryError("the registry does not answer".to_owned())
}

impl Registry for RegistryHandle {
    fn follow(&self) -> mpsc::Receiver<Told> {
        let (told, receiver) = mpsc::channel(1);
        let following = Following {
            changed: self.shared.changed.subscribe(),
            way: self.way.subscribe(),
            handle: self.clone(),
            told: None,
            answers: false,
            attempt: Instant::now() + TIMEOUT,
        };
        tokio::spawn(following.run(told));
        receiver
    }

    fn boot(
        &self,
        node: &str,
        boot: &Boot,
        over: Option<Incarnation>,
    ) -> BoxFuture<'static, Result<Incarnation, BootError>> {
        let boot = Boot {
            node: node.into(),
            instance: Arc::clone(&boot.instance),
        };
        self.called(move |state| state.boot(boot, over))
    }

    fn end(
        &self,
        node: &str,
        incarnation: Incarnation,
    ) -> BoxFuture<'static, Result<bool, RegistryError>> {
        let node = node.to_owned();
        self.called(move |state| Ok(state.end(&node, incarnation)))
    }

    fn leave(
        &self,
        node: &str,
        incarnation: Incarnation,
    ) -> BoxFuture<'static, Result<(), RegistryError>> {
        let node = node.to_owned();
        self.called(move |state| {
            state.leave(&node, incarnation);
            Ok(())
        })
    }

    fn newest(&self) -> BoxFuture<'static, Result<Mark, RegistryError>> {
        self.called(|state| Ok(state.newest()))
    }

    fn read(&self) -> BoxFuture<'static, Result<Arc<View>, RegistryError>> {
        self.called(|state| Ok(Arc::new(state.view())))
    }

    fn register(
        &self,
        incarnation: Incarnation,
        lease: Duration,
        record: watch::Receiver<Arc<NodeRecord>>,
    ) -> mpsc::Receiver<Registered> {
        let (told, receiver) = mpsc::channel(UNREAD);
        let node = Arc::clone(&record.borrow().id);
        let registration = Registration {
            handle: self.clone(),
            node,
            incarnation,
            lasts: lease,
            record,
            told: told.clone(),
        };
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = told.closed() => {}
                () = registration.keep() => {}
            }
        });
        receiver
    }
}

/// Somebody who follows.
struct Following {
    handle: RegistryHandle,
    changed: watch::Receiver<u64>,
    way: watch::Receiver<Way>,
    /// The count of changes at the view that was told.
    told: Option<u64>,
    /// It was told that the registry answers.
    answers: bool,
    /// When to say next that it is silent.
    attempt: Instant,
}

impl Following {
    async fn run(mut self, told: mpsc::Sender<Told>) {
        while let Ok(permit) = told.reserve().await {
            let next = tokio::select! {
                biased;
                () = told.closed() => return,
                next = self.next() => next,
            };
            permit.send(next);
        }
    }

    async fn next(&mut self) -> Told {
        loop {
            let way = *self.way.borrow_and_update();
            let is_silent = matches!(way, Way::Cut | Way::Unanswered);
            if !is_silent {
                self.attempt = Instant::now() + TIMEOUT;
            }
            // A lease may end without anybody's call.
            let end = self.handle.shared.change(|state| state.next_end());
            if way == Way::Open {
                let view = self.handle.shared.change(|state| Arc::new(state.view()));
                let count = *self.changed.borrow_and_update();
                if self.told.replace(count) != Some(count) {
                    return Told::View(view);
                }
            }
            if !is_silent && !std::mem::replace(&mut self.answers, true) {
                return Told::Answers;
            }
            let left = end.map(|end| end.saturating_duration_since(self.handle.shared.now()));
            let left = left.unwrap_or(Duration::from_secs(3600));
            tokio::select! {
                biased;
                _ = self.way.changed() => {}
                _ = self.changed.changed() => {}
                () = sleep(left) => {}
                () = sleep_until(self.attempt), if is_silent => {
                    self.attempt = Instant::now() + TIMEOUT;
                    self.answers = false;
                    return Told::Silent(silent().0);
                }
            }
        }
    }
}

/// A node that is kept registered.
struct Registration {
    handle: RegistryHandle,
    node: Arc<str>,
    incarnation: Incarnation,
    lasts: Duration,
    record: watch::Receiver<Arc<NodeRecord>>,
    told: mpsc::Sender<Registered>,
}

impl Registration {
    async fn keep(mut self) {
        loop {
            let why = match self.keep_one().await {
                Ok(()) => return self.tell(Registered::Ended).await,
                Err(RegistryError(why)) => why,
            };
            self.tell(Registered::Unknown(why)).await;
        }
    }

    async fn tell(&self, registered: Registered) {
        self.told.send(registered).await.ok();
    }

    /// Keeps what the node says under one lease, until the life or the lease has ended.
    async fn keep_one(&mut self) -> Result<(), RegistryError> {
        let (mut asked, lasts) = (Instant::now(), self.lasts);
        let shared = Arc::clone(&self.handle.shared);
        let grant = self.handle.call(|state| state.grant(lasts, shared.now()));
        let lease = grant.await?;
        loop {
            let record = Arc::clone(&self.record.borrow_and_update());
            let (node, life, written) = (&*self.node, self.incarnation, Arc::clone(&record));
            let write = |state: &mut State| state.write(node, life, written, lease);
            match self.handle.call(write).await?? {
                true => self.tell(Registered::Stands(record)).await,
                false => return Ok(()),
            }
            self.tell(Registered::KeptAlive(asked)).await;
            loop {
                tokio::select! {
                    biased;
                    Ok(()) = self.record.changed() => break,
                    () = sleep_until(asked + lasts / 3) => {}
                }
                let now = Instant::now();
                let registry = self.incarnation.registry;
                let prolong = self
                    .handle
                    .call(|state| state.prolong(registry, lease, shared.now()));
                prolong.await??;
                asked = now;
                self.tell(Registered::KeptAlive(asked)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
