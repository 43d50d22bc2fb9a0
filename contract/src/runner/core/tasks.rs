//! The futures of a chain. They run on the chain's own task.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, Stream};

use crate::dropped::{by_panic, discard};
use crate::errand::BoxErrand;
use crate::message::{Direction, Message};
use crate::receipt::Outcome;
use crate::runner::core::turn::Turn;
use crate::runner::core::work::Step;
use crate::runner::panics::Payload;

/// A future and what it is for.
pub(crate) enum Task {
    Wait {
        step: Step,
        at: Turn,
        errand: Running<Message>,
    },
    Settle {
        slot: usize,
        number: u64,
        future: BoxFuture<'static, Outcome>,
    },
    Spawned {
        /// Its filter is still there to be told.
        is_heard: bool,
        at: Turn,
        errand: Running<()>,
    },
}

/// An errand; nothing once it has ended.
pub(crate) type Running<T> = Option<BoxErrand<T>>;

/// What a future has come to.
pub(crate) enum Ended {
    Wait {
        step: Step,
        message: Message,
        errand: BoxErrand<Message>,
    },
    Settle {
        number: u64,
        outcome: Outcome,
    },
    Spawned {
        slot: usize,
        errand: BoxErrand<()>,
    },
    /// Nobody is to hear of it.
    Nothing,
    /// It has panicked.
    Panicked {
        /// What it was at.
        turn: Turn,
        /// It held its slot.
        step: Option<Step>,
        payload: Payload,
    },
}

impl Future for Task {
    type Output = Ended;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let task = self.get_mut();
        let polled = catch_unwind(AssertUnwindSafe(|| task.poll_future(cx)));
        polled.unwrap_or_else(|payload| Poll::Ready(task.panicked(payload)))
    }
}

impl Task {
    fn poll_future(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        Poll::Ready(match self {
            Self::Wait { step, errand, .. } => {
                let (message, errand) = ready!(poll_errand(errand, cx));
                let step = *step;
                Ended::Wait {
                    step,
                    message,
                    errand,
                }
            }
            Self::Settle { number, future, .. } => {
                let outcome = ready!(future.as_mut().poll(cx));
                let number = *number;
                Ended::Settle { number, outcome }
            }
            Self::Spawned {
                is_heard,
                at,
                errand,
            } => {
                let ((), errand) = ready!(poll_errand(errand, cx));
                let slot = at.slot;
                if *is_heard {
                    Ended::Spawned { slot, errand }
                } else {
                    Ended::Nothing
                }
            }
        })
    }

    fn panicked(&mut self, payload: Payload) -> Ended {
        let (turn, step) = match self {
            Self::Wait { step, at, errand } => {
                by_panic(|| discard(errand.take()));
                (std::mem::take(at), Some(*step))
            }
            Self::Settle {
                slot,
                number,
                future,
            } => {
                let panicked = std::mem::replace(future, Box::pin(std::future::pending()));
                by_panic(|| discard(panicked));
                let turn = Turn {
                    slot: *slot,
                    number: Some(*number),
                    key: String::new(),
                    settling: true,
                };
                (turn, None)
            }
            Self::Spawned { at, errand, .. } => {
                by_panic(|| discard(errand.take()));
                (std::mem::take(at), None)
            }
        };
        Ended::Panicked {
            turn,
            step,
            payload,
        }
    }
}

/// Takes the errand out once it has ended: what it has brought is in it.
fn poll_errand<T>(errand: &mut Running<T>, cx: &mut Context<'_>) -> Poll<(T, BoxErrand<T>)> {
    let Some(running) = errand else {
        return Poll::Pending;
    };
    let ended = ready!(running.as_mut().poll(cx));
    errand
        .take()
        .map_or(Poll::Pending, |errand| Poll::Ready((ended, errand)))
}

/// The futures at work. Nothing is allocated before the first one, and nothing is kept after the last.
#[derive(Default)]
pub(crate) struct Tasks(Option<FuturesUnordered<Task>>);

impl Tasks {
    pub(crate) fn push(&mut self, task: Task) {
        self.0.get_or_insert_default().push(task);
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Option<Ended> {
        let tasks = self.0.as_mut()?;
        match Pin::new(tasks).poll_next(cx) {
            Poll::Ready(Some(ended)) => Some(ended),
            Poll::Ready(None) => {
                self.0 = None;
                None
            }
            Poll::Pending => None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(FuturesUnordered::is_empty)
    }

    /// Drops all. Says whether one of them held what may be an answer on its way to the client.
    pub(crate) fn clear(&mut self) -> bool {
        let tasks = self.0.take();
        tasks.iter().flatten().any(|task| match task {
            Task::Wait { step, .. } => step.answers,
            Task::Settle { .. } | Task::Spawned { .. } => false,
        })
    }

    /// Whether outcomes are held by filters that still work on them.
    pub(crate) fn settle(&self) -> bool {
        let mut tasks = self.0.iter().flatten();
        tasks.any(|task| matches!(task, Task::Settle { .. }))
    }

    /// Drops the waits on the way upstream whose entries `renumber` gives another number. Says the new numbers.
    pub(crate) fn drop_waits(&mut self, mut renumber: impl FnMut(u64) -> Option<u64>) -> Vec<u64> {
        let mut numbers = Vec::new();
        for task in self.0.take().into_iter().flatten() {
            let renewed = match &task {
                Task::Wait { step, .. } if step.direction == Direction::Upstream => {
                    step.number.and_then(&mut renumber)
                }
                _ => None,
            };
            match renewed {
                Some(number) => numbers.push(number),
                None => self.push(task),
            }
        }
        numbers
    }

    /// The filter of this slot is no more: what waits in it is dropped, and what it has spawned wakes nobody.
    pub(crate) fn forget(&mut self, slot: usize) {
        for mut task in self.0.take().into_iter().flatten() {
            match &mut task {
                Task::Wait { step, .. } if step.slot == slot => {
                    discard(task);
                    continue;
                }
                Task::Spawned { at, is_heard, .. } if at.slot == slot => *is_heard = false,
                Task::Wait { .. } | Task::Settle { .. } | Task::Spawned { .. } => {}
            }
            self.push(task);
        }
    }

    /// The entries whose outcomes filters still work on.
    pub(crate) fn settling(&self) -> HashSet<u64> {
        let tasks = self.0.iter().flatten();
        let numbers = tasks.filter_map(|task| match task {
            Task::Settle { number, .. } => Some(*number),
            Task::Wait { .. } | Task::Spawned { .. } => None,
        });
        numbers.collect()
    }

    /// Drops all but the waits on the way to the client and what is done on outcomes. Says how many of the others held a
    /// frame on its way upstream.
    pub(crate) fn give_up(&mut self) -> usize {
        let mut frames = 0;
        for task in self.0.take().into_iter().flatten() {
            match task {
                Task::Wait { step, .. } if step.direction == Direction::Downstream => {
                    self.push(task);
                }
                Task::Wait { step, .. } => frames += usize::from(step.raw),
                Task::Settle { .. } => self.push(task),
                Task::Spawned { .. } => {}
            }
        }
        frames
    }
}
