//! The cases of the samples and of the docs: all are good, they reach what can be reached, and the docs show what is tested.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use std::fs;
use std::path::{Path, PathBuf};

use linkgate_conformance::cases::coverage::coverage;
use linkgate_conformance::cases::language::{self, CaseFile};
use linkgate_conformance::cases::suite;
use linkgate_conformance::cases::timeline;

/// The share of branches that the cases of a sample have to reach, in percent.
const LEAST: f64 = 90.0;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files in a folder whose names end so, sorted.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    files
}

fn configs(folder: &str) -> Vec<PathBuf> {
    let mut configs = files(folder, ".yaml");
    configs.retain(|path| !path.to_string_lossy().ends_with(".test.yaml"));
    configs
}

/// The case file beside a configuration.
fn cases_of(config: &Path) -> CaseFile {
    let path = config.with_extension("test.yaml");
    assert!(
        path.is_file(),
        "{} has no cases beside it",
        config.display()
    );
    language::read(&path).unwrap_or_else(|invalid| panic!("{}", invalid.render(false)))
}

/// Runs the cases beside the configurations, and asks for so much coverage.
fn all_good(configs: &[PathBuf], least: f64) {
    let files: Vec<_> = configs.iter().map(|config| cases_of(config)).collect();
    let ran = suite::run(&files, None, &linkgate_filters::all());
    let failed = ran.iter().filter_map(|ran| {
        let failure = ran.run.failure.as_ref()?;
        let case = &files[ran.file].cases[ran.case];
        let shown = timeline::render(case, &ran.run, failure);
        let path = files[ran.file].path.display();
        Some(format!(
            "{path}: {}\n{}\n{shown}",
            case.name, failure.message
        ))
    });
    let failed: Vec<_> = failed.collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    for coverage in coverage(&files, &ran) {
        let missed: Vec<_> = coverage.missed().collect();
        let config = &coverage.config;
        assert!(coverage.percent() >= least, "{config:?} misses {missed:?}");
        assert_eq!(coverage.wrong, Vec::<String>::new(), "{config:?}");
    }
}

#[test]
fn the_cases_of_every_sample_are_good_and_reach_its_branches() {
    all_good(&configs("examples/configs"), LEAST);
}

#[test]
fn the_cases_of_the_docs_are_good() {
    all_good(&configs("docs/snippets"), 0.0);
}

#[test]
fn every_snippet_of_the_docs_is_part_of_a_tested_file() {
    // Those of `examples/cluster` are validated.
    let folders = [
        "docs/snippets",
        "examples/configs",
        "examples/cluster",
        "tests/wrong_cases",
    ];
    let tested = folders.iter().flat_map(|folder| files(folder, ".yaml"));
    let tested: Vec<String> = tested
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let mut pages = files("docs", ".md");
    pages.push(root().join("README.md"));
    // What this page shows is built and run by a test of its own.
    pages.retain(|page| !page.ends_with("writing-a-filter.md"));
    let mut snippets = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for snippet in text.split("```yaml\n").skip(1) {
            let snippet = snippet.split("```").next().unwrap();
            let is_part = tested.iter().any(|text| text.contains(snippet));
            assert!(
                is_part,
                "{} shows what no test knows:\n{snippet}",
                page.display()
            );
            snippets += 1;
        }
    }
    assert!(snippets > 8, "{snippets}");
}

#[test]
fn the_schema_of_cases_is_up_to_date() {
    let path = root().join("docs/cases.schema.json");
    let schema = language::schema::schema();
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == schema,
        "docs/cases.schema.json is stale: BLESS=1 cargo test --test conformance writes it anew"
    );
}

/// What is said of a file of wrong cases: of the file, or of each case.
fn said(path: &Path) -> String {
    let file = match language::read(path) {
        Ok(file) => file,
        Err(invalid) => return invalid.render(false),
    };
    let files = [file];
    let ran = suite::run(&files, None, &linkgate_filters::all());
    let said = ran.iter().map(|ran| {
        let case = &files[0].cases[ran.case];
        let Some(failure) = &ran.run.failure else {
            panic!("{}: `{}` passes", path.display(), case.name);
        };
        let shown = timeline::render(case, &ran.run, failure);
        format!("{}\n{}\n\n{shown}", case.name, failure.message)
    });
    said.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_wrong_case_fails_and_says_why() {
    let folder = root().join("tests/wrong_cases");
    let mut differing = Vec::new();
    for path in files("tests/wrong_cases", ".test.yaml") {
        let said = said(&path).replace(&*folder.to_string_lossy(), "");
        let expected = path.with_extension("expected");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != said {
            differing.push(format!("{}:\n{said}", path.display()));
        }
    }
    assert!(
        differing.is_empty(),
        "BLESS=1 cargo test --test conformance writes them anew\n{}",
        differing.join("\n")
    );
}

#[test]
fn the_first_failure_is_shown_as_it_is() {
    let page = fs::read_to_string(root().join("docs/testing-pipelines.md")).unwrap();
    let shown = page
        .split("```text\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let expected =
        fs::read_to_string(root().join("tests/wrong_cases/first.test.expected")).unwrap();
    let lines = |text: &str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    // The page begins with the verdict, and has the place below the message.
    let mut shown = lines(shown);
    shown.retain(|line| !line.starts_with("at orders.test.yaml:"));
    assert_eq!(shown[1..], lines(&expected)[1..]);
}
