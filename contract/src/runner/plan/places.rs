//! Whether each filter of a pipeline stands where it can work, by what the filters say of themselves.

use std::collections::BTreeSet;

use super::{Entry, EntryProblem};
use crate::problem::{Path, Problem};
use crate::properties::{Fact, Properties};

/// Checks that each filter finds what it needs and that the pipeline has one end.
pub(super) fn check(entries: &[Entry], properties: &[Properties]) -> Vec<EntryProblem> {
    let mut problems = Vec::new();
    let mut facts = BTreeSet::from([Fact::CLEAR]);
    let mut joined_by = None;
    for (index, (entry, own)) in entries.iter().zip(properties).enumerate() {
        // Bodies are clear where no filter has yet to open them.
        if properties[index..]
            .iter()
            .any(|p| p.gives.contains(&Fact::CLEAR))
        {
            facts.remove(&Fact::CLEAR);
        }
        let name = &entry.uses;
        let mut report = |message: String, hint: String| {
            let mut problem = Problem::new("use", message);
            problem.hint(hint);
            problems.push(EntryProblem {
                entry: Some(index),
                problem,
            });
        };
        for need in own.needs.iter().filter(|need| !facts.contains(need)) {
            let giver = entries
                .iter()
                .zip(properties)
                .skip(index)
                .find(|(_, p)| p.gives.contains(need));
            let hint = match (giver, *need) {
                (Some((giver, _)), _) => format!("put `{}` before it", giver.id),
                (None, Fact::DECODED) => "put `codec` before it".to_owned(),
                (None, Fact::ANSWERED) => "put `ack_retry` before it".to_owned(),
                (None, _) => "add a filter that gives them before it".to_owned(),
            };
            report(format!("`{name}` needs {}", need.0), hint);
        }
        if let (true, Some(joiner)) = (own.needs_link, joined_by) {
            report(
                format!("`{name}` works for one link, but `{joiner}` before it joins links"),
                format!("put it before `{joiner}`"),
            );
        }
        if let (true, Some(joiner)) = (own.joins_links, joined_by) {
            report(
                format!("`{name}` joins links, but `{joiner}` before it has joined them"),
                "remove one of the two".to_owned(),
            );
        }
        let mut again = own.gives.iter().filter(|fact| facts.contains(fact));
        if let (Some(fact), false) = (again.next(), own.joins_links && joined_by.is_some()) {
            let mut before = entries[..index].iter().zip(properties).rev();
            let giver = before.find(|(_, p)| p.gives.contains(fact));
            let giver = giver.map_or("a filter", |(giver, _)| &giver.id);
            report(
                format!(
                    "`{}` gives {}, but `{giver}` before it gives them already",
                    entry.id, fact.0
                ),
                "remove one of the two".to_owned(),
            );
        }
        if own.terminal && index + 1 < entries.len() {
            report(
                format!("`{name}` ends a pipeline, but filters follow it"),
                "put it last".to_owned(),
            );
        }
        if !own.terminal && index + 1 == entries.len() {
            let hint =
                "end the pipeline with one that does, such as `grpc_upstream` or `echo`".to_owned();
            report(
                format!("the last filter, `{name}`, does not end the pipeline"),
                hint,
            );
        }
        if own.joins_links && joined_by.is_none() {
            joined_by = Some(&entry.id);
        }
        facts.extend(&own.gives);
        facts.retain(|fact| !own.takes.contains(fact));
    }
    if entries.is_empty() {
        let mut problem = Problem::new(Path::root(), "the pipeline has no filters");
        problem.hint("list at least one that ends it, such as `{ use: echo }`");
        problems.push(EntryProblem {
            entry: None,
            problem,
        });
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of filters named `a`, `b`, ... with these properties.
    fn said(properties: &[Properties]) -> Vec<String> {
        let entries: Vec<Entry> = ('a'..)
            .zip(properties)
            .map(|(name, _)| Entry {
                id: name.to_string(),
                uses: name.to_string(),
                config: serde_json::Value::Null,
            })
            .collect();
        check(&entries, properties)
            .into_iter()
            .map(|found| found.problem.to_string())
            .collect()
    }

    #[test]
    fn what_is_given_is_not_given_again() {
        let end = Properties::new().terminal();
        for fact in [Fact::DECODED, Fact::ANSWERED, Fact("stamped messages")] {
            let giver = Properties::new().gives(fact);
            assert_eq!(
                said(&[giver.clone(), giver.clone(), end.clone()]),
                [format!(
                    "use: `b` gives {}, but `a` before it gives them already (remove one of the two)",
                    fact.0
                )]
            );
            let taker = Properties::new().takes(fact);
            assert_eq!(said(&[giver.clone(), taker, giver, end.clone()]), [""; 0]);
        }
    }

    #[test]
    fn a_body_may_be_opened_twice() {
        let opener = Properties::new().gives(Fact::CLEAR);
        let end = Properties::new().terminal().needs(Fact::CLEAR);
        assert_eq!(said(&[opener.clone(), opener, end]), [""; 0]);
    }
}
