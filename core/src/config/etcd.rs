//! Documents kept in etcd: reading and following them, pushing new ones, rolling back, and the states of nodes.
//!
//! What a document means is not known here, nor when a node changes over; nothing here prints. How etcd is reached and
//! followed stands in [`crate::edges`]. Below a prefix such as
//! `/linkgate/prod` there are
//!
//! ```text
//! documents/NAME      the text of a document, one key each
//! head                the last push: its generation, when, by whom, and the hash of each document
//! history/00000007    what `head` was at generation 7; the last 10 are kept
//! blobs/SHA256        the texts that the history names
//! status/NODE         what a node says of itself, for as long as it lives
//! pushing             how far a push has come that does not fit one transaction
//! ```
//!
//! A push that fits one transaction of etcd is one: all of it is seen at once, or nothing of it is written. etcd takes
//! 128 operations and 1.5 MiB at a time, which is room for about 60 changed documents. A larger push writes the texts
//! for the history first, then the documents in several transactions, and the head at the end; each of them is refused
//! if somebody else has changed something since. Until the head follows, [`Snapshot::is_whole`] is false.

#[cfg(feature = "etcd")]
mod client;
#[cfg(feature = "etcd")]
mod commit;
#[cfg(feature = "etcd")]
mod error;
#[cfg(feature = "etcd")]
mod keys;
#[cfg(feature = "etcd")]
mod plan;
#[cfg(feature = "etcd")]
mod push;
#[cfg(feature = "etcd")]
mod read;
#[cfg(feature = "etcd")]
mod snapshot;
#[cfg(feature = "etcd")]
mod status;
#[cfg(feature = "etcd")]
mod watch;

#[cfg(feature = "etcd")]
pub use self::{
    client::Etcd,
    error::PushError,
    push::{Push, Pushed},
    snapshot::{Document, Head, Snapshot, Unreadable, VersionedHead},
    watch::State,
};
#[cfg(feature = "etcd")]
pub use crate::edges::etcd::{EtcdError, Timing};
pub use crate::edges::etcd::{EtcdSource, EtcdTls, UrlError};
