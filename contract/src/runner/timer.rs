//! One sleep for the nearest of many deadlines.

use std::task::{self, Poll};
use std::time::Instant;

use futures_util::future::BoxFuture;

use crate::clock::Clock;

/// Wakes a task at the nearest deadline. Holds a sleep only while there is one.
#[derive(Default)]
pub(crate) struct Timer(Option<(Instant, BoxFuture<'static, ()>)>);

impl Timer {
    /// Whether `deadline` has come. If not, the task is woken then.
    pub(crate) fn poll_due(
        &mut self,
        deadline: Option<Instant>,
        clock: &dyn Clock,
        cx: &mut task::Context<'_>,
    ) -> bool {
        let Some(deadline) = deadline else {
            self.0 = None;
            return false;
        };
        if self.0.as_ref().is_none_or(|(at, _)| *at != deadline) {
            self.0 = Some((deadline, clock.sleep_until(deadline)));
        }
        let due = self
            .0
            .as_mut()
            .is_some_and(|(_, sleep)| sleep.as_mut().poll(cx) == Poll::Ready(()));
        if due {
            self.0 = None;
        }
        due
    }
}
