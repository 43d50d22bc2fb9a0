//! Links: one client connection each, with its task, its mailbox and its identity.
//!
//! A link's task owns the socket and the chains and does everything on them; other tasks reach it through its mailbox
//! alone. The link manager knows which links a user has here. What may not enter: what a filter does, and how a
//! connection came to be accepted.

mod entered;
mod handle;
mod intake;
mod journal;
mod mailbox;
mod manager;
mod metrics;
mod open;
mod pieces;
mod settings;
mod socket;
mod task;
mod timing;

#[cfg(test)]
mod tests;

pub use self::handle::LinkHandle;
#[cfg(test)]
pub(crate) use self::journal::Before;
pub use self::journal::{Awaited, Backlog, Change, Journal, Reader, User, Watcher};
pub use self::mailbox::PushBudget;
pub use self::manager::{LinkManager, Taken};
pub use self::metrics::LinkMetrics;
pub use self::open::NewLink;
pub use self::settings::{Grace, LinkSettings, SecondLogin};
