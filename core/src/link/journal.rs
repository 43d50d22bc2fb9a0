//! The journal of comings and goings: which links come and go, for whoever wants to know.
//!
//! Nobody is called when a link comes or goes, and nothing waits in a queue. A [`Reader`] is told the *difference* to what
//! it was told before: for each user the links that came and those that went, in the order in which they did so. A link
//! that came and went before the reader looked falls out of it. So what a reader has not read is bounded by the links that
//! are here and those that it was told of, however late it looks, and nothing is ever dropped. A [`Watcher`] waits for
//! users by name, wherever they come. What may not enter: what readers do with it.

mod named;
mod unread;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use linkgate_filter::{Identity, LinkInfo};
use parking_lot::RwLock;
use tokio::time::Instant;

use self::named::Named;
pub use self::named::{Awaited, Watcher};
pub use self::unread::Backlog;
use self::unread::{Found, Unread};

/// A business and a user of it.
pub type User = (Arc<str>, Arc<str>);

/// A link has come or gone.
#[derive(Clone)]
pub struct Change {
    /// The link.
    pub link: Arc<LinkInfo>,
    /// It has come.
    pub is_online: bool,
    /// Links that its user then had here, of those that the reader has been told of.
    pub links: usize,
    /// When.
    pub at: Instant,
}

/// What links a user had when another one came.
#[derive(Default)]
pub(crate) struct Before {
    /// How many.
    pub(crate) links: usize,
    /// Those of them that give way: they are the user's no more, though they have not gone.
    pub(crate) replaced: Vec<u64>,
}

/// Who reads which links come and go. Those who change the table say so here, under the lock that keeps a user's changes in
/// their order.
#[derive(Default)]
pub struct Journal {
    readers: RwLock<Vec<Arc<Unread>>>,
    /// How many there are. Without any, a login looks no further.
    count: AtomicUsize,
    named: Named,
}

impl Journal {
    /// A link has come, to a user who had these before.
    pub(crate) fn came(&self, link: &Arc<LinkInfo>, before: impl FnOnce() -> Before) {
        if self.is_read() {
            let (before, at) = (before(), Instant::now());
            for unread in &*self.readers.read() {
                unread.came(link, &before, at);
            }
        }
        self.named.came(&link.identity);
    }

    /// A link has gone. Its user had so many links here `before`; this one `counted`, or had been replaced.
    pub(crate) fn went(&self, link: &Arc<LinkInfo>, counted: bool, before: impl FnOnce() -> usize) {
        if self.is_read() {
            let (before, at) = (before(), Instant::now());
            for unread in &*self.readers.read() {
                unread.went(link, counted, before, at);
            }
        }
    }

    fn is_read(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Reads what comes and goes from now on. Whoever has a table says next what is in it: see [`Reader::finds`].
    pub(crate) fn read(self: &Arc<Self>, backlog: Backlog) -> Reader {
        let unread = Arc::new(Unread::new(backlog));
        let mut readers = self.readers.write();
        readers.push(Arc::clone(&unread));
        self.count.store(readers.len(), Ordering::Release);
        drop(readers);
        Reader {
            journal: Arc::clone(self),
            unread,
        }
    }
}

/// Reads the differences of all users.
pub struct Reader {
    journal: Arc<Journal>,
    unread: Arc<Unread>,
}

impl Reader {
    /// The next changes, at most so many and at least one, as soon as there is one; `None` once all is read and the reader
    /// is closed. Users come in the order in which they first had something to tell. Nothing is lost when this is dropped.
    pub async fn changes(&self, most: usize) -> Option<Vec<Change>> {
        self.unread.take(most).await
    }

    /// These are a user's links, and which of them have been replaced. Said under the lock under which they come and go,
    /// before the first reading.
    pub(crate) fn finds(&self, user: &User, links: impl Iterator<Item = Found>) {
        self.unread.finds(user, links, Instant::now());
    }

    /// Of what happens from now on nothing is told.
    pub fn close(&self) {
        let mut readers = self.journal.readers.write();
        readers.retain(|other| !Arc::ptr_eq(other, &self.unread));
        self.journal.count.store(readers.len(), Ordering::Release);
        drop(readers);
        self.unread.close();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.close();
    }
}

fn user(identity: &Identity) -> User {
    (Arc::clone(&identity.biz_id), Arc::clone(&identity.user_id))
}
