//! What one reader has not read yet.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use linkgate_filter::LinkInfo;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Before, Change, User, user};

/// How far a reader is behind.
#[derive(Clone, Default)]
pub struct Backlog {
    /// Users of whom there is something to read.
    pub users: Gauge,
    /// Links that came and went before the reader looked.
    pub unseen: Counter,
}

/// A link in the table, and whether it has been replaced.
pub(crate) type Found = (Arc<LinkInfo>, bool);

/// What one reader has not read yet: the difference to what it was told, for each user that has one.
pub(super) struct Unread {
    state: Mutex<State>,
    /// There is something to read, or the reader is closed.
    rung: Notify,
    backlog: Backlog,
}

#[derive(Default)]
struct State {
    /// The users of whom there is something to tell, in the order in which that began.
    dirty: BTreeMap<u64, Dirty>,
    turns: HashMap<User, u64>,
    next_turn: u64,
    /// Something may have been told. Until then no link can go that was.
    has_told: bool,
    is_closed: bool,
}

/// A user of whom there is something to tell. Has a link that came or went.
struct Dirty {
    user: User,
    /// Links that the user had before, of those that were told.
    links: usize,
    /// In the order in which it happened. No link comes and goes in it.
    news: Vec<News>,
}

enum News {
    Came(Arc<LinkInfo>, Instant),
    /// A link was replaced: it counts no more, though it has not gone.
    Replaced(u64),
    /// A link that was told has gone; whether it counted until then.
    Went(Arc<LinkInfo>, bool, Instant),
}

impl News {
    fn link(&self) -> u64 {
        match self {
            Self::Came(link, _) | Self::Went(link, ..) => link.id,
            Self::Replaced(id) => *id,
        }
    }

    fn is_told(&self) -> bool {
        !matches!(self, Self::Replaced(_))
    }
}

impl Unread {
    pub(super) fn new(backlog: Backlog) -> Self {
        Self {
            state: Mutex::default(),
            rung: Notify::new(),
            backlog,
        }
    }

    pub(super) fn came(&self, link: &Arc<LinkInfo>, before: &Before, at: Instant) {
        let mut state = self.state.lock();
        let dirty = self.dirty(&mut state, user(&link.identity), before.links);
        let replaced = before.replaced.iter().copied();
        dirty.news.extend(replaced.map(News::Replaced));
        dirty.news.push(News::Came(Arc::clone(link), at));
    }

    pub(super) fn went(&self, link: &Arc<LinkInfo>, counted: bool, before: usize, at: Instant) {
        let mut state = self.state.lock();
        let user = user(&link.identity);
        let is_unseen = state.has_come(&user, link.id);
        if is_unseen {
            self.backlog.unseen.inc();
        }
        if is_unseen || !state.has_told {
            return self.forget(&mut state, &user, link.id);
        }
        let dirty = self.dirty(&mut state, user, before);
        dirty.news.push(News::Went(Arc::clone(link), counted, at));
    }

    /// What there is to tell of this user is that these links have come.
    pub(super) fn finds(&self, user: &User, links: impl Iterator<Item = Found>, at: Instant) {
        let mut news = Vec::new();
        for (link, is_replaced) in links {
            let id = link.id;
            news.push(News::Came(link, at));
            if is_replaced {
                news.push(News::Replaced(id));
            }
        }
        let mut state = self.state.lock();
        if news.is_empty() {
            return self.end(&mut state, user);
        }
        let dirty = self.dirty(&mut state, user.clone(), 0);
        (dirty.links, dirty.news) = (0, news);
    }

    /// Nothing is lost when this is dropped.
    pub(super) async fn take(&self, most: usize) -> Option<Vec<Change>> {
        loop {
            {
                let mut state = self.state.lock();
                let told = self.tell(&mut state, most);
                if !told.is_empty() {
                    return Some(told);
                }
                if state.is_closed && state.dirty.is_empty() {
                    return None;
                }
            }
            self.rung.notified().await;
        }
    }

    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.rung.notify_one();
    }

    /// What there is to tell of a user, who had so many links if that was nothing until now.
    fn dirty<'a>(&self, state: &'a mut State, user: User, links: usize) -> &'a mut Dirty {
        if state.dirty.is_empty() {
            self.rung.notify_one();
        }
        let next = state.next_turn;
        let turn = *state.turns.entry(user.clone()).or_insert(next);
        state.dirty.entry(turn).or_insert_with(|| {
            self.backlog.users.inc();
            state.next_turn += 1;
            Dirty {
                user,
                links,
                news: Vec::new(),
            }
        })
    }

    /// Nothing is told of this link.
    fn forget(&self, state: &mut State, user: &User, id: u64) {
        let Some(dirty) = state.find(user) else {
            return;
        };
        dirty.news.retain(|news| news.link() != id);
        if !dirty.news.iter().any(News::is_told) {
            self.end(state, user);
        }
    }

    /// Takes the first changes out.
    fn tell(&self, state: &mut State, most: usize) -> Vec<Change> {
        let mut told = Vec::new();
        while told.len() < most
            && let Some((_, dirty)) = state.dirty.iter_mut().next()
        {
            dirty.tell(most, &mut told);
            if !dirty.news.iter().any(News::is_told) {
                let user = dirty.user.clone();
                self.end(state, &user);
            }
        }
        state.has_told |= !told.is_empty();
        told
    }

    /// There is nothing to tell of this user.
    fn end(&self, state: &mut State, user: &User) {
        /// Room for so many users is kept.
        const ROOM: usize = 64;
        if let Some(turn) = state.turns.remove(user) {
            state.dirty.remove(&turn);
            self.backlog.users.dec();
        }
        if state.turns.is_empty() {
            state.turns.shrink_to(ROOM);
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let left = self.state.get_mut().dirty.len();
        self.backlog.users.dec_by(left as i64);
    }
}

impl State {
    fn find(&mut self, user: &User) -> Option<&mut Dirty> {
        self.dirty.get_mut(self.turns.get(user)?)
    }

    /// Whether this link has come and was not told.
    fn has_come(&mut self, user: &User, id: u64) -> bool {
        let is_it = |news: &News| matches!(news, News::Came(link, _) if link.id == id);
        self.find(user)
            .is_some_and(|dirty| dirty.news.iter().any(is_it))
    }
}

impl Dirty {
    /// Moves news to `told`, until that has `most`.
    fn tell(&mut self, most: usize, told: &mut Vec<Change>) {
        let mut taken = 0;
        while told.len() < most
            && let Some(news) = self.news.get(taken)
        {
            taken += 1;
            let (link, is_online, at) = match news {
                News::Replaced(_) => {
                    self.links = self.links.saturating_sub(1);
                    continue;
                }
                News::Came(link, at) => {
                    self.links += 1;
                    (link, true, at)
                }
                News::Went(link, counted, at) => {
                    self.links = self.links.saturating_sub(usize::from(*counted));
                    (link, false, at)
                }
            };
            told.push(Change {
                link: Arc::clone(link),
                is_online,
                links: self.links,
                at: *at,
            });
        }
        self.news.drain(..taken);
    }
}
