//! What backends have to be told: records and notices, sent until they are confirmed.
//!
//! A [`Letter`] is one of them, for a topic or for a service; a [`Writer`] sends it for as long as it takes. An [`Outlet`]
//! makes letters of notices of one kind, such as reports of pushes, for the [`Destination`] that is configured. What may not
//! enter: what a notice says, and when there is one.

mod calls;
mod config;
mod letter;
mod outlet;

pub use self::calls::Notice;
pub use self::config::{Destination, NoticeService, NoticeTopic};
pub use self::letter::{Letter, Writer};
pub use self::outlet::Outlet;
pub(crate) use self::outlet::json;

#[cfg(test)]
mod tests;
