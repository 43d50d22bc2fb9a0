//! Links: one client connection each, with its task, its mailbox and its identity.
//!
//! A link's task owns the socket and the chains and does everything on them; other tasks reach it through its mailbox
//! alone. The link manager knows which links a user has here. What may not enter: what a filter does, and how a
//! connection came to be accepted.

mod arrivals;
mod entered;
mod handle;
mod intake;
mod mailbox;
mod manager;
mod metrics;
mod open;
mod pieces;
mod settings;
mod socket;
mod task;
mod timing;
mod watch;

#[cfg(test)]
mod tests;

pub use self::arrivals::{Arrivals, User, Watcher};
pub use self::handle::LinkHandle;
pub use self::mailbox::PushBudget;
pub use self::manager::{LinkManager, Taken};
pub use self::metrics::LinkMetrics;
pub use self::open::NewLink;
pub use self::settings::{Grace, LinkSettings, SecondLogin};
pub use self::watch::{Change, Watch};
