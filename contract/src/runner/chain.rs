//! The chain runner: a pipeline's filters opened for one link, or for one trunk shard.
//!
//! A chain is a state machine without a socket, a runtime or a clock of its own. Whoever owns it hands in frames and
//! pushes, polls it, and takes out what has come down to the socket. Everything a chain does happens on the task that
//! polls it; only outcomes reach it from elsewhere, through its inbox.
//!
//! One event is worked off completely before the next, depth first and in the order in which filters asked for things.
//! That, and the lines before slots that wait, is what keeps one link's messages in order.

mod broken;
mod settle;
mod walk;

use std::sync::Arc;
use std::task;
use std::time::Instant;

use self::broken::Broken;
use crate::close::CloseCode;
use crate::dropped::by_runner;
use crate::link::LinkInfo;
use crate::message::{Direction, Message};
use crate::runner::core::Core;
use crate::runner::core::timers::Timer;
use crate::runner::core::work::Work;
use crate::runner::erased::ErasedFilter;
use crate::runner::pipeline::Pipeline;
use crate::runner::trunk::Ticket;

/// A running chain.
pub(crate) struct Chain {
    slots: Box<[Box<dyn ErasedFilter>]>,
    core: Core,
    pipeline: Arc<Pipeline>,
    place: Place,
    exit: Exit,
    /// Business messages wait before the last step: the chain before this one has not finished its own.
    gate_closed: bool,
    /// Unsettled business messages of the same link in other chains: they count for the link's bounds.
    elsewhere: Load,
    /// New business messages are refused: the link closes as soon as the others are settled.
    closing: bool,
    /// Nothing that is unsettled is waited for any more: see [`Chain::give_up`].
    given_up: bool,
    /// Nothing at all is: see [`Chain::end`].
    ended: bool,
    /// The socket is gone.
    gone: bool,
    /// Timers alone do not keep the chain: see [`Chain::fence`].
    fenced: bool,
    broken: Broken,
}

/// Which part of the pipeline the chain is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The slots of one link.
    Link,
    /// The slots behind the first that joins links.
    Trunk,
}

/// How a message leaves the last slot upstream.
enum Exit {
    /// Not at all: the last filter is the end.
    Terminal,
    /// Into the trunk.
    Trunk(Ticket),
}

/// Unsettled business messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// How many.
    pub messages: usize,
    /// What they weigh, in bytes, with what else stands in line.
    pub bytes: usize,
}

impl Chain {
    /// Opens a link's own chain.
    pub(crate) fn open(pipeline: &Arc<Pipeline>, link: &Arc<LinkInfo>, gate_closed: bool) -> Self {
        let exit = match pipeline.trunk() {
            Some(trunk) => Exit::Trunk(trunk.ticket(link.id)),
            None => Exit::Terminal,
        };
        Self::with_slots(pipeline, link, Place::Link, exit, gate_closed)
    }

    /// Opens one shard of the pipeline's trunk.
    pub(crate) fn open_trunk(pipeline: &Arc<Pipeline>, link: &Arc<LinkInfo>) -> Self {
        Self::with_slots(pipeline, link, Place::Trunk, Exit::Terminal, false)
    }

    fn with_slots(
        pipeline: &Arc<Pipeline>,
        link: &Arc<LinkInfo>,
        place: Place,
        exit: Exit,
        gate_closed: bool,
    ) -> Self {
        let (own, trunk) = pipeline.slots().split_at(pipeline.own());
        let slots = if place == Place::Link { own } else { trunk };
        let around = (&**pipeline, link);
        let mut panicked = Vec::new();
        let open = |(number, slot)| match broken::open(slot, around, (place, pipeline.decodes_at()))
        {
            Ok(filter) => filter,
            Err((stand_in, payload)) => {
                panicked.push((number, payload));
                stand_in
            }
        };
        let slots = slots.iter().enumerate().map(open).collect();
        let core = Core::new(Arc::clone(pipeline.host()), Arc::clone(link));
        let pipeline = Arc::clone(pipeline);
        let elsewhere = Load::default();
        let mut chain = Self {
            slots,
            core,
            pipeline,
            place,
            exit,
            gate_closed,
            elsewhere,
            closing: false,
            given_up: false,
            ended: false,
            gone: false,
            fenced: false,
            broken: Broken::default(),
        };
        for (slot, payload) in panicked {
            chain.core.turn.slot = slot;
            chain.breaks(payload);
        }
        chain.call_each(|filter, core| filter.opened(core));
        chain
    }

    pub(crate) fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// Sets the time that all which follows sees.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.core.now = now;
    }

    /// Says what other chains of the link have unsettled.
    pub(crate) fn weigh_elsewhere(&mut self, elsewhere: Load) {
        self.elsewhere = elsewhere;
    }

    /// New business messages are refused from now on.
    pub(crate) fn refuse_business(&mut self) {
        self.closing = true;
    }

    /// A message from the socket, or from a link into the trunk.
    pub(crate) fn upstream(&mut self, message: Message) {
        self.start(Work::Walk {
            direction: Direction::Upstream,
            at: 0,
            message,
        });
    }

    /// A push for the client; it enters at the last slot.
    pub(crate) fn downstream(&mut self, message: Message) {
        self.start(Work::Walk {
            direction: Direction::Downstream,
            at: self.slots.len(),
            message,
        });
    }

    /// There is no socket any more. What would go there settles as failed.
    pub(crate) fn detach(&mut self) {
        self.gone = true;
        for message in std::mem::take(&mut self.core.outgoing) {
            let at = 0;
            let direction = Direction::Downstream;
            self.start(Work::Walk {
                direction,
                at,
                message,
            });
        }
        if self.given_up {
            self.end();
        }
    }

    /// The chain gets no new messages: the socket is gone, a successor has taken over, or the trunk retires.
    pub(crate) fn close(&mut self) {
        let latest = self.core.timers.latest();
        self.call_each(|filter, core| filter.close(core));
        for Timer { slot, number } in self.core.timers.take_until(latest) {
            self.slots[slot].drop_timer(number);
        }
    }

    /// Nobody waits any longer for what is to come with them.
    fn drop_timers(&mut self) {
        self.core.timers.clear();
        let filters = self.slots.iter_mut();
        by_runner(|| filters.for_each(|filter| filter.drop_timers()));
    }

    /// A successor has taken over what the chain kept beyond its messages: it lives for these alone. Their timers go on.
    pub(crate) fn fence(&mut self) {
        self.fenced = true;
    }

    /// Lets business messages through to the last step. Says whether they were kept back before.
    pub(crate) fn open_gate(&mut self) -> bool {
        let closed = std::mem::take(&mut self.gate_closed);
        if closed {
            let slot = self.last_step();
            self.start(Work::Drain {
                direction: Direction::Upstream,
                slot,
            });
        }
        closed
    }

    /// Works off everything that is due: outcomes, futures that have ended, timers. Afterwards the task of `cx` is woken
    /// by the next outcome or future; for timers see [`Chain::next_timer`].
    pub(crate) fn poll(&mut self, cx: &mut task::Context<'_>) {
        while !self.guard(|chain| chain.work_off(cx)) {}
    }

    fn work_off(&mut self, cx: &mut task::Context<'_>) {
        loop {
            let mut settled = std::mem::take(&mut self.core.settled);
            self.core.inbox.take(&mut settled);
            let mut progress = !settled.is_empty();
            let outcomes = settled.drain(..);
            let outcomes = outcomes.map(|(number, outcome)| Work::Settle { number, outcome });
            self.core.work.extend(outcomes);
            self.core.settled = settled;
            self.run();
            while let Some(ended) = self.core.tasks.poll_next(cx) {
                progress = true;
                self.ended(ended);
            }
            while let Some(Timer { slot, number }) = self.core.timers.due(self.core.now) {
                progress = true;
                self.call(slot, |filter, core| filter.wake(number, core));
                self.run();
            }
            if self.trunk_has_room(cx) {
                progress = true;
                self.core.work.push_back(Work::Drain {
                    direction: Direction::Upstream,
                    slot: self.slots.len(),
                });
                self.run();
            }
            if !progress && self.core.inbox.wait(cx.waker()) {
                return;
            }
        }
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.core.timers.next()
    }

    pub(crate) fn now(&self) -> Instant {
        self.core.now
    }

    pub(crate) fn link(&self) -> &Arc<LinkInfo> {
        &self.core.link
    }

    /// Takes over what is left of the chain before this one: what it has for the socket goes first.
    pub(crate) fn succeed(&mut self, mut old: Self) {
        old.core.outgoing.append(&mut self.core.outgoing);
        std::mem::swap(&mut self.core.outgoing, &mut old.core.outgoing);
        if let Some(code) = old.core.close {
            self.core.close_link(code);
        }
    }

    pub(crate) fn next_outgoing(&mut self) -> Option<Message> {
        self.core.outgoing.pop_front()
    }

    pub(crate) fn close_wanted(&self) -> Option<CloseCode> {
        self.core.close
    }

    /// Unsettled business messages, and the bytes of all that stands in line.
    pub(crate) fn load(&self) -> Load {
        Load {
            messages: self.core.entries.business(),
            bytes: self.core.entries.weight() + self.core.lanes.weight(),
        }
    }

    /// Whether business messages are unsettled, or frames wait that may be some: later ones have to stay behind them.
    pub(crate) fn business_waits(&self) -> bool {
        self.core.entries.business() > 0 || self.core.lanes.any(Direction::Upstream)
    }

    /// Whether pushes stand in line: later ones have to stay behind them.
    pub(crate) fn pushes_wait(&self) -> bool {
        self.core.lanes.any(Direction::Downstream)
    }

    /// Whether pushes stand in line before filters that may keep them.
    pub(crate) fn pushes_stand_before_filters(&self) -> bool {
        let codec = self.pipeline.decodes_at().unwrap_or(0);
        self.core.lanes.any_from(Direction::Downstream, codec)
    }

    /// Whether nothing is left: no unsettled message, no future, no timer that something depends on.
    pub(crate) fn is_idle(&self) -> bool {
        let core = &self.core;
        self.ended
            || core.entries.is_empty()
                && core.tasks.is_empty()
                && (self.fenced || core.timers.is_empty())
                && core.lanes.is_empty()
    }

    /// Gives back the buffers of a burst.
    pub(crate) fn rest(&mut self) {
        self.core.work = Default::default();
        self.core.asked = Default::default();
        self.core.settled = Default::default();
        self.core.turn.key = Default::default();
        self.core.inbox.rest();
        self.core.entries.rest();
        if self.core.outgoing.is_empty() {
            self.core.outgoing = Default::default();
        }
        for filter in &mut self.slots {
            filter.rest();
        }
    }

    fn start(&mut self, work: Work) {
        self.core.work.push_back(work);
        self.guard(Self::run);
    }

    fn run(&mut self) {
        self.core.asked_first();
        while let Some(work) = self.core.work.pop_front() {
            match work {
                Work::Walk {
                    direction,
                    at,
                    message,
                } => self.walk(direction, at, message),
                Work::Settle { number, outcome } => self.settle_next(number, outcome),
                Work::Drain { direction, slot } => self.drain(direction, slot),
            }
        }
    }

    /// Calls each filter.
    fn call_each(&mut self, call: impl Fn(&mut dyn ErasedFilter, &mut Core)) {
        for slot in 0..self.slots.len() {
            self.guard(|chain| {
                chain.call(slot, &call);
                chain.run();
            });
        }
    }

    /// Calls a filter for something that is not a message. What it asks for meanwhile stands in `core.asked`.
    fn call(&mut self, slot: usize, call: impl FnOnce(&mut dyn ErasedFilter, &mut Core)) {
        self.core.turn.calls();
        self.visits(slot, call);
    }

    fn visits<R>(
        &mut self,
        slot: usize,
        call: impl FnOnce(&mut dyn ErasedFilter, &mut Core) -> R,
    ) -> R {
        self.core.turn.slot = slot;
        call(&mut *self.slots[slot], &mut self.core)
    }
}
