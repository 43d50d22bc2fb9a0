//! What becomes of a chain in which a filter has panicked.
//!
//! Filters are called one at a time and never by each other, so the others are as good as ever. What the broken one had
//! settles as unknown, and the others hear of that and answer the client as they answer all else. On a link nothing takes
//! the place of the broken one, and the link is to be closed; in a trunk, which others share, it is opened anew.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::walk::closing;
use super::{Chain, Place};
use crate::close::CloseCode;
use crate::dropped::{self, by_panic, discard};
use crate::fault::Fault;
use crate::filter::Context;
use crate::filter::{Filter, Never};
use crate::link::LinkInfo;
use crate::message::{Command, Direction, Message};
use crate::receipt::Outcome;
use crate::runner::core::work::Work;
use crate::runner::erased::{ErasedFilter, Held};
use crate::runner::panics::{Panicked, Payload};
use crate::runner::pipeline::Pipeline;
use crate::runner::plan::Slot;
use crate::verdict::Verdict;

/// What there is of broken filters, if there are any.
#[derive(Default)]
pub(super) struct Broken {
    /// Those that nothing has taken the place of.
    slots: Vec<usize>,
    /// When that is to be tried again.
    again: Option<Instant>,
    /// The message that the last one was at: its number and its key. It is not to come again.
    culprit: Option<(u64, String)>,
    /// A filter is being opened.
    opening: bool,
}

/// The time between attempts to open a trunk's filter that panics when it is opened.
const PAUSE: Duration = Duration::from_secs(1);

/// Opens the filter of a slot; what stands in for it, if that panics.
pub(super) fn open(
    slot: &Slot,
    (pipeline, link): (&Pipeline, &Arc<LinkInfo>),
    (place, decodes_at): (Place, Option<usize>),
) -> Result<Box<dyn ErasedFilter>, (Box<dyn ErasedFilter>, Payload)> {
    let open = || slot.open(pipeline.host(), link, pipeline.room(link));
    catch_unwind(AssertUnwindSafe(open))
        .map_err(|payload| (StandIn::boxed(place, decodes_at), payload))
}

impl Chain {
    /// Whether a filter of a link has panicked: the link is to be closed.
    pub(crate) fn is_broken(&self) -> bool {
        !self.broken.slots.is_empty()
    }

    /// Does something in which filters are called. Says whether none has panicked. If one has, everything else that was
    /// asked for is done even so.
    pub(super) fn guard(&mut self, work: impl FnOnce(&mut Self)) -> bool {
        let done = catch_unwind(AssertUnwindSafe(|| work(self)));
        let Err(mut payload) = done else {
            return true;
        };
        loop {
            self.breaks(payload);
            match catch_unwind(AssertUnwindSafe(|| self.run())) {
                Ok(()) => return false,
                Err(next) => payload = next,
            }
        }
    }

    /// The filter whose turn it is has panicked.
    pub(super) fn breaks(&mut self, payload: Payload) {
        let turn = std::mem::take(&mut self.core.turn);
        let slot = turn.slot;
        self.meter(slot).fault(dropped::PANICKED);
        if let Some(step) = self.pipeline.slots().get(self.offset() + slot) {
            let panicked = Panicked {
                filter: step.id(),
                uses: step.uses(),
                link: &self.core.link,
                key: &turn.key,
            };
            self.core.host.on_panic.tell(&panicked, payload);
        }
        if self.broken.slots.contains(&slot) {
            // What stands in does not panic, so it is the runner itself, and nothing that it knows can be relied on.
            return self.wreck();
        }
        if let Some(number) = turn.number {
            self.broken.culprit = Some((number, turn.key));
            if turn.settling {
                let outcome = Outcome::Unknown(dropped::panicked());
                self.core.work.push_front(Work::Settle { number, outcome });
            }
        }
        if self.place == Place::Link {
            self.core.close_link(CloseCode::INTERNAL);
            self.closing = true;
            self.forget_state(slot);
        }
        self.replace(slot);
    }

    /// Puts another filter in the place of one that has panicked. Receipts, waits and timers were that one's.
    fn replace(&mut self, slot: usize) {
        let anew = self.place == Place::Trunk && !self.broken.opening;
        let stand_in = StandIn::boxed(self.place, self.pipeline.decodes_at());
        let broken = std::mem::replace(&mut self.slots[slot], stand_in);
        by_panic(|| {
            discard(broken);
            self.core.forget(slot);
        });
        self.broken.slots.push(slot);
        self.broken.again = Some(self.core.now + PAUSE);
        if anew {
            self.open_anew(slot);
        }
        for direction in [Direction::Upstream, Direction::Downstream] {
            self.core.lanes.set_waiting(direction, slot, false);
            self.core.work.push_back(Work::Drain { direction, slot });
        }
    }

    fn open_anew(&mut self, slot: usize) {
        self.broken.opening = true;
        self.core.turn.calls();
        self.core.turn.slot = slot;
        let around = (&*self.pipeline, &self.core.link);
        let step = &self.pipeline.slots()[self.offset() + slot];
        match open(step, around, (self.place, self.pipeline.decodes_at())) {
            Ok(filter) => {
                self.slots[slot] = filter;
                self.broken.slots.retain(|broken| *broken != slot);
                self.guard(|chain| chain.call(slot, |filter, core| filter.opened(core)));
            }
            Err((_, payload)) => {
                self.meter(slot).fault(dropped::PANICKED);
                discard(payload);
            }
        }
        self.broken.opening = false;
    }

    /// Opens filters of a trunk anew that could not be opened before.
    pub(crate) fn mend(&mut self) {
        if self.broken.again.is_some_and(|at| at <= self.core.now) {
            self.broken.again = self.is_broken().then(|| self.core.now + PAUSE);
            for slot in self.broken.slots.clone() {
                self.open_anew(slot);
            }
        }
    }

    /// State that the broken filter owned may be what it trips over: the second time it is let go of.
    fn forget_state(&self, slot: usize) {
        let Some(step) = self.pipeline.slots().get(slot) else {
            return;
        };
        let link = &self.core.link;
        link.state.panicked(step.id());
        if !self.fenced {
            link.session.panicked(step.id());
        }
    }

    /// Settles everything as unknown. The chain is not to be relied on any more.
    fn wreck(&mut self) {
        let core = &mut self.core;
        by_panic(|| {
            discard(std::mem::take(&mut core.work));
            discard(std::mem::take(&mut core.asked));
            discard(std::mem::take(&mut core.lanes));
            discard(std::mem::take(&mut core.tasks));
            discard(std::mem::take(&mut core.entries));
        });
        core.inbox = Arc::default();
        core.settled.clear();
        core.timers.clear();
        self.ended = true;
    }

    /// What the client is told of a message that its filters have not heard of. It has an entry no more.
    pub(super) fn answer_for_broken(&mut self, number: u64, outcome: &Outcome) {
        let Outcome::Unknown(fault) = outcome else {
            return;
        };
        let culprit = self.broken.culprit.as_mut();
        let Some((_, key)) = culprit.filter(|(at, key)| *at == number && !key.is_empty()) else {
            return;
        };
        let key = std::mem::take(key);
        let link = Arc::clone(&self.core.link);
        let nack = Message::nack(link, key, fault.clone());
        self.core.work.push_front(Work::Walk {
            direction: Direction::Downstream,
            at: behind_codec(self.pipeline.decodes_at()),
            message: nack,
        });
    }

    /// A message at which a filter has panicked may be why: its client is not asked to send it again.
    pub(super) fn forbid_retry(&self, number: u64, outcome: &mut Outcome) {
        if let Some((at, _)) = &self.broken.culprit
            && *at == number
            && let Outcome::Unknown(fault) = outcome
            && fault.code == dropped::PANICKED
        {
            fault.retry_after = None;
        }
    }
}

fn behind_codec(decodes_at: Option<usize>) -> usize {
    decodes_at.map_or(0, |codec| codec + 1)
}

/// Stands where a filter has panicked. It passes nothing on: who knows what the filter would have done.
struct StandIn {
    place: Place,
    decodes_at: Option<usize>,
}

impl StandIn {
    fn boxed(place: Place, decodes_at: Option<usize>) -> Box<dyn ErasedFilter> {
        Box::new(Held::new(Self { place, decodes_at }))
    }

    /// What is said of a message that has come too late for the filter.
    fn refuse(&self, m: Message) -> Verdict {
        let fault = match self.place {
            Place::Link => closing(),
            Place::Trunk => gone(),
        };
        Verdict::Refuse(m, fault)
    }
}

fn gone() -> Fault {
    let fault = Fault::gateway("trunk.gone").retryable();
    fault.detail("a filter of the gateway has failed and is about to be opened anew")
}

impl Filter for StandIn {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, m: Message, _: &mut Context<'_, Self>) -> Verdict {
        self.refuse(m)
    }

    fn downstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        let at = behind_codec(self.decodes_at);
        if m.command == Some(Command::UpstreamNack) && at <= cx.slot {
            // It has no body that the filter could have had to do with.
            cx.core.asked.push_back(Work::Walk {
                direction: Direction::Downstream,
                at,
                message: m,
            });
            return Verdict::Done;
        }
        let fault = Fault::gateway(dropped::PANICKED).retryable();
        Verdict::Refuse(m, fault.detail("a filter of the gateway has failed"))
    }
}
