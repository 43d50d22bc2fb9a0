//! The seam between the router and the node's links.

use std::sync::Arc;

use linkgate_filter::{Fault, LinkInfo, Message};

use crate::link::{Arrivals, LinkHandle, LinkManager};

/// Finds the links of this node.
pub trait Links: Send + Sync + 'static {
    /// The connected links of a user: at this device, or at all.
    fn find(&self, biz_id: &str, user_id: &str, device_id: Option<&str>) -> Vec<Arc<dyn Link>>;

    /// Where one may wait for users to come.
    fn arrivals(&self) -> &Arc<Arrivals>;
}

/// A link that a push can be sent to.
pub trait Link: Send + Sync {
    /// What filters know of the link.
    fn info(&self) -> &Arc<LinkInfo>;

    /// Puts the push in the link's queue, without waiting. Its outcome comes by its receipt.
    ///
    /// # Errors
    /// The push itself and why it was not taken.
    #[allow(clippy::result_large_err)] // The message goes back to its owner.
    fn push(&self, message: Message) -> Result<(), (Message, Fault)>;
}

impl Links for LinkManager {
    fn find(&self, biz_id: &str, user_id: &str, device_id: Option<&str>) -> Vec<Arc<dyn Link>> {
        let links = LinkManager::find(self, biz_id, user_id, device_id);
        links
            .into_iter()
            .map(|link| link as Arc<dyn Link>)
            .collect()
    }

    fn arrivals(&self) -> &Arc<Arrivals> {
        LinkManager::arrivals(self)
    }
}

impl Link for LinkHandle {
    fn info(&self) -> &Arc<LinkInfo> {
        LinkHandle::info(self)
    }

    fn push(&self, message: Message) -> Result<(), (Message, Fault)> {
        LinkHandle::push(self, message)
    }
}
