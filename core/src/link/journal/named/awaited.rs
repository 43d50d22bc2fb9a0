//! Who is waited for, for whoever looks at other nodes: the difference to what it was told before.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use tokio::sync::Notify;

use super::super::{Journal, User};

/// What somebody was told of who is waited for. Has no more users than are waited for, or were told of.
pub(super) struct Told {
    told: HashSet<User>,
    /// Of whom something else is so than was told.
    changed: BTreeSet<User>,
    bell: Arc<Notify>,
}

impl Told {
    /// It is so now that the user is waited for, or is not.
    pub(super) fn note(&mut self, user: &User, is_waited: bool) {
        if self.told.contains(user) == is_waited {
            self.changed.remove(user);
        } else if self.changed.insert(user.clone()) && self.changed.len() == 1 {
            self.bell.notify_one();
        }
    }

    fn take(&mut self, most: usize) -> Vec<(User, bool)> {
        let mut changes = Vec::new();
        while changes.len() < most
            && let Some(user) = self.changed.pop_first()
        {
            let is_waited = !self.told.remove(&user);
            if is_waited {
                self.told.insert(user.clone());
            }
            changes.push((user, is_waited));
        }
        changes
    }
}

/// Reads who is waited for.
pub struct Awaited {
    journal: Arc<Journal>,
    bell: Arc<Notify>,
}

impl Journal {
    /// Reads who is waited for from now on: first who is now. There is one reader: another one takes its place.
    pub fn awaited(self: &Arc<Self>) -> Awaited {
        let bell = Arc::new(Notify::new());
        self.named.change(|waited| {
            waited.told = Some(Told {
                told: HashSet::new(),
                changed: waited.users.keys().cloned().collect(),
                bell: Arc::clone(&bell),
            });
        });
        Awaited {
            journal: Arc::clone(self),
            bell,
        }
    }
}

impl Awaited {
    /// The next users who are waited for now and were not, or the other way round; at most so many and at least one, as soon
    /// as there is one. Who has come is waited for no more, unless somebody says so again. Nothing is lost when it is dropped.
    pub async fn changes(&self, most: usize) -> Vec<(User, bool)> {
        loop {
            let told =
                |told: &mut Told| Arc::ptr_eq(&told.bell, &self.bell).then(|| told.take(most));
            let changes = self
                .journal
                .named
                .change(|waited| waited.told.as_mut().and_then(told));
            if let Some(changes) = changes.filter(|changes| !changes.is_empty()) {
                return changes;
            }
            self.bell.notified().await;
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.journal.named.change(|waited| {
            let is_own = |told: &mut Told| Arc::ptr_eq(&told.bell, &self.bell);
            waited.told.take_if(is_own);
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::link::Watcher;

    fn user(name: &str) -> User {
        ("chat".into(), name.into())
    }

    fn told(awaited: &Awaited) -> Vec<(String, bool)> {
        let changes = awaited.changes(10).now_or_never().unwrap_or_default();
        let name = |((_, name), is_waited): (User, bool)| (name.to_string(), is_waited);
        changes.into_iter().map(name).collect()
    }

    fn is(name: &str, is_waited: bool) -> Vec<(String, bool)> {
        vec![(name.to_owned(), is_waited)]
    }

    #[tokio::test]
    async fn the_difference_is_told_of_who_is_waited_for() {
        let journal = Arc::new(Journal::default());
        let watchers = [(); 2].map(|()| Watcher::new(Arc::clone(&journal)));
        watchers[0].wait_for(&user("ann"));
        let awaited = journal.awaited();
        assert_eq!(told(&awaited), is("ann", true));
        watchers[1].wait_for(&user("ann"));
        watchers[0].forget(&user("ann"));
        watchers[0].wait_for(&user("bob"));
        watchers[0].forget(&user("bob"));
        assert!(told(&awaited).is_empty(), "somebody still waits for ann");
        assert!(awaited.changes(10).now_or_never().is_none());

        journal.comes(&user("ann"));
        assert_eq!(watchers[1].come().await, [user("ann")].into());
        assert!(watchers[0].come().now_or_never().is_none());
        watchers[1].wait_for(&user("ann"));
        assert!(told(&awaited).is_empty(), "she is waited for again");
        journal.comes(&user("ann"));
        assert_eq!(told(&awaited), is("ann", false));

        watchers[0].wait_for(&user("cid"));
        assert_eq!(told(&awaited), is("cid", true));
        drop(watchers);
        assert_eq!(told(&awaited), is("cid", false));
    }

    #[tokio::test]
    async fn whoever_reads_later_takes_the_place_of_the_first() {
        let journal = Arc::new(Journal::default());
        let watcher = Watcher::new(Arc::clone(&journal));
        let (one, two) = (journal.awaited(), journal.awaited());
        watcher.wait_for(&user("ann"));
        assert!(told(&one).is_empty());
        drop(one);
        assert_eq!(told(&two), is("ann", true));
        drop(two);
        assert!(journal.named.waited.lock().told.is_none());
    }

    #[tokio::test]
    async fn so_many_are_told_at_once() {
        let journal = Arc::new(Journal::default());
        let watcher = Watcher::new(Arc::clone(&journal));
        let awaited = journal.awaited();
        for name in ["ann", "bob", "cid"] {
            watcher.wait_for(&user(name));
        }
        assert_eq!(awaited.changes(2).await.len(), 2);
        assert_eq!(told(&awaited), is("cid", true));
    }
}
