//! What a filter can see and do: while it is prepared, while it is opened, while it is called.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::GrpcBackend;
use crate::broker::Broker;
use crate::clock::Clock;
use crate::close::CloseCode;
use crate::core::{Core, Emission};
use crate::edges::{Declared, EdgeName};
use crate::growth::Room;
use crate::host::Host;
use crate::link::LinkInfo;
use crate::message::{Direction, Message};
use crate::meter::{Counter, Meter};
use crate::problem::{Problems, nearest};
use crate::receipt::{Outcome, Token};
use crate::state::{Owned, OwnedScope, SharedScope};
use crate::store::Store;

/// While a filter is prepared: what else the configuration says.
pub struct Prepare<'a> {
    /// The business whose pipeline it is.
    pub biz_id: &'a str,
    /// The entry's `id`.
    pub id: &'a str,
    declared: &'a Declared,
    /// What was asked for: a change of it changes the filter.
    named: RefCell<BTreeSet<EdgeName>>,
}

impl<'a> Prepare<'a> {
    /// For the entry `id` of this business's pipeline. What is declared has been checked by whoever loaded it.
    pub fn new(biz_id: &'a str, id: &'a str, declared: &'a Declared) -> Self {
        Self {
            biz_id,
            id,
            declared,
            named: RefCell::default(),
        }
    }

    /// What the filter has asked for.
    pub(crate) fn named(self) -> BTreeSet<EdgeName> {
        self.named.into_inner()
    }

    fn name(&self, edge: fn(String) -> EdgeName, name: &str) {
        self.named.borrow_mut().insert(edge(name.to_owned()));
    }

    /// The backend of this name, which the config's `key` gives; notes a problem if there is none.
    pub fn backend(
        &self,
        key: &'static str,
        name: &str,
        problems: &mut Problems,
    ) -> Option<&'a GrpcBackend> {
        self.name(EdgeName::Backend, name);
        let backends = &self.declared.backends;
        let known = backends.keys().map(String::as_str);
        check_declared("backend", key, name, known, problems);
        backends.get(name).map(|backend| &backend.grpc)
    }

    /// Notes a problem if there is no store of this name, which the config's `key` gives.
    pub fn store(&self, key: &'static str, name: &str, problems: &mut Problems) {
        self.name(EdgeName::Store, name);
        let known = self.declared.stores.iter().map(String::as_str);
        check_declared("store", key, name, known, problems);
    }

    /// Notes a problem if there is no broker of this name, which the config's `key` gives.
    pub fn broker(&self, key: &'static str, name: &str, problems: &mut Problems) {
        self.name(EdgeName::Broker, name);
        let known = self.declared.brokers.iter().map(String::as_str);
        check_declared("broker", key, name, known, problems);
    }
}

fn check_declared<'a>(
    kind: &str,
    key: &'static str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    problems: &mut Problems,
) {
    if known.clone().any(|known| known == name) {
        return;
    }
    let hint = match nearest(name, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.clone().next().is_none() => format!("name it under `{kind}s:`"),
        None => format!("`{kind}s:` names {}", known.collect::<Vec<_>>().join(", ")),
    };
    problems
        .at(key, format!("there is no {kind} `{name}`"))
        .hint(hint);
}

/// While a filter is opened, for one link or one trunk shard.
pub struct Open<'a> {
    pub(crate) host: &'a Arc<Host>,
    pub(crate) link: &'a Arc<LinkInfo>,
    pub(crate) id: &'a Arc<str>,
    pub(crate) meter: &'a Meter,
    pub(crate) room: Room,
}

impl Open<'_> {
    /// The link; in a trunk a stand-in that has the business alone.
    pub fn link(&self) -> &Arc<LinkInfo> {
        self.link
    }

    /// The entry's `id`.
    pub fn id(&self) -> &Arc<str> {
        self.id
    }

    /// How large what is sent to the client may be.
    pub fn room(&self) -> Room {
        self.room
    }

    /// The node's clock, for futures that have to wait.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.host.clock
    }

    /// A counter of this entry, shown as `linkgate_filter_events_total{biz_id, filter, event}`.
    pub fn counter(&self, event: &'static str) -> Counter {
        self.meter.event(event)
    }

    /// The edge of this type, if the node has brought one.
    pub fn other<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.host.edges.other()
    }

    /// The store of this name; `None` if the node has none, which [`Prepare::store`] rules out.
    pub fn store(&self, name: &str) -> Option<&Arc<dyn Store>> {
        self.host.edges.store(name)
    }

    /// The broker of this name; `None` if the node has none, which [`Prepare::broker`] rules out.
    pub fn broker(&self, name: &str) -> Option<&Arc<dyn Broker>> {
        self.host.edges.broker(name)
    }

    /// State that links share, found at the same address after a change of the pipeline.
    ///
    /// `init` may itself ask for state. Where two links ask at once, both may run theirs: one of the values is dropped.
    pub fn shared<T: Send + Sync + 'static>(
        &self,
        scope: SharedScope,
        init: impl FnOnce() -> T,
    ) -> Arc<T> {
        let identity = &self.link.identity;
        self.host
            .states
            .shared(scope, &identity.biz_id, &identity.user_id, self.id, init)
    }

    /// State that this filter owns from now on; whoever owned it before is fenced off.
    pub fn owned<T: Send + 'static>(
        &self,
        scope: OwnedScope,
        init: impl FnOnce() -> T,
    ) -> Owned<T> {
        match scope {
            OwnedScope::Link => self.link.state.owned(0, self.id, init),
            OwnedScope::Session => {
                let epoch = self.link.epoch;
                self.link.session.owned(epoch, self.id, init)
            }
        }
    }
}

/// While a filter is called.
pub struct Context<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) slot: usize,
}

impl Context<'_> {
    /// Now. The same for all that one event sets off.
    pub fn now(&self) -> Instant {
        self.core.now
    }

    /// The node's clock, for futures that have to wait.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.core.host.clock
    }

    /// A random number; seeded in tests.
    pub fn random(&mut self) -> u64 {
        self.core.rng.u64(..)
    }

    /// The chain's link; in a trunk a stand-in that has the business alone.
    pub fn link(&self) -> &Arc<LinkInfo> {
        &self.core.link
    }

    /// Sends a message on towards the backend from this filter's position.
    pub fn upstream(&mut self, m: Message) {
        self.core.emit(Emission {
            direction: Direction::Upstream,
            slot: self.slot,
            message: m,
        });
    }

    /// Sends a message on towards the client from this filter's position, through the filters in front of it.
    pub fn downstream(&mut self, m: Message) {
        self.core.emit(Emission {
            direction: Direction::Downstream,
            slot: self.slot,
            message: m,
        });
    }

    /// Puts a receipt on the message: [`Filter::settled`](crate::Filter::settled) hears `token` with the outcome, after
    /// the filters that track it later and before those that tracked it earlier.
    pub fn track(&mut self, m: &mut Message, token: Token) {
        self.core.track(self.slot, m, token);
    }

    /// Whether anybody hears of the message's outcome: a filter that tracks it, or who gave it into the chain. If not,
    /// a client that waits for an answer gets none by settling.
    pub fn is_heard(&mut self, m: &Message) -> bool {
        self.core.is_heard(m)
    }

    /// Ends a message with an outcome. The same as [`Message::settle`], without the way through the mailbox where the
    /// receipt is of this chain.
    pub fn settle(&mut self, m: Message, outcome: Outcome) {
        self.core.settle(m, outcome);
    }

    /// Runs work that must not hold the slot, such as a call to a backend, and wakes the filter with `token` when it has
    /// ended. The future owns the message it works on and settles it; so the chain's bound on unsettled messages bounds
    /// the futures too.
    pub fn spawn<F>(&mut self, token: Token, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.core.spawn(self.slot, token, Box::pin(future));
    }

    /// Wakes the filter with `token` at `at`. A timer cannot be taken back: ignore the token instead, and keep one timer
    /// for many deadlines.
    pub fn wake_at(&mut self, at: Instant, token: Token) {
        self.core.wake_at(self.slot, at, token);
    }

    /// Wakes the filter with `token` after `wait`.
    pub fn wake_after(&mut self, wait: Duration, token: Token) {
        self.wake_at(self.core.now + wait, token);
    }

    /// Closes the link after what is on its way to the client has been written.
    pub fn close(&mut self, code: CloseCode) {
        self.core.close_link(code);
    }
}
