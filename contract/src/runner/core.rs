//! What of a chain a filter can reach while it is called: everything but the filters themselves.

pub(crate) mod entries;
pub(crate) mod inbox;
pub(crate) mod lanes;
pub(crate) mod tasks;
pub(crate) mod timers;
pub(crate) mod turn;
pub(crate) mod work;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use self::entries::{Entries, Entry};
use self::inbox::Inbox;
use self::lanes::Lanes;
use self::tasks::{Task, Tasks};
use self::timers::Timers;
use self::turn::Turn;
use self::work::Work;
use crate::close::CloseCode;
use crate::errand::BoxErrand;
use crate::link::LinkInfo;
use crate::message::{Direction, Message};
use crate::receipt::{Outcome, Receipt};
use crate::runner::host::Host;

/// A message that a filter sends on from its own position.
pub(crate) struct Emission {
    pub(crate) direction: Direction,
    pub(crate) slot: usize,
    pub(crate) message: Message,
}

pub(crate) struct Core {
    pub(crate) now: Instant,
    pub(crate) host: Arc<Host>,
    pub(crate) link: Arc<LinkInfo>,
    pub(crate) rng: fastrand::Rng,
    pub(crate) inbox: Arc<Inbox>,
    /// What has just been taken out of the inbox; kept for its room.
    pub(crate) settled: Vec<(u64, Outcome)>,
    pub(crate) entries: Entries,
    pub(crate) lanes: Lanes,
    pub(crate) tasks: Tasks,
    pub(crate) timers: Timers,
    /// What the call at work has asked for so far.
    pub(crate) asked: VecDeque<Work>,
    pub(crate) work: VecDeque<Work>,
    pub(crate) outgoing: VecDeque<Message>,
    pub(crate) close: Option<CloseCode>,
    /// Whose turn it is.
    pub(crate) turn: Turn,
}

impl Core {
    pub(crate) fn new(host: Arc<Host>, link: Arc<LinkInfo>) -> Self {
        Self {
            now: host.clock.now(),
            rng: fastrand::Rng::with_seed(host.seeds.next()),
            host,
            link,
            inbox: Arc::default(),
            settled: Vec::new(),
            entries: Entries::default(),
            lanes: Lanes::default(),
            tasks: Tasks::default(),
            timers: Timers::default(),
            asked: VecDeque::new(),
            work: VecDeque::new(),
            outgoing: VecDeque::new(),
            close: None,
            turn: Turn::default(),
        }
    }

    /// Filters are about to be given the message. One that was joined of a single part counts as that part.
    pub(crate) fn carry(&mut self, message: &Message) {
        let message = match message.parts() {
            [part] => part,
            _ => message,
        };
        let number = self.number(message);
        self.turn.carries(message, number);
    }

    /// The filter of this slot is no more.
    pub(crate) fn forget(&mut self, slot: usize) {
        self.timers.forget(slot);
        self.entries.forget(slot);
        self.tasks.forget(slot);
    }

    pub(crate) fn emit(&mut self, emission: Emission) {
        let Emission {
            direction,
            slot,
            message,
        } = emission;
        let at = match direction {
            Direction::Upstream => slot + 1,
            Direction::Downstream => slot,
        };
        self.asked.push_back(Work::Walk {
            direction,
            at,
            message,
        });
    }

    /// The number of the message's entry in this chain.
    pub(crate) fn number(&self, message: &Message) -> Option<u64> {
        message.receipt.number_at(&self.inbox)
    }

    /// Gives the message an entry in this chain; a receipt it came with is told last. One of this very chain says that the
    /// message was given up: whoever wanted to hear of it has heard, and who tracks it from here on hears what comes.
    pub(crate) fn enter(&mut self, message: &mut Message) -> u64 {
        let given_up = self.number(message).is_some();
        let mut parent = message.take_receipt();
        if given_up && let Some(receipt) = parent.take() {
            receipt.defuse();
        }
        let number = self.entries.insert(Entry::new(parent));
        message.receipt = Receipt::new(Arc::clone(&self.inbox) as _, number);
        number
    }

    pub(crate) fn track(&mut self, slot: usize, message: &mut Message, token: u32) {
        let known = self.number(message);
        let mut entry = known.and_then(|number| self.entries.get_mut(number));
        if entry.is_none() {
            let number = self.enter(message);
            entry = self.entries.get_mut(number);
        }
        if let Some(entry) = entry {
            entry.stack.push((slot as u16, token));
        }
    }

    /// Whether a filter of this chain tracks the message, or whoever gave it into the chain waits for its outcome.
    pub(crate) fn is_heard(&mut self, message: &Message) -> bool {
        match self.number(message) {
            None => message.has_receipt(),
            Some(number) => {
                // An entry that is gone was given up, and whoever wanted to hear of it has heard.
                let entry = self.entries.get_mut(number);
                entry.is_none_or(|entry| !entry.stack.is_empty() || entry.parent.is_some())
            }
        }
    }

    /// Takes business messages that somebody wants to hear of from the slots that wait with them. Their entries have new
    /// numbers then, so that the loss of the messages themselves is not taken for their outcome.
    pub(crate) fn take_waiting(&mut self) -> Vec<u64> {
        let entries = &mut self.entries;
        self.tasks.drop_waits(|number| {
            let entry = entries.get_mut(number)?;
            let heard = !entry.stack.is_empty() || entry.parent.is_some();
            (heard && entry.is_business()).then(|| entries.renumber(number))?
        })
    }

    /// Gives the entries whose outcome no filter has begun to work on other numbers, so that outcomes that come later find
    /// nothing. Says the new ones.
    pub(crate) fn give_up(&mut self) -> Vec<u64> {
        let settling = self.tasks.settling();
        let mut numbers = self.entries.numbers();
        numbers.retain(|number| !settling.contains(number));
        let renumbered = numbers.into_iter();
        renumbered
            .filter_map(|number| self.entries.renumber(number))
            .collect()
    }

    pub(crate) fn settle(&mut self, mut message: Message, outcome: Outcome) {
        for part in message.take_parts() {
            self.settle(part, outcome.clone());
        }
        let number = self.number(&message);
        if let Some(receipt) = message.take_receipt() {
            match number {
                Some(number) => {
                    receipt.defuse();
                    self.asked.push_back(Work::Settle { number, outcome });
                }
                None => receipt.settle(outcome),
            }
        }
    }

    pub(crate) fn spawn(&mut self, slot: usize, errand: BoxErrand<()>) {
        let at = self.turn.at(slot);
        self.tasks.push(Task::Spawned {
            is_heard: true,
            at,
            errand: Some(errand),
        });
    }

    pub(crate) fn close_link(&mut self, code: CloseCode) {
        self.close.get_or_insert(code);
    }

    /// Puts what the last call has asked for before all other work.
    pub(crate) fn asked_first(&mut self) {
        while let Some(work) = self.asked.pop_back() {
            self.work.push_front(work);
        }
    }
}
