use linkgate_filter::problem::{Mark, Path};

use super::*;

/// What is read, and what is wrong.
fn read(text: &str) -> (Vec<Tree>, Vec<String>, Sources) {
    let mut sources = Sources::default();
    let file = sources.push("test.yaml", text);
    let mut diagnostics = Diagnostics::default();
    let trees = parse(&sources, file, &mut diagnostics);
    let problems = diagnostics
        .iter()
        .map(|problem| problem.message().to_owned())
        .collect();
    (trees, problems, sources)
}

fn problems(text: &str) -> Vec<String> {
    read(text).1
}

#[test]
fn values_are_those_of_serde_yaml_and_places_those_of_the_text() {
    let text = "a: [1, é, 'x y']\nb:\n  c: true # comment\n  d: |\n    two\n    lines\n";
    let (trees, problems, _) = read(text);
    assert!(problems.is_empty());
    assert_eq!(trees.len(), 1);
    let expected: serde_json::Value = serde_yaml::from_str(text).unwrap();
    assert_eq!(trees[0].value(), expected);
    let shown = |path: Path, mark| {
        let span = trees[0].locate(&path, mark);
        &text[span.start..span.end]
    };
    assert_eq!(shown(Path::from("a").then(1), Mark::Value), "é");
    assert_eq!(shown(Path::from("a").then(2), Mark::Value), "'x y'");
    assert_eq!(shown(Path::from(["b", "c"]), Mark::Value), "true");
    assert_eq!(shown(Path::from(["b", "c"]), Mark::Key), "c");
    assert_eq!(shown(Path::from(["b", "gone"]), Mark::Value), "b");
}

#[test]
fn documents_are_told_apart_and_empty_ones_left_out() {
    let (trees, problems, _) = read("# head\n---\na: 1\n---\n---\nb: 2\n");
    assert!(problems.is_empty());
    assert_eq!(trees.len(), 2);
    assert!(trees[1].get("b").is_some());
}

#[test]
fn aliases_repeat_a_value_where_they_stand() {
    let (trees, problems, _) = read("a: &x { k: 1 }\nb: *x\n");
    assert!(problems.is_empty());
    assert_eq!(
        trees[0].get("b").unwrap().value(),
        trees[0].get("a").unwrap().value()
    );
    assert_eq!(
        problems_of_loop(),
        ["this alias stands inside the value that it names"]
    );
}

fn problems_of_loop() -> Vec<String> {
    problems("a: &x [*x]\n")
}

#[test]
fn all_that_is_twice_or_merged_is_named() {
    assert_eq!(
        problems("a: 1\na: 2\nb: { c: 1, c: 2 }\n<<: 1\n"),
        [
            "the key `a` stands twice in this mapping",
            "the key `c` stands twice in this mapping",
            "YAML merges (`<<`) are not understood",
        ]
    );
}

#[test]
fn depth_and_size_are_bounded() {
    let nested = |depth: usize| format!("a: {}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(problems(&nested(60)).is_empty());
    assert!(problems(&nested(70))[0].contains("more than 64 deep"));
    // Far deeper than any stack: the first levels are enough to refuse it.
    let found = problems(&"[".repeat(500_000));
    assert!(found[0].contains("more than 64 deep"), "{found:?}");
    assert!(
        problems(&format!("a: [{}]", "1,".repeat(200_000)))[0].contains("more than 100000 values")
    );
}

#[test]
fn anchors_and_aliases_count_by_what_they_hold() {
    let too_much = |text: &str| {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("with this there are more than"),
            "{found:?}"
        );
    };
    // Each of the anchors holds all that is within.
    let nested: String = (0..60).map(|i| format!("&a{i} [")).collect();
    let values = "x,".repeat(40_000);
    too_much(&format!("a: {nested}{values}{}", "]".repeat(60)));
    // A long text, or a long key, over and over.
    let long = "x".repeat(200_000);
    let again = "*a,".repeat(10_000);
    too_much(&format!("a: &a {long}\nb: [{again}]"));
    too_much(&format!("a: &a {{ ? {long} : 1 }}\nb: [{again}]"));
    // Few values, over and over, each level ten times the one below.
    let mut levels = "l0: &l0 [x]\n".to_owned();
    for i in 1..12 {
        let below = format!("*l{},", i - 1).repeat(10);
        levels += &format!("l{i}: &l{i} [{below}]\n");
    }
    too_much(&levels);
    assert!(problems("a: &a [&b [1, 2], *b]\nc: [*a, *a, *b]\n").is_empty());
}

#[test]
fn unquoted_scalars_have_the_type_yaml_gives_them() {
    assert_eq!(plain_scalar("8080"), serde_yaml::Value::from(8080));
    assert_eq!(plain_scalar("true"), serde_yaml::Value::from(true));
    for text in ["web-1", "null", "- a", "a: b", "---", "[1]", ""] {
        assert_eq!(plain_scalar(text), serde_yaml::Value::from(text), "{text}");
    }
}

mod any_text {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_read_or_refused_without_a_panic(text in "[ \\t\\n:\\-\\[\\]{},&*!|>'\"#%@`a-c0-9<~$é]{0,80}") {
            let (trees, problems, sources) = read(&text);
            prop_assert!(!trees.is_empty() || !problems.is_empty());
            let mut diagnostics = Diagnostics::default();
            let file = sources.ids().next().unwrap();
            for tree in parse(&sources, file, &mut diagnostics) {
                let span = tree.span;
                prop_assert!(sources.get(file).text.get(span.start..span.end).is_some());
            }
            diagnostics.render(&sources, false);
        }
    }
}
