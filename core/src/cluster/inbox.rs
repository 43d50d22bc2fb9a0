//! What has happened and was not taken in yet.

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::machine::{Event, FromDirectory, Machine, Need};
use crate::edges::directory::{ClaimId, User};

/// What others have to tell the machine. It holds at most one answer for each question of the machine, and what the links,
/// the pushes under way and the streams of other nodes have to say, which are bounded where they are.
#[derive(Default)]
pub(super) struct Inbox {
    news: Mutex<Vec<News>>,
    rung: Notify,
}

/// Something that has happened.
pub(super) enum News {
    /// As the machine takes it in.
    Event(Event),
    /// The directory says this, as users were spread over its shards at this time.
    Directory(u64, FromDirectory),
    /// A push looks for a user, under this ticket.
    Look(u64, User, Need),
    /// It needs no answer any more.
    Forget(u64),
    /// Somebody wants to see the machine.
    LookAt(Box<dyn FnOnce(&Machine) + Send>),
    /// Another node was sent here for links, and this is what it was sent for.
    NotHere(User, ClaimId),
}

impl Inbox {
    pub(super) fn put(&self, news: News) {
        let mut all = self.news.lock();
        all.push(news);
        let is_first = all.len() == 1;
        drop(all);
        if is_first {
            self.rung.notify_one();
        }
    }

    pub(super) fn tell(&self, event: Event) {
        self.put(News::Event(event));
    }

    /// All there is.
    pub(super) fn take(&self) -> Vec<News> {
        std::mem::take(&mut *self.news.lock())
    }

    /// Ends when there is something. Nothing is lost when it is dropped.
    pub(super) async fn rung(&self) {
        while self.news.lock().is_empty() {
            self.rung.notified().await;
        }
    }
}
