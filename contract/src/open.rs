//! What a filter can see while it is opened.

use std::sync::Arc;

use crate::broker::Broker;
use crate::clock::Clock;
use crate::growth::Room;
use crate::link::LinkInfo;
use crate::meter::{Counter, Meter};
use crate::runner::Host;
use crate::state::{Owned, OwnedScope, SharedScope};
use crate::store::Store;

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

    /// State that links share, found at the same address after a change of the pipeline: by the scope, the entry's `id`
    /// and the type.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// use linkgate_filter::{Context, Filter, Message, Never, Open, SharedScope, Verdict};
    ///
    /// /// Numbers the messages of a business.
    /// struct Numbering(Arc<AtomicU64>);
    ///
    /// # struct Numbered;
    /// # impl Numbered {
    /// // In the implementation of `FilterType`:
    /// fn filter(&self, cx: &Open<'_>) -> Numbering {
    ///     Numbering(cx.shared(SharedScope::Biz, AtomicU64::default))
    /// }
    /// # }
    ///
    /// impl Filter for Numbering {
    ///     type Token = Never;
    ///     type Timer = Never;
    ///     type Waited = Never;
    ///     type Done = Never;
    ///
    ///     fn upstream(&mut self, mut m: Message, _: &mut Context<'_, Self>) -> Verdict {
    ///         let number = self.0.fetch_add(1, Ordering::Relaxed);
    ///         m.body = [format!("{number} ").as_bytes(), &m.body].concat().into();
    ///         Verdict::Next(m)
    ///     }
    /// }
    /// ```
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

    /// State that this filter owns from now on; whoever owned it before is fenced off: [`Owned::with`] gives it nothing.
    ///
    /// ```
    /// use std::collections::VecDeque;
    ///
    /// use linkgate_filter::{Context, Filter, Message, Never, Open, Owned, OwnedScope, Verdict};
    ///
    /// /// Keeps the last pushes of a user for the user's next link.
    /// struct Keeping(Owned<VecDeque<String>>);
    ///
    /// # struct Kept;
    /// # impl Kept {
    /// // In the implementation of `FilterType`:
    /// fn filter(&self, cx: &Open<'_>) -> Keeping {
    ///     Keeping(cx.owned(OwnedScope::Session, VecDeque::new))
    /// }
    /// # }
    ///
    /// impl Filter for Keeping {
    ///     type Token = Never;
    ///     type Timer = Never;
    ///     type Waited = Never;
    ///     type Done = Never;
    ///
    ///     fn downstream(&mut self, m: Message, _: &mut Context<'_, Self>) -> Verdict {
    ///         // A later link may have taken the state over: then nobody keeps the key.
    ///         self.0.with(|last| {
    ///             if last.len() == 10 {
    ///                 last.pop_front();
    ///             }
    ///             last.push_back(m.key.clone());
    ///         });
    ///         Verdict::Next(m)
    ///     }
    /// }
    /// ```
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
