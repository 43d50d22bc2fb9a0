//! Users who are not here and are waited for: who waits for one is told when they come.
//!
//! They may come to another node. So whoever looks there is told who is waited for ([`Awaited`]), and says who has come
//! ([`Journal::comes`]). One who came there between somebody's look and [`Watcher::wait_for`] is told of as well: whoever
//! looks there looks once more when it is told that the user is waited for.

mod awaited;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use linkgate_filter::Identity;
use parking_lot::Mutex;
use tokio::sync::Notify;

pub use self::awaited::Awaited;
use self::awaited::Told;
use super::{Journal, User, user};

/// Who is waited for, and by whom. Has no more users in it than [`Watcher`]s wait for.
#[derive(Default)]
pub(super) struct Named {
    waited: Mutex<Waited>,
    /// Users in the table. Mostly nobody is waited for, and a login looks no further.
    count: AtomicUsize,
}

#[derive(Default)]
struct Waited {
    users: HashMap<User, Vec<Arc<Bell>>>,
    /// Whoever looks elsewhere has been told of these.
    told: Option<Told>,
}

/// What rings when a user comes.
#[derive(Default)]
struct Bell {
    /// Who has come and has not been asked for yet.
    come: Mutex<BTreeSet<User>>,
    rung: Notify,
}

impl Named {
    /// A link of this user has come.
    pub(super) fn came(&self, identity: &Identity) {
        if self.count.load(Ordering::Acquire) > 0 {
            self.comes(&user(identity));
        }
    }

    /// This user has come, here or elsewhere.
    fn comes(&self, user: &User) {
        let bells = self.change(|waited| {
            let bells = waited.users.remove(user);
            waited.changed(user);
            bells
        });
        for bell in bells.into_iter().flatten() {
            bell.come.lock().insert(user.clone());
            bell.rung.notify_one();
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Waited) -> T) -> T {
        let mut waited = self.waited.lock();
        let changed = change(&mut waited);
        self.count.store(waited.users.len(), Ordering::Release);
        changed
    }
}

impl Waited {
    /// Somebody waits for this user for the first time, or nobody does any more.
    fn changed(&mut self, user: &User) {
        if let Some(told) = &mut self.told {
            told.note(user, self.users.contains_key(user));
        }
    }

    /// This one waits for the user no more.
    fn forget(&mut self, user: &User, bell: &Arc<Bell>) {
        if let Some(bells) = self.users.get_mut(user) {
            bells.retain(|other| !Arc::ptr_eq(other, bell));
            if bells.is_empty() {
                self.users.remove(user);
                self.changed(user);
            }
        }
    }
}

impl Journal {
    /// A user has come to another node: who waits for them is told.
    pub fn comes(&self, user: &User) {
        self.named.comes(user);
    }
}

/// Waits for users by name, for each until they come once.
pub struct Watcher {
    journal: Arc<Journal>,
    bell: Arc<Bell>,
}

impl Watcher {
    /// Waits for nobody yet.
    pub fn new(journal: Arc<Journal>) -> Self {
        Self {
            journal,
            bell: Arc::default(),
        }
    }

    /// Waits for a user. One who has come here just before is not told of: look for links after this.
    pub fn wait_for(&self, user: &User) {
        self.journal.named.change(|waited| {
            let bells = waited.users.entry(user.clone()).or_default();
            if bells.iter().any(|bell| Arc::ptr_eq(bell, &self.bell)) {
                return;
            }
            bells.push(Arc::clone(&self.bell));
            if bells.len() == 1 {
                waited.changed(user);
            }
        });
    }

    /// Waits for them no more.
    pub fn forget(&self, user: &User) {
        let change = |waited: &mut Waited| waited.forget(user, &self.bell);
        self.journal.named.change(change);
    }

    /// Ends when users have come, and says who. Nothing is lost when it is dropped.
    pub async fn come(&self) -> BTreeSet<User> {
        loop {
            let come = std::mem::take(&mut *self.bell.come.lock());
            if !come.is_empty() {
                return come;
            }
            self.bell.rung.notified().await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.journal.named.change(|waited| {
            let is_own = |bell: &Arc<Bell>| Arc::ptr_eq(bell, &self.bell);
            let own = waited.users.iter();
            let own = own.filter(|(_, bells)| bells.iter().any(is_own));
            let users: Vec<_> = own.map(|(user, _)| user.clone()).collect();
            for user in users {
                waited.forget(&user, &self.bell);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use linkgate_filter::LinkInfo;

    use super::*;
    use crate::link::journal::Before;

    fn user(name: &str) -> User {
        ("chat".into(), name.into())
    }

    fn comes(journal: &Journal, identity: Identity) {
        let link = Arc::new(LinkInfo::new(1, identity));
        journal.came(&link, Before::default);
    }

    #[tokio::test]
    async fn who_waits_for_a_user_hears_once_that_they_have_come() {
        let journal = Arc::new(Journal::default());
        let (one, two) = (
            Watcher::new(Arc::clone(&journal)),
            Watcher::new(Arc::clone(&journal)),
        );
        comes(&journal, Identity::new("chat", "ann"));
        for watcher in [&one, &one, &two] {
            watcher.wait_for(&user("ann"));
        }
        one.wait_for(&user("bob"));
        assert!(one.come().now_or_never().is_none());
        comes(&journal, Identity::new("shop", "bob"));
        comes(&journal, Identity::new("chat", "ann"));
        comes(&journal, Identity::new("chat", "ann"));
        assert_eq!(one.come().await, BTreeSet::from([user("ann")]));
        assert_eq!(two.come().await, BTreeSet::from([user("ann")]));
        one.forget(&user("bob"));
        comes(&journal, Identity::new("chat", "bob"));
        assert!(one.come().now_or_never().is_none());
        two.wait_for(&user("ann"));
        drop(two);
        assert!(journal.named.waited.lock().users.is_empty());
        assert_eq!(journal.named.count.load(Ordering::Relaxed), 0);
    }
}
