//! What a filter can see while it is prepared.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::backend::GrpcBackend;
use crate::edges::{Declared, EdgeName};
use crate::problem::{Problems, nearest};

/// While a filter is prepared: what else the configuration says.
pub struct Prepare<'a> {
    /// The business whose pipeline it is.
    pub biz_id: &'a str,
    /// The entry's `id`.
    pub id: &'a str,
    declared: &'a Declared,
    /// What was asked for: a change of it changes the filter.
    named: RefCell<BTreeSet<EdgeName>>,
}

impl<'a> Prepare<'a> {
    /// For the entry `id` of this business's pipeline. What is declared has been checked by whoever loaded it.
    pub fn new(biz_id: &'a str, id: &'a str, declared: &'a Declared) -> Self {
        Self {
            biz_id,
            id,
            declared,
            named: RefCell::default(),
        }
    }

    /// What the filter has asked for.
    pub(crate) fn named(self) -> BTreeSet<EdgeName> {
        self.named.into_inner()
    }

    fn name(&self, edge: fn(String) -> EdgeName, name: &str) {
        self.named.borrow_mut().insert(edge(name.to_owned()));
    }

    /// The backend of this name, which the config's `key` gives; notes a problem if there is none.
    pub fn backend(
        &self,
        key: &'static str,
        name: &str,
        problems: &mut Problems,
    ) -> Option<&'a GrpcBackend> {
        self.name(EdgeName::Backend, name);
        let backends = &self.declared.backends;
        let known = backends.keys().map(String::as_str);
        check_declared("backend", key, name, known, problems);
        backends.get(name).map(|backend| &backend.grpc)
    }

    /// Notes a problem if there is no store of this name, which the config's `key` gives.
    pub fn store(&self, key: &'static str, name: &str, problems: &mut Problems) {
        self.name(EdgeName::Store, name);
        let known = self.declared.stores.iter().map(String::as_str);
        check_declared("store", key, name, known, problems);
    }

    /// Notes a problem if there is no broker of this name, which the config's `key` gives.
    pub fn broker(&self, key: &'static str, name: &str, problems: &mut Problems) {
        self.name(EdgeName::Broker, name);
        let known = self.declared.brokers.iter().map(String::as_str);
        check_declared("broker", key, name, known, problems);
    }
}

fn check_declared<'a>(
    kind: &str,
    key: &'static str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    problems: &mut Problems,
) {
    if known.clone().any(|known| known == name) {
        return;
    }
    let hint = match nearest(name, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.clone().next().is_none() => format!("name it under `{kind}s:`"),
        None => format!("`{kind}s:` names {}", known.collect::<Vec<_>>().join(", ")),
    };
    problems
        .at(key, format!("there is no {kind} `{name}`"))
        .hint(hint);
}
