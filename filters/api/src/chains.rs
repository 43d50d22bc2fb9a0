//! The chains of one link: the current one and, during a change-over, the one before it.

use std::sync::Arc;
use std::task;
use std::time::{Duration, Instant};

use crate::chain::{Chain, Load};
use crate::close::CloseCode;
use crate::link::LinkInfo;
use crate::message::Message;
use crate::pipeline::Pipeline;
use crate::timer::Timer;

/// Runs a link's messages through its pipeline, and through a change from one pipeline to another.
///
/// After a change, frames enter the new chain at once, but business messages wait before its last step until the old
/// chain has settled its own, so that order holds. Pushes wait until none stands in line in the old chain.
pub struct Chains {
    current: Chain,
    retiring: Option<Retiring>,
    /// The pipeline to change to once the change at work has ended.
    next: Option<Change>,
    timer: Timer,
    disconnected: bool,
}

struct Retiring {
    chain: Chain,
    deadline: Instant,
}

struct Change {
    pipeline: Arc<Pipeline>,
    patience: Duration,
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
            disconnected: false,
        }
    }

    /// The pipeline that frames enter.
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        self.current.pipeline()
    }

    /// Changes over to another pipeline. What the old chain has not settled after `patience` settles as unknown.
    pub fn change(&mut self, pipeline: &Arc<Pipeline>, patience: Duration) {
        let change = Change {
            pipeline: Arc::clone(pipeline),
            patience,
        };
        if self.retiring.is_some() {
            self.next = Some(change);
        } else if !self.disconnected {
            self.begin(&change);
        }
    }

    fn begin(&mut self, Change { pipeline, patience }: &Change) {
        let now = pipeline.host().clock.now();
        let link = Arc::clone(self.current.link());
        let gate_closed = self.current.load().messages > 0;
        let mut chain =
            std::mem::replace(&mut self.current, Chain::open(pipeline, &link, gate_closed));
        chain.tick(now, Load::default());
        chain.close();
        self.retiring = Some(Retiring {
            chain,
            deadline: now + *patience,
        });
    }

    /// Sets the time that all which follows sees. Call it when the task has been woken, before anything else.
    pub fn tick(&mut self) {
        let now = self.current.pipeline().host().clock.now();
        let elsewhere = self
            .retiring
            .as_ref()
            .map(|old| old.chain.load())
            .unwrap_or_default();
        self.current.tick(now, elsewhere);
        if let Some(old) = &mut self.retiring {
            old.chain.tick(now, Load::default());
        }
    }

    /// A message from the socket: a whole frame, or, where the pipeline has no codec, whatever it works on.
    pub fn upstream(&mut self, message: Message) {
        self.current.upstream(message);
    }

    /// Whether a push may enter now; if not, the next [`Chains::poll`] changes that.
    pub fn takes_pushes(&self) -> bool {
        !self.current.pushes_wait()
            && !self
                .retiring
                .as_ref()
                .is_some_and(|old| old.chain.pushes_wait())
    }

    /// A push for the client.
    pub fn downstream(&mut self, message: Message) {
        self.current.downstream(message);
    }

    /// The socket is gone. The chains live on until nothing is unsettled: see [`Chains::is_finished`].
    pub fn disconnect(&mut self) {
        if !std::mem::replace(&mut self.disconnected, true) {
            self.current.close();
        }
    }

    /// A later link has taken the session over: what was kept for it is no longer this link's concern.
    pub fn fence(&mut self) {
        self.current.fence();
    }

    /// Settles everything that is left, as unknown where it may have had an effect.
    pub fn give_up(&mut self) {
        if let Some(mut old) = self.retiring.take() {
            old.chain.give_up();
            self.take_outgoing_of(old.chain);
        }
        self.current.open_gate();
        self.current.give_up();
    }

    /// Works off everything that is due. Afterwards the task of `cx` is woken when there is more.
    pub fn poll(&mut self, cx: &mut task::Context<'_>) {
        loop {
            self.current.poll(cx);
            self.poll_retiring(cx);
            let clock = Arc::clone(&self.current.pipeline().host().clock);
            if !self.timer.poll_due(self.deadline(), &*clock, cx) {
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
        ];
        deadlines.into_iter().flatten().min()
    }

    fn poll_retiring(&mut self, cx: &mut task::Context<'_>) {
        while let Some(old) = &mut self.retiring {
            old.chain.poll(cx);
            if old.chain.now() >= old.deadline {
                old.chain.give_up();
            }
            if old.chain.load().messages == 0 {
                self.current.open_gate();
                self.current.poll(cx);
            }
            if !old.chain.is_idle() {
                return;
            }
            if let Some(old) = self.retiring.take() {
                self.take_outgoing_of(old.chain);
            }
            match self.next.take() {
                Some(change) if !self.disconnected => self.begin(&change),
                _ => return,
            }
        }
    }

    fn take_outgoing_of(&mut self, mut old: Chain) {
        while let Some(message) = old.next_outgoing() {
            self.current.queue_outgoing(message);
        }
        if let Some(code) = old.close_wanted() {
            self.current.want_close(code);
        }
    }

    /// The next message that has come down to the socket. Settle it once it is written.
    pub fn next_outgoing(&mut self) -> Option<Message> {
        let old = self
            .retiring
            .as_mut()
            .and_then(|old| old.chain.next_outgoing());
        old.or_else(|| self.current.next_outgoing())
    }

    /// The code a filter wants the link closed with, after everything outgoing has been written.
    pub fn close_wanted(&self) -> Option<CloseCode> {
        let old = self
            .retiring
            .as_ref()
            .and_then(|old| old.chain.close_wanted());
        old.or_else(|| self.current.close_wanted())
    }

    /// Unsettled business messages and what stands in line.
    pub fn load(&self) -> Load {
        let (here, old) = (
            self.current.load(),
            self.retiring
                .as_ref()
                .map(|old| old.chain.load())
                .unwrap_or_default(),
        );
        Load {
            messages: here.messages + old.messages,
            bytes: here.bytes + old.bytes,
        }
    }

    /// Whether the socket may be read: the hard bound is not reached.
    pub fn takes_frames(&self) -> bool {
        self.load().bytes < self.pipeline().limits().hard_bytes
    }

    /// Whether the socket is gone and nothing is unsettled: the link's task may end.
    pub fn is_finished(&self) -> bool {
        self.disconnected && self.retiring.is_none() && self.current.is_idle()
    }

    /// Gives back the buffers of a burst. Worth calling before the task sleeps.
    pub fn rest(&mut self) {
        self.current.rest();
    }
}
