//! Waits that end.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How long anything may take on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Looks again after so long.
const PAUSE: Duration = Duration::from_millis(5);

/// The result of `work`, which has to be there in time.
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

/// Looks until `holds`.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let looked = async {
        while !holds().await {
            sleep(PAUSE).await;
        }
    };
    within(what, looked).await;
}
