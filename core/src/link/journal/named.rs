//! Users who are not here and are waited for: who waits for one is told when they come.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use linkgate_filter::Identity;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Journal, User, user};

/// Who is waited for, and by whom. Has no more users in it than [`Watcher`]s wait for.
#[derive(Default)]
pub(super) struct Named {
    waited: Mutex<HashMap<User, Vec<Arc<Bell>>>>,
    /// Users in the table. Mostly nobody is waited for, and a login looks no further.
    count: AtomicUsize,
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
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let user = user(identity);
        let bells = {
            let mut waited = self.waited.lock();
            let bells = waited.remove(&user);
            self.count.store(waited.len(), Ordering::Release);
            bells
        };
        for bell in bells.into_iter().flatten() {
            bell.come.lock().insert(user.clone());
            bell.rung.notify_one();
        }
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<User, Vec<Arc<Bell>>>)) {
        let mut waited = self.waited.lock();
        change(&mut waited);
        self.count.store(waited.len(), Ordering::Release);
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

    /// Waits for a user. One who has come just before is not told of: look for links after this.
    pub fn wait_for(&self, user: &User) {
        self.journal.named.change(|waited| {
            let bells = waited.entry(user.clone()).or_default();
            if !bells.iter().any(|bell| Arc::ptr_eq(bell, &self.bell)) {
                bells.push(Arc::clone(&self.bell));
            }
        });
    }

    /// Waits for them no more.
    pub fn forget(&self, user: &User) {
        self.journal.named.change(|waited| {
            if let Some(bells) = waited.get_mut(user) {
                bells.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
                if bells.is_empty() {
                    waited.remove(user);
                }
            }
        });
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
            waited.retain(|_, bells| {
                bells.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
                !bells.is_empty()
            });
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
        assert!(journal.named.waited.lock().is_empty());
        assert_eq!(journal.named.count.load(Ordering::Relaxed), 0);
    }
}
