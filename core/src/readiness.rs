//! Why a node that serves may be not ready all the same: reasons, each held by the part of the node that knows of it.
//!
//! What may not enter: what the reasons are about, and how they are shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// All reasons of a node. Clones share them.
#[derive(Clone, Default)]
pub struct Reasons(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    given: u64,
    reasons: BTreeMap<u64, State>,
}

struct State {
    is_required: bool,
    /// `None`: all is well.
    why: Option<String>,
}

/// What speaks against sending traffic to the node now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The node is not ready because of these.
    pub required: Vec<String>,
    /// These are worth knowing, and the node is ready.
    pub ignored: Vec<String>,
}

impl Reasons {
    /// A reason that does not hold yet. `is_required`: the node is not ready while it holds.
    pub fn reason(&self, is_required: bool) -> Reason {
        let mut table = self.0.lock();
        table.given += 1;
        let number = table.given;
        let state = State {
            is_required,
            why: None,
        };
        table.reasons.insert(number, state);
        Reason {
            reasons: self.clone(),
            number,
        }
    }

    /// Those that hold now, in the order in which they were made.
    pub fn held(&self) -> Held {
        let mut held = Held::default();
        for state in self.0.lock().reasons.values() {
            let Some(why) = &state.why else { continue };
            let list = match state.is_required {
                true => &mut held.required,
                false => &mut held.ignored,
            };
            list.push(why.clone());
        }
        held
    }
}

/// One reason, for the one who knows whether it holds. It ends when this is dropped.
pub struct Reason {
    reasons: Reasons,
    number: u64,
}

impl Reason {
    /// It holds: says what is wrong, in one line for the operator.
    pub fn holds(&self, why: impl Into<String>) {
        let why = why.into();
        self.change(|state| state.why = Some(why));
    }

    /// It does not hold any more.
    pub fn is_over(&self) {
        self.change(|state| state.why = None);
    }

    /// Whether the node is not ready while it holds.
    pub fn set_required(&self, is_required: bool) {
        self.change(|state| state.is_required = is_required);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.reasons.0.lock().reasons.get_mut(&self.number) {
            change(state);
        }
    }
}

impl Drop for Reason {
    fn drop(&mut self) {
        self.reasons.0.lock().reasons.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_holds_until_it_is_over_or_its_owner_is_gone() {
        let reasons = Reasons::default();
        let (one, other) = (reasons.reason(true), reasons.reason(false));
        assert_eq!(reasons.held(), Held::default());
        one.holds("no topic");
        other.holds("no store");
        let held = reasons.held();
        assert_eq!(
            (held.required, held.ignored),
            (vec!["no topic".into()], vec!["no store".into()])
        );
        other.set_required(true);
        one.is_over();
        assert_eq!(reasons.held().required, ["no store"]);
        drop(other);
        assert_eq!(reasons.held(), Held::default());
    }
}
