//! Who goes over next: businesses take turns, and the links of one go in the order in which they joined.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn<L, P> {
    /// A link goes over.
    Link(L),
    /// All links that were in line before have gone: nothing is on this any more.
    Over(P),
}

/// A line for each business. A link stands in it once.
pub(super) struct Line<L, P> {
    lines: HashMap<Arc<str>, VecDeque<Entry<L, P>>>,
    /// The businesses that have a line, the next one first.
    turns: VecDeque<Arc<str>>,
    joined: HashSet<u64>,
}

enum Entry<L, P> {
    Link(u64, L),
    Over(P),
}

impl<L, P> Default for Line<L, P> {
    fn default() -> Self {
        Self {
            lines: HashMap::new(),
            turns: VecDeque::new(),
            joined: HashSet::new(),
        }
    }
}

impl<L, P> Line<L, P> {
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Links that stand in line.
    pub(super) fn links(&self) -> usize {
        self.joined.len()
    }

    /// A link of the business stands in line from now on, if it does not already.
    pub(super) fn join(&mut self, biz_id: Arc<str>, id: u64, link: L) {
        if self.joined.insert(id) {
            self.add(biz_id, Entry::Link(id, link));
        }
    }

    /// Nothing of the business that joins from now on is on `gone`.
    pub(super) fn close(&mut self, biz_id: Arc<str>, gone: P) {
        self.add(biz_id, Entry::Over(gone));
    }

    fn add(&mut self, biz_id: Arc<str>, entry: Entry<L, P>) {
        let line = self.lines.entry(Arc::clone(&biz_id)).or_default();
        if line.is_empty() {
            self.turns.push_back(biz_id);
        }
        line.push_back(entry);
    }
}

impl<L, P> Iterator for Line<L, P> {
    type Item = Turn<L, P>;

    fn next(&mut self) -> Option<Turn<L, P>> {
        let biz_id = self.turns.pop_front()?;
        let line = self.lines.get_mut(&biz_id)?;
        let entry = line.pop_front()?;
        if line.is_empty() {
            self.lines.remove(&biz_id);
        } else {
            self.turns.push_back(biz_id);
        }
        Some(match entry {
            Entry::Link(id, link) => {
                self.joined.remove(&id);
                Turn::Link(link)
            }
            Entry::Over(gone) => Turn::Over(gone),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn businesses_take_turns_and_what_they_leave_ends_with_its_last_link() {
        let mut line = Line::<u64, &str>::default();
        for id in 0..3 {
            line.join("big".into(), id, id);
        }
        line.close("big".into(), "old");
        line.join("small".into(), 7, 7);
        line.close("small".into(), "small's old");
        // Another change: one link is in line still, and another has come.
        line.join("big".into(), 2, 2);
        line.join("big".into(), 4, 4);
        line.close("big".into(), "newer");
        let turns: Vec<_> = line.by_ref().collect();
        let expected = [
            Turn::Link(0),
            Turn::Link(7),
            Turn::Link(1),
            Turn::Over("small's old"),
            Turn::Link(2),
            Turn::Over("old"),
            Turn::Link(4),
            Turn::Over("newer"),
        ];
        assert_eq!(turns, expected);
        assert!(line.is_empty());
        line.join("big".into(), 2, 2);
        assert_eq!(line.next(), Some(Turn::Link(2)));
    }
}
