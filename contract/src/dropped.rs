//! Messages that are dropped before they have settled: why, and what is said of them.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::fault::Fault;

/// The code of what a filter has dropped in silence.
pub(crate) const LOST: &str = "gateway.dropped";

/// The code of what a filter's panic has taken with it.
pub(crate) const PANICKED: &str = "gateway.panicked";

/// Why messages are dropped that have not settled.
#[derive(Clone, Copy)]
enum Why {
    /// A bug of the filter that drops them.
    Lost,
    /// Nobody waits for them any longer.
    Retired,
    /// They were a filter's that has panicked.
    Panicked,
}

thread_local!(static WHY: Cell<Why> = const { Cell::new(Why::Lost) });

/// Drops the futures of filters in `work`. The messages in them end because nobody waits any longer, which is no bug of
/// those filters; only the futures know the messages, so it is the drop that has to tell.
pub(crate) fn by_runner<R>(work: impl FnOnce() -> R) -> R {
    dropping(Why::Retired, work)
}

/// Drops in `work` what a filter has left behind that has panicked.
pub(crate) fn by_panic<R>(work: impl FnOnce() -> R) -> R {
    dropping(Why::Panicked, work)
}

fn dropping<R>(why: Why, work: impl FnOnce() -> R) -> R {
    struct Reset(Why);
    impl Drop for Reset {
        fn drop(&mut self) {
            WHY.set(self.0);
        }
    }
    let _reset = Reset(WHY.replace(why));
    work()
}

/// Drops what is a filter's, and may panic at that.
pub(crate) fn discard<T>(value: T) {
    // The filter has done so already, or is not asked any more.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
}

/// What is said of a message that is dropped now.
pub(crate) fn fault() -> Fault {
    match WHY.try_with(Cell::get).unwrap_or(Why::Lost) {
        _ if std::thread::panicking() => panicked(),
        Why::Panicked => panicked(),
        Why::Retired => Fault::retired(),
        Why::Lost => Fault::gateway(LOST).effect_unknown().retryable(),
    }
}

/// What is said of a message that went down with a filter.
pub(crate) fn panicked() -> Fault {
    let fault = Fault::gateway(PANICKED).effect_unknown().retryable();
    fault.detail("a filter of the gateway has failed, and the message with it")
}
