//! The way of an outcome through the receipts of a message, last to first.

use super::{Chain, Exit};
use crate::core::Work;
use crate::core::tasks::Task;
use crate::fault::Fault;
use crate::filter::Settle;
use crate::message::Direction;
use crate::receipt::Outcome;

impl Chain {
    /// Tells the filters that track the message, as far as they answer at once.
    pub(super) fn settle_next(&mut self, number: u64, mut outcome: Outcome) {
        loop {
            // None: the chain was given up before this outcome came.
            let Some(entry) = self.core.entries.get_mut(number) else {
                return;
            };
            let Some((slot, token)) = entry.stack.pop() else {
                return self.finish(number, outcome);
            };
            let slot = usize::from(slot);
            match self.call(slot, |filter, cx| filter.settled(token, outcome, cx)) {
                Settle::Next(passed) if self.core.asked.is_empty() => outcome = passed,
                Settle::Next(outcome) => {
                    self.core.asked.push_back(Work::Settle { number, outcome });
                    return self.core.asked_first();
                }
                Settle::Wait(_) if self.given_up => outcome = given_up(),
                Settle::Wait(future) => {
                    self.core.tasks.push(Task::Settle { number, future });
                    return self.core.asked_first();
                }
            }
        }
    }

    fn finish(&mut self, number: u64, outcome: Outcome) {
        let Some(entry) = self.core.entries.remove(number) else {
            return;
        };
        if entry.business {
            self.pipeline.count(&outcome);
        }
        if let Some(parent) = entry.parent {
            parent.settle(outcome);
        }
        if entry.in_trunk && matches!(self.exit, Exit::Trunk(_)) {
            self.core.work.push_back(Work::Drain {
                direction: Direction::Upstream,
                slot: self.slots.len(),
            });
        }
    }

    /// Ends the chain now. What stands in line has had no effect and is refused; everything else that is unsettled
    /// settles as unknown. Outcomes that come later find nothing.
    pub(crate) fn give_up(&mut self) {
        self.given_up = true;
        for (_, _, message) in self.core.lanes.take_all() {
            let fault = Fault::gateway("link.retired").retryable();
            self.core.settle(message, Outcome::Failed(fault));
            self.run();
        }
        for number in self.core.entries.numbers() {
            self.start(Work::Settle {
                number,
                outcome: given_up(),
            });
        }
        self.core.tasks.clear();
        self.core.timers.clear();
    }
}

fn given_up() -> Outcome {
    let fault = Fault::gateway("link.retired").effect_unknown().retryable();
    Outcome::Unknown(fault.detail("the pipeline changed and the old one did not finish in time"))
}
