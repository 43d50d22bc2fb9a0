//! Whoever wants to hear which links come and go.

use std::sync::Arc;

use linkgate_filter::LinkInfo;

/// A link has come or gone.
pub struct Change<'a> {
    /// The link.
    pub link: &'a LinkInfo,
    /// It has come.
    pub is_online: bool,
    /// Links that its user has here now.
    pub links: usize,
}

/// Hears of every change, for one user in the order in which they happen. Called under a lock: it may not wait.
pub type Watch = Arc<dyn Fn(&Change<'_>) + Send + Sync>;
