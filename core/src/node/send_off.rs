//! Links are sent off one after another, at a pace: because nothing serves them any more, or because the node stops.
//!
//! Which links, in which order, and how fast is said by whoever sends them off, and so is what each of them is told.

use std::time::Duration;

use tokio::time::sleep;

/// So much time passes before a link is told to go.
pub(super) type Pause = Duration;

/// All that have no time between them are told at once.
pub(super) const AT_ONCE: Pause = Duration::ZERO;

/// Tells one link after another to go, each after its pause. Those that have not had their turn when this is dropped stay.
pub(super) async fn send_off<L>(links: impl IntoIterator<Item = (L, Pause)>, tell: impl Fn(&L)) {
    for (link, pause) in links {
        if !pause.is_zero() {
            sleep(pause).await;
        }
        tell(&link);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use parking_lot::Mutex;
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn links_go_one_by_one_at_their_pace_until_it_is_over() {
        let begun = Instant::now();
        let told = Mutex::new(Vec::new());
        let tell = |link: &u32| told.lock().push((*link, begun.elapsed().as_millis()));
        let links = (1..=10).map(|link| (link, Duration::from_millis(100)));
        let patience = Duration::from_millis(350);
        timeout(patience, send_off(links, tell)).await.unwrap_err();
        assert_eq!(*told.lock(), [(1, 100), (2, 200), (3, 300)]);
    }

    #[tokio::test]
    async fn without_a_pause_all_are_told_before_anything_else_happens() {
        let told = Mutex::new(0);
        let links = (1..=10).map(|link| (link, AT_ONCE));
        let sent = send_off(links, |_: &u32| *told.lock() += 1);
        assert!(sent.now_or_never().is_some());
        assert_eq!(*told.lock(), 10);
    }
}
