//! What must hold at the end, of answers, order, receipts and pushes.

use std::collections::BTreeMap;

use linkgate_filter::{Outcome, Receipt};

use super::World;
use crate::shapes::Shape;

impl World {
    /// The answer is what the backend said, or what a filter refused; nothing is answered twice or dropped.
    pub(super) fn check_answers(&mut self) {
        let fates = std::mem::take(&mut self.fates);
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
    }

    /// First attempts of a link in the order sent, pushes in the order pushed.
    pub(super) fn check_order(&mut self) {
        // At the deadline of a change, what is in the old trunk may be overtaken.
        let timely = self.is_timely();
        for arrived in self.arrived.values() {
            assert!(!timely || arrived.is_sorted(), "out of order: {arrived:?}");
        }
        let sure = timely || !self.shapes.iter().any(Shape::keeps);
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
            match words[..] {
                [_, "tracked" | "settled", "", ..] => {}
                [id, "tracked", key] => stacks.entry(key).or_default().push(id),
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

    pub(super) fn check_pushes(&self) {
        // At the second deadline of a change, a push may be inside a future.
        let timely = self.is_timely();
        for (key, pushed) in &self.pushes {
            let outcome = pushed
                .outcome()
                .unwrap_or_else(|| panic!("{key} never settled"));
            let dropped =
                matches!(&outcome, Outcome::Unknown(fault) if fault.code == Receipt::DROPPED);
            assert!(!(timely && dropped), "{key} was dropped");
        }
    }
}
