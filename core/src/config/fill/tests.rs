use std::fs;

use super::*;
use crate::config::parse::parse;
use crate::config::source::Sources;

/// The values of `text` with its references filled in, and what is wrong.
fn fill(text: &str, directory: &Path) -> (serde_json::Value, Vec<String>) {
    let mut sources = Sources::default();
    let file = sources.push("test.yaml", text);
    let mut diagnostics = Diagnostics::default();
    let mut trees = parse(&sources, file, &mut diagnostics);
    let variables = [
        ("WORD", "word"),
        ("PORT", "8080"),
        ("EMPTY", ""),
        ("YAML", "[1, 2]"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let filler = Filler {
        reach: Reach::Node,
        is_own: true,
        variables: &variables.into(),
        directory,
        named: &|_, _| (),
        given: &|_| None,
        kept: &|_| None,
        left: Cell::new(MOST_FILLED),
    };
    filler.fill(&mut trees[0], &mut diagnostics);
    let problems = diagnostics
        .iter()
        .map(|problem| problem.message().to_owned())
        .collect();
    (trees[0].value(), problems)
}

#[track_caller]
fn gives(text: &str, expected: &str) {
    let (value, problems) = fill(text, Path::new(""));
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(
        value,
        serde_yaml::from_str::<serde_json::Value>(expected).unwrap()
    );
}

#[test]
fn variables_are_filled_in_in_text_values_only() {
    gives("a: ${WORD}", "a: word");
    gives("a: 'x-${WORD}-${WORD}'", "a: x-word-word");
    gives(
        "a: [ '${WORD}', { b: \"${WORD}\" } ] # ${NOPE}",
        "a: [word, { b: word }]",
    );
    gives("a: '${NOPE:-some default}'", "a: some default");
    gives("a: '${EMPTY:-other}'", "a: other");
    gives("a: '${EMPTY}'", "a: ''");
    gives("a: '$${WORD} costs 5$ or $$'", "a: '${WORD} costs 5$ or $'");
}

#[test]
fn a_value_without_quotes_is_what_it_would_be_in_place() {
    gives("a: ${PORT}", "a: 8080");
    gives("a: '${PORT}'", "a: '8080'");
    gives("a: ${NOPE:-true}", "a: true");
    gives("a: ${YAML}", "a: '[1, 2]'");
}

#[test]
fn wrong_references_are_problems() {
    let problem = |text: &str| fill(text, Path::new("")).1.join("; ");
    assert_eq!(
        problem("a: ${WORT}"),
        "the environment variable `WORT` is not set"
    );
    assert_eq!(
        problem("a: '${WORD'"),
        "a reference begins with `${` but does not end"
    );
    assert_eq!(problem("a: '${1}'"), "`${1}` is not a reference");
    assert_eq!(problem("a: '${}'"), "`${}` is not a reference");
    assert_eq!(
        problem("a: '${file:nowhere}'"),
        "the file `nowhere` does not exist"
    );
}

#[test]
fn what_is_filled_in_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("large"), vec![b'x'; 1_000_000]).unwrap();
    let many = |count: usize| format!("a: [{}]", "'${file:large}',".repeat(count));
    assert!(fill(&many(8), folder.path()).1.is_empty());
    let (_, problems) = fill(&many(1000), folder.path());
    assert!(problems[0].contains("over 8 MiB"), "{problems:?}");
    assert_eq!(problems.len(), 1000 - 8);
}

#[test]
fn files_are_filled_in_as_text_without_their_last_line_break() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("key"), "8080\n").unwrap();
    fs::write(folder.path().join("binary"), [0xff]).unwrap();
    let (value, problems) = fill("a: ${file:key}\nb: 'x${file:key}'", folder.path());
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(
        value,
        serde_yaml::from_str::<serde_json::Value>("{ a: '8080', b: x8080 }").unwrap()
    );
    let (_, problems) = fill("a: ${file:binary}", folder.path());
    assert!(problems[0].ends_with("is not UTF-8 text"), "{problems:?}");
}

#[test]
fn names_are_no_references() {
    gives(
        "node: { id: '${WORD}', advertise: '${WORD}:1', location: '${WORD}', labels: ['${WORD}'] }",
        "node: { id: word, advertise: 'word:1', location: word, labels: [word] }",
    );
    gives(
        "pipelines: [{ biz_id: 'a$${b}' }]",
        "pipelines: [{ biz_id: 'a${b}' }]",
    );
    gives(
        "pipelines: [{ filters: [{ config: { keys: [{ id: '${WORD}' }] } }] }]",
        "pipelines: [{ filters: [{ config: { keys: [{ id: word }] } }] }]",
    );
    for text in [
        "listeners: [{ name: '${WORD}' }]",
        "listeners: [{ auth: { jwt: [{ biz_ids: ['${WORD}'] }] } }]",
        "pipelines: [{ biz_id: '${NOPE:-x}' }]",
        "pipelines: [{ listeners: [a, '${WORD}'] }]",
        "pipelines: [{ profile: '${WORD}' }]",
        "pipelines: [{ rollout: { version: '${WORD}' } }]",
        "pipelines: [{ filters: [{ id: '${WORD}' }] }]",
        "pipelines: [{ filters: [{ use: '${file:nowhere}' }] }]",
        "pipelines: [{ override: { out: { backend: '${WORD}' } } }]",
        "profiles: { a: [{ id: '${WORD}' }] }",
        "push: { sources: [{ kafka: { topic: '${WORD}' } }] }",
        "push: { reports: { kafka: { broker: '${WORD}' } } }",
    ] {
        let (_, problems) = fill(text, Path::new(""));
        assert_eq!(problems.len(), 1, "{text}");
        assert!(
            problems[0].ends_with("is a name, and cannot be a reference"),
            "{problems:?}"
        );
    }
}
