//! What must hold, at every step and at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use linkgate_filter::Receipt;

use super::World;
use crate::common::says;
use crate::shapes::Shape;

impl World {
    /// A chain that has a successor ends by its second deadline, whatever it waits for. (That there are never more than
    /// two is checked where they open.)
    pub(super) fn check_lives(&self) {
        let now = self.kit.host().clock.now();
        let lives = self.desk.lives();
        for (n, life) in lives.iter().enumerate() {
            let succeeded = lives[n + 1..].iter().any(|later| later.link == life.link);
            let closed = life.closed.filter(|_| succeeded && !life.dead);
            let overdue = closed.is_some_and(|at| now >= at + 2 * self.patience);
            assert!(!overdue, "a change-over of link {} never ends", life.link);
        }
    }

    /// Once the outside has answered, every link is where it was last told to go, and has nothing else.
    pub(super) async fn check_changed(&mut self) {
        // What keeps pushes without a successor keeps them for a minute; several changes may have stood in line.
        for _ in 0..4 {
            self.pass(Duration::from_secs(60)).await;
            self.finish_work().await;
            // What comes again is acknowledged again.
            self.got_all();
            self.finish_work().await;
        }
        let owed: BTreeSet<u64> = self
            .pushes
            .values()
            .filter(|(_, pushed)| pushed.outcome().is_none())
            .map(|(link, _)| *link)
            .collect();
        let lives = self.desk.lives();
        for client in self.all().filter(|client| client.open) {
            let id = client.id();
            if owed.contains(&id) {
                continue;
            }
            if let Some(wanted) = &client.wanted {
                let there = Arc::ptr_eq(client.link.chains().pipeline(), wanted);
                assert!(there, "a change of link {id} never began");
            }
            let alive = lives.iter().filter(|life| life.link == id && !life.dead);
            assert_eq!(alive.count(), 1, "a change-over of link {id} never ended");
        }
    }

    /// The answer is what the backend said, or what a filter refused; nothing is answered twice or dropped.
    pub(super) fn check_answers(&mut self) {
        let fates = self.desk.fates();
        for client in self.all() {
            for (key, answer) in &client.answers {
                assert!(client.sent.contains(key), "{key} was never sent");
                let twins = client
                    .answers
                    .iter()
                    .filter(|(other, _)| other == key)
                    .count();
                assert_eq!(twins, 1, "{key} has two answers");
                let fate = fates.get(key);
                match answer.as_str() {
                    "ack yes" => assert_eq!(fate, Some(&true), "{key}"),
                    "nack test.failed" => assert_eq!(fate, Some(&false), "{key}"),
                    "nack link.retired" => {}
                    "nack wait.refused" | "nack pick.bad" | "nack link.overloaded" => {
                        assert_eq!(fate, None, "{key}: {answer}");
                    }
                    other => panic!("{key}: {other}"),
                }
            }
        }
        let (timely, retired) = (self.is_timely(), self.retired());
        assert!(!timely || retired.is_empty(), "{retired:?} retired in time");
    }

    /// Messages that were not waited for.
    fn retired(&self) -> BTreeSet<String> {
        let words = self.log.iter().map(|line| line.split(' ').collect());
        words
            .filter_map(|words: Vec<&str>| match words[..] {
                ["ack", "settled", key, _, "link.retired"] => Some(key.to_owned()),
                _ => None,
            })
            .collect()
    }

    /// First attempts of a link in the order sent, pushes in the order pushed.
    pub(super) fn check_order(&mut self) {
        // What was not waited for may be overtaken.
        let retired = self.retired();
        for arrived in self.arrived.values() {
            let mut kept = arrived.iter().filter(|key| !retired.contains(*key));
            assert!(kept.by_ref().is_sorted(), "out of order: {arrived:?}");
        }
        // Pushes kept under two names, or now and then, are in two orders.
        let names: BTreeSet<_> = self.shapes.iter().map(Shape::keeps_as).collect();
        let sure = names.len() == 1 && (self.is_timely() || names.contains(&None));
        for client in self.all() {
            let mut first = client.first_seen();
            // What one pipeline refused and kept, the next may let through later.
            first.retain(|key| !key.contains("bad"));
            assert!(!sure || first.is_sorted(), "out of order: {first:?}");
        }
    }

    /// Each receipt settled once, and those of one message last to first.
    pub(super) fn check_receipts(&mut self) {
        let mut stacks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in &self.log {
            let words: Vec<_> = line.split(' ').collect();
            assert!(
                !line.contains("settled") || !line.contains(Receipt::DROPPED),
                "{line}"
            );
            match words[..] {
                [_, "tracked" | "settled", "", ..] => {}
                [id, "tracked", key] => stacks.entry(key).or_default().push(id),
                // Of a push there are copies, each with receipts of its own.
                [id, "settled", key, ..] if key.starts_with('p') => {
                    let stack = stacks.entry(key).or_default();
                    let at = stack.iter().rposition(|tracked| *tracked == id);
                    stack.remove(at.unwrap_or_else(|| panic!("{line}, though never tracked")));
                }
                [id, "settled", key, ..] => {
                    let top = stacks.get_mut(key).and_then(Vec::pop);
                    assert_eq!(top, Some(id), "{key} settled out of order");
                }
                _ => {}
            }
        }
        stacks.retain(|_, stack| !stack.is_empty());
        assert!(stacks.is_empty(), "never settled: {stacks:?}");
    }

    pub(super) fn check_pushes(&self, replaced: &BTreeSet<u64>) {
        for (key, (link, pushed)) in &self.pushes {
            let outcome = pushed.outcome();
            let outcome = outcome.unwrap_or_else(|| panic!("{key} never settled"));
            let says = says(&outcome);
            assert!(!says.contains(Receipt::DROPPED), "{key} was dropped");
            let own = self.is_timely() && !replaced.contains(link);
            let fenced = says.contains("fenced");
            assert!(!(own && fenced), "{key} came to a chain that was fenced");
        }
    }

    /// Pipelines that no link uses are gone, and their chains.
    pub(super) fn check_nothing_is_left(&mut self) {
        self.current.clear();
        let left = self.pipelines.iter().filter_map(Weak::upgrade);
        let others = left.filter(|left| !Arc::ptr_eq(left, self.kit.own()));
        assert_eq!(others.count(), 0, "pipelines that nobody uses");
        let lives = self.desk.lives();
        let alive = lives.into_iter().filter(|life| !life.dead);
        assert_eq!(alive.count(), 0, "chains without a link");
    }
}
