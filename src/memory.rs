//! The allocator of the program, and giving back what closed links have held.
//!
//! mimalloc returns freed pages when the thread that owns them allocates again. A worker that has let ten thousand links
//! go and then sleeps would keep their memory, so each worker collects before it sleeps.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Collecting walks the thread's pages, so a worker does it now and then only.
const EVERY: Duration = Duration::from_secs(5);

thread_local! {
    static COLLECTED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Gives back what this thread has freed, if it has not done so lately. Called by a worker that is about to sleep.
#[allow(unsafe_code, reason = "the allocator has no safe call for this")]
pub(crate) fn collect() {
    let now = Instant::now();
    if COLLECTED
        .get()
        .is_some_and(|last| now.duration_since(last) < EVERY)
    {
        return;
    }
    COLLECTED.set(Some(now));
    // SAFETY: `mi_collect` has no preconditions; it works on the calling thread's heap alone.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
