//! The way of an outcome through the receipts of a message, last to first, and the end of a chain by force.

use super::walk::closing;
use super::{Chain, Exit, Place};
use crate::close::CloseCode;
use crate::dropped;
use crate::fault::Fault;
use crate::message::Direction;
use crate::receipt::{Outcome, Receipt};
use crate::runner::core::entries::Entry;
use crate::runner::core::tasks::Task;
use crate::runner::core::work::{Step, Work};
use crate::verdict::Settle;

impl Chain {
    /// Tells the filters that track the message, as far as they answer at once.
    pub(super) fn settle_next(&mut self, number: u64, mut outcome: Outcome) {
        self.forbid_retry(number, &mut outcome);
        loop {
            // None: the chain was given up before this outcome came.
            let Some(entry) = self.core.entries.get_mut(number) else {
                return;
            };
            let Some((slot, token)) = entry.stack.pop() else {
                return self.finish(number, outcome);
            };
            entry.heard = true;
            let slot = usize::from(slot);
            self.core.turn.settles(number);
            match self.visits(slot, |filter, core| filter.settled(token, outcome, core)) {
                Settle::Next(passed) if self.core.asked.is_empty() => outcome = passed,
                Settle::Next(outcome) => {
                    self.core.asked.push_back(Work::Settle { number, outcome });
                    return self.core.asked_first();
                }
                Settle::Wait(_) if self.ended => {
                    let outcome = given_up();
                    self.core.asked.push_back(Work::Settle { number, outcome });
                    return self.core.asked_first();
                }
                Settle::Wait(future) => {
                    self.core.tasks.push(Task::Settle {
                        slot,
                        number,
                        future,
                    });
                    return self.core.asked_first();
                }
            }
        }
    }

    fn finish(&mut self, number: u64, outcome: Outcome) {
        let Some(entry) = self.core.entries.remove(number) else {
            return;
        };
        self.count(&entry, &outcome);
        if entry.is_in_trunk() && matches!(self.exit, Exit::Trunk(_)) {
            self.core.work.push_back(Work::Drain {
                direction: Direction::Upstream,
                slot: self.slots.len(),
            });
        }
        if let Some(parent) = entry.parent {
            parent.settle(outcome);
        } else if entry.is_business() && !entry.heard {
            self.answer_for_broken(number, &outcome);
        }
    }

    /// Counts what became of the link's own messages. In the trunk they are messages of links, and counted there.
    fn count(&self, entry: &Entry, outcome: &Outcome) {
        if self.place == Place::Trunk {
            return;
        }
        let dropped = outcome
            .fault()
            .is_some_and(|fault| fault.code == Receipt::DROPPED);
        if entry.is_business() || dropped {
            self.pipeline.count(outcome);
        }
    }

    /// Refuses the business messages that stand in line, and those that a slot waits with: the link closes before it is
    /// their turn, and they have had no effect. What has been sent on is settled as ever.
    pub(crate) fn refuse_waiting(&mut self) {
        for number in self.core.take_waiting() {
            let outcome = Outcome::Failed(closing());
            self.start(Work::Settle { number, outcome });
        }
        let slot = self.last_step();
        for message in self.core.lanes.take(Direction::Upstream) {
            match message.command {
                // A frame that nobody has decoded cannot be answered.
                None => self.core.settle(message, Outcome::Failed(closing())),
                Some(_) => {
                    let step = Step::of(&message, Direction::Upstream, slot);
                    self.refuse(step, message, closing());
                }
            }
            self.guard(Self::run);
        }
    }

    /// Whether filters still work on outcomes that they have heard.
    pub(crate) fn is_settling(&self) -> bool {
        self.core.tasks.settle()
    }

    /// Ends the chain's messages now. What stands in line has had no effect and is refused; everything else that is
    /// unsettled settles as unknown. Outcomes that come later find nothing. What filters still do on outcomes, such as to
    /// free a key in a store, and what is on its way to the client may still end; see [`Chain::end`].
    pub(crate) fn give_up(&mut self) {
        self.given_up = true;
        let mut frames = dropped::by_runner(|| self.core.tasks.give_up());
        self.drop_timers();
        for message in self.core.lanes.take(Direction::Upstream) {
            frames += usize::from(message.command.is_none());
            let fault = Fault::gateway("link.retired").retryable();
            self.core.settle(message, Outcome::Failed(fault));
            self.guard(Self::run);
        }
        if frames > 0 {
            // Frames that nobody has decoded cannot be answered: let the client come back and send them again.
            self.pipeline.meter().fault("link.retired");
            self.core.close_link(CloseCode::RETIRED);
        }
        for number in self.core.give_up() {
            self.start(Work::Settle {
                number,
                outcome: given_up(),
            });
        }
        if self.gone && !self.is_settling() {
            self.end();
        }
    }

    /// Ends what is left after [`Chain::give_up`]: the chain is idle from here on.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        let mut lost = self.refuse_downstream();
        // Pushes that filters have come to track since.
        for number in self.core.entries.numbers() {
            self.start(Work::Settle {
                number,
                outcome: given_up(),
            });
        }
        lost |= self.refuse_downstream();
        lost |= dropped::by_runner(|| self.core.tasks.clear());
        self.drop_timers();
        if lost && !self.gone {
            // Its message has no answer: let the client come back and send it again.
            self.core.close_link(CloseCode::RETIRED);
        }
    }

    /// Refuses what stands in line on the way to the client. Says whether that may be an answer.
    fn refuse_downstream(&mut self) -> bool {
        let mut lost = false;
        for message in self.core.lanes.take(Direction::Downstream) {
            lost |= message.may_answer();
            let fault = Fault::gateway("link.retired").retryable();
            self.core.settle(message, Outcome::Failed(fault));
            self.guard(Self::run);
        }
        lost
    }
}

fn given_up() -> Outcome {
    Outcome::Unknown(Fault::retired())
}
