//! What stands in for a reference where nothing is read: a value of the type that its place asks for. It follows from the
//! place and from the reference's text, never from what the reference stands for.

use std::collections::BTreeSet;

use linkgate_filter::problem::{Path, Problems, Segment};
use serde_json::Value as Schema;
use serde_yaml::Value;
use serde_yaml::value::TaggedValue;

use super::describe;
use super::tree::{Node, Tree, text_of};

/// How often something else is tried: more than there is to try for one reference.
pub(super) const MOST_TRIED: usize = 32;

/// Has references stood in for until `check` has nothing against them, or there is nothing left to try. Gives what it finds
/// in the end.
pub(super) fn settle(
    tree: &mut Tree,
    schema: &Schema,
    check: impl Fn(&Tree) -> Problems,
) -> Problems {
    let mut problems = check(tree);
    for _ in 0..MOST_TRIED {
        if !next(tree, schema, problems.iter().map(|problem| &problem.path)) {
            break;
        }
        problems = check(tree);
    }
    problems
}

/// Has the next value stand in for references at `wrong`, and in the same place of other items of lists; `false` if there
/// is no reference there, or no other value.
pub(super) fn next<'a>(
    tree: &mut Tree,
    schema: &Schema,
    wrong: impl Iterator<Item = &'a Path>,
) -> bool {
    let mut done = BTreeSet::new();
    for path in wrong {
        let Node::Leaf {
            value: Value::Tagged(reference),
            ..
        } = &tree.nearest(path).node
        else {
            continue;
        };
        let words = describe::words(schema, path);
        let at = position(reference, &words);
        let is_key = |segment: &&Segment| matches!(segment, Segment::Key(_));
        let keys: Vec<Segment> = path.segments().iter().filter(is_key).cloned().collect();
        if at.is_none_or(|at| at >= values(reference, &words).len()) || !done.insert(keys) {
            continue;
        }
        each_like(tree, path.segments(), &mut |like| {
            if position(like, &words) == at {
                let value = at.and_then(|at| values(like, &words).into_iter().nth(at));
                like.value = value.unwrap_or_default();
            }
        });
    }
    !done.is_empty()
}

/// How many values have been tried for a reference.
fn position(reference: &TaggedValue, words: &[&str]) -> Option<usize> {
    if reference.value.as_str() == Some(&text_of(reference)) {
        return Some(0);
    }
    let values = values(reference, words);
    let at = values.iter().position(|value| *value == reference.value);
    at.map(|at| at + 1)
}

/// The references at `path`, whichever items of lists they are in.
fn each_like(tree: &mut Tree, path: &[Segment], act: &mut impl FnMut(&mut TaggedValue)) {
    match (path.split_first(), &mut tree.node) {
        (
            None,
            Node::Leaf {
                value: Value::Tagged(reference),
                ..
            },
        ) => act(reference),
        (Some((Segment::Key(key), rest)), Node::Map(entries)) => {
            if let Some((_, below)) = entries.iter_mut().find(|(name, _)| name == key) {
                each_like(below, rest, act);
            }
        }
        (Some((Segment::Index(_), rest)), Node::List(items)) => {
            for item in items {
                each_like(item, rest, act);
            }
        }
        _ => {}
    }
}

/// What may stand in for a reference: the words of its place, then values that most types accept one of. Keys of ciphers
/// differ as their references do.
fn values(reference: &TaggedValue, words: &[&str]) -> Vec<Value> {
    let mut values: Vec<Value> = words.iter().map(|word| Value::from(*word)).collect();
    values.extend([1.into(), "1s".into(), "1/s".into(), true.into()]);
    values.extend(["127.0.0.1:1", "127.0.0.0/8", "http://localhost:1"].map(Value::from));
    values.extend([1 << 10, 1 << 20].map(|number: u64| Value::from(number)));
    let digit = |byte: &u8| format!("{byte:02x}");
    for bytes in [16, 24, 32] {
        let text = text_of(reference);
        let repeated = text.as_bytes().iter().rev().cycle().take(bytes);
        values.push(repeated.map(digit).collect::<String>().into());
    }
    values
}

#[cfg(test)]
mod tests;
