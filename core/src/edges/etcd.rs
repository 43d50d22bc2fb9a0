//! etcd: the way to it, ranges of keys that are read and followed, and leases.
//!
//! A [`Connection`] asks one member after the other until one answers. [`Connection::list`] reads a range at one revision,
//! [`Connection::follow`] tells what is in it and then every change, and begins anew where etcd does not keep what came
//! between. [`Connection::ranges`] reads several at one revision. [`Connection::commit`] writes several keys at once, or none. A
//! [`Lease`] is kept alive by a task of its own. What may not enter: what any key means.

#[cfg(feature = "etcd")]
mod at_once;
#[cfg(feature = "etcd")]
mod connection;
#[cfg(feature = "etcd")]
mod error;
#[cfg(feature = "etcd")]
mod follow;
#[cfg(feature = "etcd")]
mod lease;
#[cfg(feature = "etcd")]
mod mirror;
#[cfg(feature = "etcd")]
mod read;
mod source;
#[cfg(feature = "etcd")]
mod timing;
#[cfg(feature = "etcd")]
mod txn;
mod url;

pub(crate) use self::source::check_prefix;
pub use self::source::{EtcdSource, EtcdTls};
pub use self::url::UrlError;
#[cfg(feature = "etcd")]
pub(crate) use self::{
    connection::Connection,
    follow::Follow,
    lease::Lease,
    mirror::Mirror,
    read::{Bound, Of, Range},
    txn::{Guard, Refusal, Step},
};
#[cfg(feature = "etcd")]
pub use self::{error::EtcdError, timing::Timing};
#[cfg(all(test, feature = "etcd"))]
pub(crate) use self::{
    mirror::Change,
    read::{Listing, Origin},
};
