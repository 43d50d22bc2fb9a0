use super::*;
use crate::config::diagnostics::Diagnostics;
use crate::config::parse::parse;
use crate::config::source::Sources;

fn tree(name: &str, text: &str, sources: &mut Sources) -> Tree {
    let file = sources.push(name, text);
    parse(sources, file, &mut Diagnostics::default()).remove(0)
}

#[test]
fn mappings_are_merged_deeply_and_anything_else_is_replaced() {
    let mut sources = Sources::default();
    let base = tree(
        "base",
        "a: { b: 1, c: [1, 2], d: { e: 1 } }\nf: 1\n",
        &mut sources,
    );
    let over = tree("over", "a: { c: [3], d: 2, g: 3 }\n", &mut sources);
    let merged = base.clone().overlaid(&over);
    let expected: Json = serde_yaml::from_str("a: { b: 1, c: [3], d: 2, g: 3 }\nf: 1").unwrap();
    assert_eq!(merged.value(), expected);
}

#[test]
fn every_merged_value_keeps_the_place_it_came_from() {
    let mut sources = Sources::default();
    let base = tree("base", "a: { b: 1, c: 1 }", &mut sources);
    let over = tree("over", "a: { c: 2 }", &mut sources);
    let merged = base.clone().overlaid(&over);
    let file = |path: Path| merged.locate(&path, Mark::Value).file;
    assert_eq!(file(Path::from(["a", "b"])), base.span.file);
    assert_eq!(file(Path::from(["a", "c"])), over.span.file);
}
