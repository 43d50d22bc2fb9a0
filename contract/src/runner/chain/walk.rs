//! The way of a message from slot to slot.

use super::{Chain, Exit, Place};
use crate::close::CloseCode;
use crate::fault::Fault;
use crate::message::{Command, Direction, Message};
use crate::receipt::Outcome;
use crate::runner::core::Core;
use crate::runner::core::tasks::{Ended, Task};
use crate::runner::core::work::{Step, Work};
use crate::runner::erased::ErasedFilter;
use crate::verdict::{Verdict, Wait};

impl Chain {
    /// Takes the message from slot to slot until it leaves the chain or stays somewhere.
    ///
    /// This is the path that everything takes. What it costs is the copying of messages, so they are looked at in place
    /// and moved as seldom as can be.
    pub(super) fn walk(&mut self, direction: Direction, mut at: usize, mut message: Message) {
        self.core.carry(&message);
        loop {
            let slot = match direction {
                Direction::Upstream if self.is_new(at, &message) => {
                    match self.admit(at, message) {
                        Some(admitted) => message = admitted,
                        None => return,
                    }
                    at
                }
                Direction::Upstream => at,
                Direction::Downstream if at == 0 => return self.put_out(message),
                Direction::Downstream => at - 1,
            };
            let step = self.step(&message, direction, slot);
            if step.ordered
                && (self.core.lanes.blocked(direction, slot) || self.shut(direction, slot))
            {
                return self.core.lanes.push(direction, slot, message);
            }
            if slot == self.slots.len() {
                return self.leave(message);
            }
            match self.visit(step, message) {
                Verdict::Next(passed) if self.core.asked.is_empty() => message = passed,
                verdict => return self.judge(step, verdict),
            }
            at = step.next();
        }
    }

    fn step(&self, message: &Message, direction: Direction, slot: usize) -> Step {
        Step {
            number: self.core.number(message),
            ..Step::of(message, direction, slot)
        }
    }

    /// Hands a message to the socket, if there is one.
    fn put_out(&mut self, message: Message) {
        if self.gone {
            let fault = Fault::client("link.gone").retryable();
            let fault = fault.detail("the client has disconnected");
            self.core.settle(message, Outcome::Failed(fault));
            self.core.asked_first();
        } else {
            self.core.outgoing.push_back(message);
        }
    }

    /// The slot that the gate stands before: the end of the pipeline, or the way into the trunk.
    pub(super) fn last_step(&self) -> usize {
        match self.exit {
            Exit::Terminal => self.slots.len().saturating_sub(1),
            Exit::Trunk(_) => self.slots.len(),
        }
    }

    fn shut(&self, direction: Direction, slot: usize) -> bool {
        self.gate_closed && direction == Direction::Upstream && slot == self.last_step()
    }

    /// Whether [`Chain::admit`] has to look at the message before it goes into a slot.
    fn is_new(&mut self, slot: usize, message: &Message) -> bool {
        match message.command {
            None => false,
            Some(Command::UpstreamMessage) => {
                let number = self.core.number(message);
                let entry = number.and_then(|number| self.core.entries.get_mut(number));
                !entry.is_some_and(|entry| entry.is_business())
            }
            Some(_) => slot >= self.last_step(),
        }
    }

    /// Gives a business message its entry the moment it is known as one. Beyond the link's bounds it is refused;
    /// messages that are no business of the last step end before it.
    fn admit(&mut self, slot: usize, mut message: Message) -> Option<Message> {
        if message.command != Some(Command::UpstreamMessage) {
            let fault = Fault::client("link.unclaimed")
                .detail("no filter of the pipeline takes this command");
            self.pipeline.meter().fault(&fault.code);
            message.settle(Outcome::Failed(fault));
            return None;
        }
        let number = self.core.number(&message);
        let entry = number.map(|number| self.core.entries.get_mut(number));
        // An entry that is gone was given up: its message is past all bounds.
        if entry.is_some_and(|entry| entry.is_none_or(|entry| entry.is_business())) {
            return Some(message);
        }
        // A joined message counts with its parts.
        if message.parts().is_empty() {
            if let Some(fault) = self.overload(&message) {
                let step = Step::of(&message, Direction::Upstream, slot);
                self.refuse(step, message, fault);
                self.core.asked_first();
                return None;
            }
            let number = number.unwrap_or_else(|| self.core.enter(&mut message));
            self.core.entries.charge(number, message.own_weight());
            self.core.turn.carries(&message, Some(number));
        } else if number.is_none() {
            self.core.enter(&mut message);
        }
        Some(message)
    }

    /// Why a new business message is not taken, if so.
    fn overload(&self, message: &Message) -> Option<Fault> {
        if self.given_up {
            Some(Fault::gateway("link.retired").retryable())
        } else if self.closing {
            Some(closing())
        } else if self.place == Place::Link && self.is_full(message) {
            let fault = Fault::gateway("link.overloaded").retryable();
            Some(fault.detail("too many unsettled messages on this link: wait for answers"))
        } else {
            None
        }
    }

    fn is_full(&self, message: &Message) -> bool {
        let limits = self.pipeline.limits();
        let (here, elsewhere) = (self.load(), self.elsewhere);
        let messages = here.messages + elsewhere.messages;
        let bytes = here.bytes + elsewhere.bytes + message.weight();
        messages >= limits.unsettled || (messages > 0 && bytes > limits.unsettled_bytes)
    }

    /// Lets a message into a slot.
    #[inline(always)] // or the message is copied twice more
    fn visit(&mut self, step: Step, message: Message) -> Verdict {
        let (slot, core) = (step.slot, &mut self.core);
        core.turn.slot = slot;
        let filter = &mut self.slots[slot];
        match step.direction {
            Direction::Upstream => filter.upstream(message, core),
            Direction::Downstream => filter.downstream(message, core),
        }
    }

    /// Does what the verdict says.
    fn judge(&mut self, step: Step, verdict: Verdict) {
        match verdict {
            Verdict::Next(message) => self.core.asked.push_back(step.go_on(message)),
            Verdict::Done => {}
            Verdict::Refuse(message, fault) => self.refuse(step, message, fault),
            // Given up: nobody waits for what the future would say.
            Verdict::Wait(_) if self.given_up && step.direction == Direction::Upstream => {}
            Verdict::Wait(Wait(errand)) => {
                if step.ordered {
                    self.core.lanes.set_waiting(step.direction, step.slot, true);
                }
                let at = self.core.turn.at(step.slot);
                let errand = Some(errand);
                self.core.tasks.push(Task::Wait { step, at, errand });
            }
        }
        self.core.asked_first();
    }

    pub(super) fn ended(&mut self, ended: Ended) {
        match ended {
            Ended::Wait {
                step,
                message,
                mut errand,
            } => {
                let Step {
                    direction, slot, ..
                } = step;
                if step.ordered {
                    self.core.lanes.set_waiting(direction, slot, false);
                    self.core.work.push_back(Work::Drain { direction, slot });
                }
                self.core.carry(&message);
                let brought = errand.as_mut().brought();
                let resume = |filter: &mut dyn ErasedFilter, core: &mut Core| {
                    filter.resumed(message, brought, core)
                };
                let verdict = self.visits(slot, resume);
                self.judge(step, verdict);
            }
            Ended::Settle { number, outcome } => {
                self.core.work.push_back(Work::Settle { number, outcome });
            }
            Ended::Spawned { slot, mut errand } => {
                let brought = errand.as_mut().brought();
                self.call(slot, |filter, core| filter.done(brought, core));
            }
            Ended::Nothing => {}
            Ended::Panicked {
                turn,
                step,
                payload,
            } => {
                if let Some(step) = step.filter(|step| step.ordered) {
                    let Step {
                        direction, slot, ..
                    } = step;
                    self.core.lanes.set_waiting(direction, slot, false);
                }
                self.core.turn = turn;
                self.breaks(payload);
            }
        }
        self.run();
    }

    /// Lets in the first of those that stand before a slot, and comes back for the next.
    pub(super) fn drain(&mut self, direction: Direction, slot: usize) {
        if self.shut(direction, slot) {
            return;
        }
        let Some(message) = self.core.lanes.pop(direction, slot) else {
            return;
        };
        if slot == self.slots.len() {
            return match self.send_to_trunk(message) {
                Ok(()) => self.core.work.push_front(Work::Drain { direction, slot }),
                Err(message) => self.core.lanes.unpop(direction, slot, message),
            };
        }
        self.core.work.push_front(Work::Drain { direction, slot });
        self.core.carry(&message);
        let step = self.step(&message, direction, slot);
        let verdict = self.visit(step, message);
        self.judge(step, verdict);
    }

    /// Takes a message out of the last slot.
    fn leave(&mut self, message: Message) {
        match self.send_to_trunk(message) {
            Ok(()) => {}
            Err(message) => self
                .core
                .lanes
                .push(Direction::Upstream, self.slots.len(), message),
        }
    }

    fn send_to_trunk(&mut self, message: Message) -> Result<(), Message> {
        let Exit::Trunk(ticket) = &self.exit else {
            let fault =
                Fault::gateway("pipeline.no_end").detail("the last filter passed a message on");
            self.pipeline.meter().fault(&fault.code);
            message.settle(Outcome::Failed(fault));
            return Ok(());
        };
        let number = self.core.number(&message);
        if self.core.entries.in_trunk() >= self.pipeline.limits().in_trunk {
            return Err(message);
        }
        ticket.send(message)?;
        if let Some(number) = number {
            self.core.entries.sent_to_trunk(number);
        }
        Ok(())
    }

    /// Whether those that stand before the trunk can go on. If not, the task is woken when they can.
    pub(super) fn trunk_has_room(&mut self, cx: &std::task::Context<'_>) -> bool {
        let Exit::Trunk(ticket) = &mut self.exit else {
            return false;
        };
        let lanes = &mut self.core.lanes;
        let wants_room = !self.gate_closed
            && lanes.blocked(Direction::Upstream, self.slots.len())
            && self.core.entries.in_trunk() < self.pipeline.limits().in_trunk;
        if !wants_room {
            ticket.leave();
        }
        wants_room && ticket.has_room(cx)
    }

    /// Settles a refused message as failed. A business message that nobody tracks is answered with a NACK, through the
    /// slot that decodes; before that slot nobody can be answered, so the link is closed.
    pub(super) fn refuse(&mut self, step: Step, mut message: Message, fault: Fault) {
        self.meter(step.slot).fault(&fault.code);
        if let Some(code) = fault.close {
            self.core.close_link(code);
        }
        if step.direction == Direction::Downstream || self.is_heard(&message) {
            return self.core.settle(message, Outcome::from_fault(fault));
        }
        if let Some(receipt) = message.take_receipt() {
            if let Some(number) = receipt.number_at(&self.core.inbox) {
                self.core.entries.remove(number);
            }
            receipt.defuse();
        }
        let Message {
            command, key, link, ..
        } = message;
        let at = match (command, self.pipeline.decodes_at()) {
            (Some(Command::UpstreamMessage), codec) => codec.map_or(0, |codec| codec + 1),
            (None, Some(codec)) if codec <= step.slot => codec + 1,
            (None, _) => return self.core.close_link(CloseCode::GARBAGE),
            (Some(_), _) => return,
        };
        if command.is_some() {
            self.pipeline.meter().fault(&fault.code);
        }
        self.core.asked.push_back(Work::Walk {
            direction: Direction::Downstream,
            at,
            message: Message::nack(link, key, fault),
        });
    }

    /// Whether somebody hears of the message's outcome: a filter that tracks it, or who gave it into the chain.
    fn is_heard(&mut self, message: &Message) -> bool {
        if self.place == Place::Trunk || !message.parts().is_empty() {
            return true;
        }
        self.core.is_heard(message)
    }

    pub(super) fn meter(&self, slot: usize) -> &crate::meter::Meter {
        self.pipeline
            .slots()
            .get(self.offset() + slot)
            .map_or(self.pipeline.meter(), |slot| slot.meter())
    }

    /// The place in the pipeline of the chain's first slot.
    pub(super) fn offset(&self) -> usize {
        match self.place {
            Place::Link => 0,
            Place::Trunk => self.pipeline.own(),
        }
    }
}

/// What is said of a message that the link has no time for any more.
pub(super) fn closing() -> Fault {
    let fault = Fault::gateway("link.closing").retryable();
    fault.detail("this link is about to be closed: send it on the next one")
}
