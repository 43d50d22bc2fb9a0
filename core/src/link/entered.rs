//! A link's place in the table, for as long as its task lives.

use std::sync::Arc;

use linkgate_filter::Outcome;

use super::handle::LinkHandle;
use super::mailbox::gone;
use super::manager::LinkManager;
use super::metrics::LinkMetrics;

/// A link's place in the table. Takes the link out however its task ends.
pub(super) struct Entered {
    pub(super) manager: Arc<LinkManager>,
    pub(super) metrics: Arc<LinkMetrics>,
    pub(super) handle: Arc<LinkHandle>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let parked = self.handle.is_parked();
        let gauge = if parked {
            &self.metrics.parked
        } else {
            &self.metrics.open
        };
        gauge.dec();
        self.manager.park(&self.handle);
        self.manager.leave(&self.handle);
        for message in self.handle.mailbox.shut() {
            message.settle(Outcome::Failed(gone()));
        }
    }
}
