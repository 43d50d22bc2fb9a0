//! The chains of one link: the current one and, during a change-over, the one before it.

use std::sync::Arc;
use std::task;
use std::time::{Duration, Instant};

use crate::close::CloseCode;
use crate::link::LinkInfo;
use crate::message::Message;
use crate::runner::chain::{Chain, Load};
use crate::runner::pipeline::Pipeline;
use crate::runner::timer::Timer;

/// Runs a link's messages through its pipeline, and through a change from one pipeline to another.
///
/// After a change, frames enter the new chain at once, but business messages wait before its last step until the old
/// chain has settled its own, so that order holds. Pushes wait until none stands in line in the old chain.
///
/// A filter that panics costs its own link: what it had settles as unknown, all else as ever, and the link is to be
/// closed; see [`Chains::is_broken`].
pub struct Chains {
    current: Chain,
    retiring: Option<Box<Retiring>>,
    /// The pipeline to change to as soon as that can begin.
    next: Option<Box<Change>>,
    timer: Timer,
    refusing: bool,
    disconnected: bool,
    fenced: bool,
}

/// A chain that finishes what it has.
struct Retiring {
    chain: Chain,
    patience: Duration,
    deadline: Instant,
    given_up: bool,
}

struct Change {
    pipeline: Arc<Pipeline>,
    patience: Duration,
    /// Until when pushes that stand in line put the change off.
    deadline: Option<Instant>,
}

impl Retiring {
    /// Gives the chain up at its deadline. The answers that come of it have as long again to reach the client, should an
    /// encoder wait.
    fn expire(&mut self) {
        if self.given_up {
            self.chain.end();
        } else {
            self.given_up = true;
            self.deadline = self.chain.now() + self.patience;
            self.chain.give_up();
        }
    }
}

impl Chains {
    /// Opens the pipeline for a link.
    pub fn open(pipeline: &Arc<Pipeline>, link: &Arc<LinkInfo>) -> Self {
        let current = Chain::open(pipeline, link, false);
        Self {
            current,
            retiring: None,
            next: None,
            timer: Timer::default(),
            refusing: false,
            disconnected: false,
            fenced: false,
        }
    }

    /// The pipeline that frames enter.
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        self.current.pipeline()
    }

    /// Changes over to another pipeline. What the old chain has not settled after `patience` settles as unknown. While a
    /// change is at work or pushes stand in line, the last one asked for waits. To change to the pipeline that frames
    /// enter already takes back what waits.
    pub fn change(&mut self, pipeline: &Arc<Pipeline>, patience: Duration) {
        if Arc::ptr_eq(self.pipeline(), pipeline) {
            self.next = None;
            return;
        }
        // The pushes in line have been waited for already, for whatever change.
        let deadline = self.next.take().and_then(|waiting| waiting.deadline);
        self.next = Some(Box::new(Change {
            pipeline: Arc::clone(pipeline),
            patience,
            deadline,
        }));
        self.begin_next();
    }

    /// Begins the change that is asked for, if it can begin now. It waits for one that is at work, and for pushes that
    /// stand in line: they would come to filters whose state the new chain has taken over.
    fn begin_next(&mut self) -> bool {
        if self.disconnected {
            self.next = None;
        }
        let (true, Some(next)) = (self.retiring.is_none(), &mut self.next) else {
            return false;
        };
        if self.current.pushes_stand_before_filters() {
            let now = self.current.now();
            if now < *next.deadline.get_or_insert(now + next.patience) {
                return false;
            }
        }
        if let Some(next) = self.next.take() {
            self.begin(&next.pipeline, next.patience);
        }
        true
    }

    fn begin(&mut self, pipeline: &Arc<Pipeline>, patience: Duration) {
        let now = pipeline.host().clock.now();
        let link = Arc::clone(self.current.link());
        let gate_closed = self.current.business_waits();
        let successor = Chain::open(pipeline, &link, gate_closed);
        let mut chain = std::mem::replace(&mut self.current, successor);
        if self.refusing {
            self.current.refuse_business();
        }
        if self.fenced {
            self.current.fence();
        }
        chain.tick(now);
        chain.weigh_elsewhere(Load::default());
        chain.close();
        self.retiring = Some(Box::new(Retiring {
            chain,
            patience,
            deadline: now + patience,
            given_up: false,
        }));
        self.tick();
    }

    /// Sets the time that all which follows sees. Call it when the task has been woken, before anything else.
    pub fn tick(&mut self) {
        let now = self.current.pipeline().host().clock.now();
        if let Some(old) = &mut self.retiring {
            old.chain.tick(now);
        }
        self.current.tick(now);
        self.weigh_old();
    }

    fn weigh_old(&mut self) {
        let old = self.retiring.as_ref();
        let load = old.map_or(Load::default(), |old| old.chain.load());
        self.current.weigh_elsewhere(load);
    }

    /// A message from the socket: a whole frame, or, where the pipeline has no codec, whatever it works on.
    pub fn upstream(&mut self, message: Message) {
        self.current.upstream(message);
    }

    /// Whether a push may enter now; if not, the next [`Chains::poll`] changes that.
    pub fn takes_pushes(&self) -> bool {
        let mut chains = self.all();
        !chains.any(Chain::pushes_wait)
    }

    /// A push for the client.
    pub fn downstream(&mut self, message: Message) {
        self.current.downstream(message);
    }

    /// The link is about to be closed: new business messages are refused as `link.closing`, a retry helps. Those that
    /// are under way are settled as ever; heartbeats and acknowledgements pass.
    pub fn refuse_business(&mut self) {
        self.refusing = true;
        if let Some(old) = &mut self.retiring {
            old.chain.refuse_business();
        }
        self.current.refuse_business();
    }

    /// The link does not wait any longer: business messages that have not been sent on are refused as well, likewise.
    /// Their outcomes have come through once [`Chains::is_settling`] says no.
    pub fn refuse_waiting(&mut self) {
        if let Some(old) = &mut self.retiring {
            old.chain.refuse_waiting();
        }
        self.current.refuse_waiting();
    }

    /// Whether filters still work on outcomes that they have heard, such as by freeing a key in a store.
    pub fn is_settling(&self) -> bool {
        self.all().any(Chain::is_settling)
    }

    /// The socket is gone. The chains live on until nothing is unsettled: see [`Chains::is_finished`]. What comes down
    /// to the socket from now on settles as failed, `link.gone`.
    pub fn disconnect(&mut self) {
        if std::mem::replace(&mut self.disconnected, true) {
            return;
        }
        if let Some(old) = &mut self.retiring {
            old.chain.detach();
        }
        self.current.detach();
        self.current.close();
    }

    /// A later link has taken the session over: what was kept for it is no longer this link's concern.
    pub fn fence(&mut self) {
        self.fenced = true;
        if let Some(old) = &mut self.retiring {
            old.chain.fence();
        }
        self.current.fence();
    }

    /// Settles everything that is left, as unknown where it may have had an effect. Answers may still come of it; once
    /// the socket is gone, nothing is left.
    pub fn give_up(&mut self) {
        if let Some(old) = &mut self.retiring
            && !old.given_up
        {
            old.expire();
        }
        self.current.give_up();
    }

    /// Works off everything that is due. Afterwards the task of `cx` is woken when there is more.
    pub fn poll(&mut self, cx: &mut task::Context<'_>) {
        loop {
            self.current.poll(cx);
            self.poll_retiring(cx);
            self.weigh_old();
            if self.begin_next() {
                continue;
            }
            let deadline = self.deadline();
            let clock = &*self.current.pipeline().host().clock;
            if !self.timer.poll_due(deadline, clock, cx) {
                return;
            }
            self.tick();
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let old = self.retiring.as_ref();
        let deadlines = [
            self.current.next_timer(),
            old.and_then(|old| old.chain.next_timer()),
            old.map(|old| old.deadline),
            self.next.as_ref().and_then(|next| next.deadline),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn poll_retiring(&mut self, cx: &mut task::Context<'_>) {
        while let Some(old) = &mut self.retiring {
            old.chain.poll(cx);
            if !old.chain.is_idle() && old.chain.now() >= old.deadline {
                old.expire();
                continue;
            }
            // What was given up is decided, though filters may still work on its outcomes.
            let passed = old.given_up || !old.chain.business_waits();
            if passed && self.current.open_gate() {
                self.current.poll(cx);
            }
            if !old.chain.is_idle() {
                return;
            }
            if let Some(old) = self.retiring.take() {
                self.current.succeed(old.chain);
            }
        }
    }

    /// The next message that has come down to the socket. Settle it once it is written.
    pub fn next_outgoing(&mut self) -> Option<Message> {
        let old = self.retiring.as_mut();
        old.and_then(|old| old.chain.next_outgoing())
            .or_else(|| self.current.next_outgoing())
    }

    /// The code a filter wants the link closed with, after everything outgoing has been written.
    pub fn close_wanted(&self) -> Option<CloseCode> {
        self.all().find_map(Chain::close_wanted)
    }

    /// Whether a filter has panicked. The link is to be closed, once what is under way has been answered.
    pub fn is_broken(&self) -> bool {
        self.all().any(Chain::is_broken)
    }

    /// Unsettled business messages and what stands in line.
    pub fn load(&self) -> Load {
        self.all()
            .map(Chain::load)
            .fold(Load::default(), |sum, load| Load {
                messages: sum.messages + load.messages,
                bytes: sum.bytes + load.bytes,
            })
    }

    /// Whether the socket may be read: the hard bound is not reached.
    pub fn takes_frames(&self) -> bool {
        self.load().bytes < self.pipeline().limits().hard_bytes
    }

    /// Whether the socket is gone and nothing is unsettled: the link's task may end.
    pub fn is_finished(&self) -> bool {
        self.disconnected && self.all().all(Chain::is_idle)
    }

    /// Gives back the buffers of a burst. Worth calling before the task sleeps.
    pub fn rest(&mut self) {
        if let Some(old) = &mut self.retiring {
            old.chain.rest();
        }
        self.current.rest();
    }

    /// The chains there are, the oldest first.
    fn all(&self) -> impl Iterator<Item = &Chain> {
        let old = self.retiring.iter().map(|old| &old.chain);
        old.chain([&self.current])
    }
}
