//! What linkgate asks of a key-value store such as Redis: little, so that a store of any kind can do it atomically.

mod memory;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

pub use self::memory::{MemoryStore, MemoryStoreLimits};
use crate::failure::EdgeError;
use crate::link::Identity;

/// Keys with values that end by themselves. Each operation is atomic among all nodes that share the store.
///
/// An operation that fails may have happened, if the error says so. Whoever repeats one has to cope with its own first
/// try: values that name their writer make that easy.
pub trait Store: Send + Sync {
    /// Writes `value` if nothing stands under `key`; answers with what stands there instead.
    ///
    /// The key is kept on the account of `owner`, who is no part of it: a store that bounds what it keeps sees to it that no
    /// business, and no user of one, takes all of its room. A device does not count by itself.
    fn insert(
        &self,
        owner: &Identity,
        key: String,
        value: Bytes,
        keep: Duration,
    ) -> BoxFuture<'static, Result<Option<Bytes>, EdgeError>>;

    /// Writes `value`, to be kept from now on for `keep`, if `expected` stands under `key`. Says whether it did.
    fn replace(
        &self,
        key: String,
        expected: Bytes,
        value: Bytes,
        keep: Duration,
    ) -> BoxFuture<'static, Result<bool, EdgeError>>;

    /// Removes `key` if `expected` stands there. Says whether it did.
    fn remove(&self, key: String, expected: Bytes) -> BoxFuture<'static, Result<bool, EdgeError>>;
}
