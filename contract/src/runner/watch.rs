//! Filters watched at work, from outside and without their knowing: what each says of what passes it. `linkgate test` shows
//! it beside what went wrong; a node that serves clients watches nothing.

use std::any::Any;
use std::sync::Arc;

use schemars::Schema;
use serde_json::Value;

use crate::client::ClientEnd;
use crate::coverage::Coverage;
use crate::fault::Fault;
use crate::growth::Growth;
use crate::link::{Form, Identity, LinkInfo};
use crate::message::{Command, Direction, Message};
use crate::open::Open;
use crate::prepare::Prepare;
use crate::problem::Problems;
use crate::properties::Properties;
use crate::receipt::Outcome;
use crate::registry::{ErasedType, Prepared, Registry};
use crate::runner::core::Core;
use crate::runner::erased::ErasedFilter;
use crate::verdict::{Settle, Verdict};

/// Sees what filters say.
pub trait Watch: Send + Sync {
    /// The filter `id` on this link's chain has said something; in a trunk the link is a stand-in for the business.
    fn saw(&self, link: &Arc<LinkInfo>, id: &Arc<str>, sight: Sight<'_>);
}

/// What a filter has said.
pub enum Sight<'a> {
    /// A verdict on a message.
    Verdict {
        /// Where the message was going.
        direction: Direction,
        /// What it is for, before the filter saw it.
        command: Option<Command>,
        /// Its key, likewise.
        key: &'a str,
        /// How many messages are joined in it; 0 for one by itself.
        parts: usize,
        /// The verdict.
        verdict: Word<'a>,
    },
    /// An outcome on its way to who gave the message: as the filter heard it.
    Settled(&'a Outcome),
}

/// A verdict, in a word.
pub enum Word<'a> {
    /// Passed on.
    Next,
    /// Kept, settled, or sent elsewhere.
    Done,
    /// Refused.
    Refused(&'a Fault),
    /// To be judged later.
    Waits,
}

impl Registry {
    /// The same filters, each watched from when it is opened.
    #[must_use]
    pub fn watched(&self, watch: &Arc<dyn Watch>) -> Self {
        self.map(|inner| {
            Arc::new(WatchedType {
                inner: Arc::clone(inner),
                watch: Arc::clone(watch),
            })
        })
    }
}

/// A filter's type, watched.
struct WatchedType {
    inner: Arc<dyn ErasedType>,
    watch: Arc<dyn Watch>,
}

impl ErasedType for WatchedType {
    fn prepare(&self, config: &Value, cx: &Prepare<'_>) -> Result<Arc<dyn Prepared>, Problems> {
        Ok(Arc::new(WatchedPrepared {
            inner: self.inner.prepare(config, cx)?,
            watch: Arc::clone(&self.watch),
        }))
    }

    fn schema(&self) -> Schema {
        self.inner.schema()
    }
}

struct WatchedPrepared {
    inner: Arc<dyn Prepared>,
    watch: Arc<dyn Watch>,
}

impl Prepared for WatchedPrepared {
    fn properties(&self) -> Properties {
        self.inner.properties()
    }

    fn coverage(&self) -> Coverage {
        self.inner.coverage()
    }

    fn open(&self, cx: &Open<'_>) -> Box<dyn ErasedFilter> {
        Box::new(Watched {
            inner: self.inner.open(cx),
            id: Arc::clone(cx.id()),
            watch: Arc::clone(&self.watch),
        })
    }

    fn growth(&self, form: Form, framed: bool) -> Growth {
        self.inner.growth(form, framed)
    }

    fn client(&self, identity: &Identity) -> Option<Box<dyn ClientEnd>> {
        self.inner.client(identity)
    }

    fn risk(&self, next: Option<&dyn Prepared>) -> Option<String> {
        let next = next.map(|next| match (next as &dyn Any).downcast_ref::<Self>() {
            Some(watched) => &*watched.inner,
            None => next,
        });
        self.inner.risk(next)
    }
}

struct Watched {
    inner: Box<dyn ErasedFilter>,
    id: Arc<str>,
    watch: Arc<dyn Watch>,
}

/// What is to be told of a message that a filter gets.
struct Passing {
    direction: Direction,
    command: Option<Command>,
    key: Arc<str>,
    parts: usize,
}

impl Passing {
    fn of(m: &Message, direction: Direction) -> Self {
        Self {
            direction,
            command: m.command,
            key: Arc::from(&*m.key),
            parts: m.parts().len(),
        }
    }
}

/// Where a message that was waited for is going.
fn way_of(m: &Message) -> Direction {
    match m.command {
        None | Some(Command::Heartbeat | Command::UpstreamMessage | Command::DownstreamAck) => {
            Direction::Upstream
        }
        Some(_) => Direction::Downstream,
    }
}

impl Watched {
    fn tell(&self, passing: &Passing, verdict: &Verdict, core: &Core) {
        let verdict = match verdict {
            Verdict::Next(_) => Word::Next,
            Verdict::Done => Word::Done,
            Verdict::Refuse(_, fault) => Word::Refused(fault),
            Verdict::Wait(_) => Word::Waits,
        };
        let sight = Sight::Verdict {
            direction: passing.direction,
            command: passing.command,
            key: &passing.key,
            parts: passing.parts,
            verdict,
        };
        self.watch.saw(&core.link, &self.id, sight);
    }
}

impl ErasedFilter for Watched {
    fn opened(&mut self, core: &mut Core) {
        self.inner.opened(core);
    }

    fn upstream(&mut self, m: Message, core: &mut Core) -> Verdict {
        let passing = Passing::of(&m, Direction::Upstream);
        let verdict = self.inner.upstream(m, core);
        self.tell(&passing, &verdict, core);
        verdict
    }

    fn downstream(&mut self, m: Message, core: &mut Core) -> Verdict {
        let passing = Passing::of(&m, Direction::Downstream);
        let verdict = self.inner.downstream(m, core);
        self.tell(&passing, &verdict, core);
        verdict
    }

    fn resumed(&mut self, m: Message, brought: &mut dyn Any, core: &mut Core) -> Verdict {
        let passing = Passing::of(&m, way_of(&m));
        let verdict = self.inner.resumed(m, brought, core);
        self.tell(&passing, &verdict, core);
        verdict
    }

    fn settled(&mut self, token: u32, outcome: Outcome, core: &mut Core) -> Settle {
        self.watch
            .saw(&core.link, &self.id, Sight::Settled(&outcome));
        self.inner.settled(token, outcome, core)
    }

    fn wake(&mut self, timer: u32, core: &mut Core) {
        self.inner.wake(timer, core);
    }

    fn done(&mut self, brought: &mut dyn Any, core: &mut Core) {
        self.inner.done(brought, core);
    }

    fn close(&mut self, core: &mut Core) {
        self.inner.close(core);
    }

    fn drop_timer(&mut self, timer: u32) {
        self.inner.drop_timer(timer);
    }

    fn drop_timers(&mut self) {
        self.inner.drop_timers();
    }

    fn rest(&mut self) {
        self.inner.rest();
    }
}
