//! What is defined by name, each once among all documents. Names count even where what they name is wrong, so that a
//! wrong backend does not make every filter that uses it wrong too.

use std::collections::BTreeMap;

use linkgate_filter::problem::nearest;

use super::key_of;
use crate::config::diagnostics::{Diagnostic, Diagnostics};
use crate::config::source::Span;
use crate::config::tree::Tree;

/// Named parts of all documents.
pub(super) struct Names<'a> {
    pub(super) listeners: BTreeMap<&'a str, &'a Tree>,
    pub(super) backends: BTreeMap<&'a str, &'a Tree>,
    pub(super) stores: BTreeMap<&'a str, &'a Tree>,
    pub(super) brokers: BTreeMap<&'a str, &'a Tree>,
    pub(super) profiles: BTreeMap<&'a str, &'a Tree>,
}

impl<'a> Names<'a> {
    pub(super) fn collect(documents: &'a [Tree], diagnostics: &mut Diagnostics) -> Self {
        let mut names = Self {
            listeners: BTreeMap::new(),
            backends: BTreeMap::new(),
            stores: BTreeMap::new(),
            brokers: BTreeMap::new(),
            profiles: BTreeMap::new(),
        };
        for document in documents {
            for listener in document.get("listeners").into_iter().flat_map(Tree::items) {
                if let Some((name, tree)) = listener
                    .get("name")
                    .and_then(|name| Some((name.text()?, name)))
                {
                    define(
                        "listener",
                        name,
                        tree,
                        tree.span,
                        &mut names.listeners,
                        diagnostics,
                    );
                }
            }
            for (key, kind, known) in [
                ("backends", "backend", &mut names.backends),
                ("stores", "store", &mut names.stores),
                ("brokers", "broker", &mut names.brokers),
                ("profiles", "profile", &mut names.profiles),
            ] {
                for (name, tree) in document.get(key).into_iter().flat_map(Tree::entries) {
                    define(kind, name, tree, key_of(tree), known, diagnostics);
                }
            }
        }
        names
    }
}

fn define<'a>(
    kind: &str,
    name: &'a str,
    tree: &'a Tree,
    span: Span,
    known: &mut BTreeMap<&'a str, &'a Tree>,
    diagnostics: &mut Diagnostics,
) {
    if let Some(first) = known.get(name) {
        let first = if kind == "listener" {
            first.span
        } else {
            key_of(first)
        };
        let problem = Diagnostic::at(span, format!("there are two {kind}s called `{name}`"))
            .also(first, format!("`{name}` is defined here already"));
        diagnostics.push(problem.hint("give one of them another name"));
        return;
    }
    known.insert(name, tree);
}

/// A name that nothing is defined by.
pub(super) fn undefined<'a>(
    kind: &str,
    name: &str,
    span: Span,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Diagnostic {
    let problem = Diagnostic::at(span, format!("there is no {kind} `{name}`"));
    if let Some(near) = nearest(name, known.clone()) {
        return problem.hint(format!("did you mean `{near}`?"));
    }
    let all: Vec<String> = known.map(|name| format!("`{name}`")).collect();
    match all.as_slice() {
        [] => problem.hint(format!(
            "no {kind} is defined in what was read: name the files that define them too"
        )),
        all => problem.hint(format!("defined here: {}", all.join(", "))),
    }
}
