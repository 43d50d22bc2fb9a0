//! Users who are not here and are waited for: who waits for one is told when they come.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use linkgate_filter::Identity;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// A business and a user of it.
pub type User = (Arc<str>, Arc<str>);

/// Who is waited for, and by whom. Has no more users in it than [`Watcher`]s wait for.
#[derive(Default)]
pub struct Arrivals {
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

impl Arrivals {
    /// A link of this user is in the table now.
    pub(crate) fn came(&self, identity: &Identity) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let user = (Arc::clone(&identity.biz_id), Arc::clone(&identity.user_id));
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
}

/// Waits for users, for each until they come once.
pub struct Watcher {
    arrivals: Arc<Arrivals>,
    bell: Arc<Bell>,
}

impl Watcher {
    /// Waits for nobody yet.
    pub fn new(arrivals: Arc<Arrivals>) -> Self {
        Self {
            arrivals,
            bell: Arc::default(),
        }
    }

    /// Waits for a user. One who has come just before is not told of: look for links after this.
    pub fn wait_for(&self, user: &User) {
        let mut waited = self.arrivals.waited.lock();
        let bells = waited.entry(user.clone()).or_default();
        if !bells.iter().any(|bell| Arc::ptr_eq(bell, &self.bell)) {
            bells.push(Arc::clone(&self.bell));
        }
        self.arrivals.count.store(waited.len(), Ordering::Release);
    }

    /// Waits for them no more.
    pub fn forget(&self, user: &User) {
        let mut waited = self.arrivals.waited.lock();
        if let Some(bells) = waited.get_mut(user) {
            bells.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
            if bells.is_empty() {
                waited.remove(user);
            }
        }
        self.arrivals.count.store(waited.len(), Ordering::Release);
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
        let mut waited = self.arrivals.waited.lock();
        waited.retain(|_, bells| {
            bells.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
            !bells.is_empty()
        });
        self.arrivals.count.store(waited.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn user(name: &str) -> User {
        ("chat".into(), name.into())
    }

    #[tokio::test]
    async fn who_waits_for_a_user_hears_once_that_they_have_come() {
        let arrivals = Arc::new(Arrivals::default());
        let (one, two) = (
            Watcher::new(Arc::clone(&arrivals)),
            Watcher::new(Arc::clone(&arrivals)),
        );
        arrivals.came(&Identity::new("chat", "ann"));
        for watcher in [&one, &one, &two] {
            watcher.wait_for(&user("ann"));
        }
        one.wait_for(&user("bob"));
        assert!(one.come().now_or_never().is_none());
        arrivals.came(&Identity::new("shop", "bob"));
        arrivals.came(&Identity::new("chat", "ann"));
        arrivals.came(&Identity::new("chat", "ann"));
        assert_eq!(one.come().await, BTreeSet::from([user("ann")]));
        assert_eq!(two.come().await, BTreeSet::from([user("ann")]));
        one.forget(&user("bob"));
        arrivals.came(&Identity::new("chat", "bob"));
        assert!(one.come().now_or_never().is_none());
        two.wait_for(&user("ann"));
        drop(two);
        assert!(arrivals.waited.lock().is_empty());
        assert_eq!(arrivals.count.load(Ordering::Relaxed), 0);
    }
}
