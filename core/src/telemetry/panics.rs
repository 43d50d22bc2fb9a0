//! Panics in the log: as lines like all others, at a limited rate, without what may be a client's data.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::time::Duration;

use linkgate_filter::runner::{OnPanic, Panicked};
use tracing::Level;

use super::limit::Every;

/// From now on a panic is a line of the log. Where errors are not logged, it is told as before.
pub fn log_panics() {
    let earlier = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if tracing::enabled!(Level::ERROR) {
            log(panic);
        } else {
            earlier(panic);
        }
    }));
}

fn log(panic: &PanicHookInfo<'_>) {
    static PANICKED: Every = Every::new(Duration::from_secs(1));
    let Some(held_back) = PANICKED.pass() else {
        return;
    };
    let at = panic.location().map(ToString::to_string);
    let at = at.as_deref().unwrap_or("unknown");
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let said = words(panic.payload());
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(at, said, thread, %backtrace, held_back, "a panic: this is a bug, please report it");
    } else {
        tracing::error!(
            at,
            said,
            thread,
            held_back,
            "a panic: this is a bug, please report it"
        );
    }
}

/// What a panic says, if it says the same each time. What is made while the program runs may hold a client's data.
fn words(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("(left out, as it may hold a client's data)")
}

/// Logs that a filter has panicked. Where it has is in the line before.
pub fn on_panic() -> OnPanic {
    OnPanic::new(|panicked, payload| {
        static PANICKED: Every = Every::new(Duration::from_secs(1));
        // It may panic once more when it is dropped, and the hook has told already.
        let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(payload)));
        if let Some(held_back) = PANICKED.pass() {
            log_filter(panicked, held_back);
        }
    })
}

fn log_filter(panicked: &Panicked<'_>, held_back: u64) {
    let identity = &panicked.link.identity;
    tracing::error!(
        filter = panicked.filter,
        uses = panicked.uses,
        key = panicked.key,
        biz_id = &*identity.biz_id,
        user_id = &*identity.user_id,
        device_id = identity.device_id.as_deref(),
        held_back,
        "a filter has panicked; what it held ends with `gateway.panicked`"
    );
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use linkgate_filter::{Identity, LinkInfo};
    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_of_json_stays_one_and_holds_nothing_of_clients() {
        let lines = Lines::default();
        let writer = lines.clone();
        let logs = tracing_subscriber::fmt()
            .json()
            .with_writer(move || writer.clone());
        // The hook is the whole process's; on other threads nothing is logged, so other tests fail as ever.
        tracing::subscriber::with_default(logs.finish(), || {
            log_panics();
            let body = "what alice wrote";
            panic::catch_unwind(|| panic!("cannot read {body}")).unwrap_err();
            let panicked = Panicked {
                filter: "codec",
                uses: "codec",
                link: &LinkInfo::new(1, Identity::new("chat", "alice")),
                key: "k1",
            };
            log_filter(&panicked, 0);
        });
        let log = String::from_utf8(lines.0.lock().clone()).unwrap();
        let lines = log.lines().map(serde_json::from_str);
        let lines: Vec<serde_json::Value> = lines.map(Result::unwrap).collect();
        let [panic, filter] = lines.as_slice() else {
            panic!("{log}");
        };
        let at = panic["fields"]["at"].as_str().unwrap();
        assert!(at.contains("panics.rs:"), "{log}");
        assert_eq!(filter["fields"]["filter"], "codec");
        assert_eq!(filter["fields"]["key"], "k1");
        assert!(!log.contains("wrote"), "{log}");
    }

    #[test]
    fn what_is_made_at_run_time_is_left_out() {
        let said: Box<dyn Any + Send> = Box::new("called `Option::unwrap()` on a `None` value");
        assert!(words(&*said).starts_with("called"));
        let made: Box<dyn Any + Send> = Box::new(format!("not UTF-8: {}", "secret"));
        assert!(!words(&*made).contains("secret"));
    }
}
