//! What `linkgate validate` says, word for word.
//!
//! Every `*.yaml` and every folder in `tests/broken_configs` is a broken configuration; `NAME.expected` beside it is what
//! is printed for it. After a change that is meant, write the files anew with `BLESS=1 cargo test --test validate`, and
//! read the difference as somebody who sees linkgate for the first time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use linkgate_core::config::schema::schema;

/// Runs the program in `folder`, with an environment of its own.
fn validate(folder: &Path, paths: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_linkgate"))
        .arg("validate")
        .args(paths)
        .current_dir(folder)
        .env_clear()
        .env("HOSTNAME", "gateway-1")
        .env("TEST_WORD", "word")
        .env("TEST_SECRET", "hunter2-of-a-variable")
        .env("TEST_NUMBER", "4711.5")
        .output()
        .unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares with a file of the repository, or writes it where `BLESS` is set.
fn expect(path: &Path, actual: &str) -> Result<(), String> {
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if actual == expected {
        return Ok(());
    }
    Err(format!(
        "{} differs (BLESS=1 writes it anew)\n--- expected\n{expected}\n--- actual\n{actual}",
        path.display()
    ))
}

#[test]
fn broken_configs_are_explained() {
    let folder = root().join("tests/broken_configs");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".expected"))
        .collect();
    names.sort();
    assert!(names.len() >= 25, "only {} broken configs", names.len());
    let mut failures = Vec::new();
    for name in &names {
        let output = validate(&folder, &[name]);
        let said = String::from_utf8(output.stderr).unwrap();
        if output.status.code() != Some(1) || !output.stdout.is_empty() {
            failures.push(format!("{name}: exit {:?}\n{said}", output.status.code()));
            continue;
        }
        let expected = folder.join(format!("{}.expected", name.trim_end_matches(".yaml")));
        failures.extend(expect(&expected, &said).err());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn no_secret_from_a_file_is_shown() {
    let folder = root().join("tests/broken_configs/hidden_secret");
    let output = validate(&folder, &["config.yaml"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("(secret)"), "{said}");
    assert!(!said.contains("horse"), "{said}");
}

#[test]
fn no_secret_is_shown_wherever_it_was_written() {
    for entry in fs::read_dir(root().join("tests/broken_configs")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "expected")
        {
            let said = fs::read_to_string(&path).unwrap();
            for secret in ["hunter2", "4711"] {
                assert!(!said.contains(secret), "{}: {said}", path.display());
            }
        }
    }
}

#[test]
fn the_samples_of_a_cluster_are_good() {
    for sample in ["node.yaml", "several-machines.yaml"] {
        let output = validate(&root().join("examples/cluster"), &[sample]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
    }
}

#[test]
fn samples_are_good() {
    let folder = root().join("examples/configs");
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".yaml") || name.ends_with(".test.yaml") {
            continue;
        }
        let output = validate(&folder, &[&name]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{name}: {said}");
        assert!(output.stdout.starts_with(b"ok: "), "{name}");
        let text = fs::read_to_string(folder.join(&name)).unwrap();
        let modeline = "# yaml-language-server: $schema=../../docs/schema.json\n";
        assert!(
            text.starts_with(modeline),
            "{name} does not begin with {modeline}"
        );
    }
}

#[test]
fn what_autobahn_is_run_against_is_good() {
    let output = validate(&root().join("scripts/autobahn"), &["gateway.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[test]
fn what_broadcast_cannot_promise_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let text = "schema: 1
node: { id: one }
listeners: [{ name: public, address: 127.0.0.1:8080, auth: insecure_query }]
brokers: { main: { memory: {} } }
pipelines: [{ biz_id: chat, listeners: [public], filters: [{ use: codec }, { use: echo }] }]
push:
  sources:
    - kafka: { broker: main, topic: pushes, group: linkgate }
      routing: broadcast
";
    fs::write(folder.path().join("config.yaml"), text).unwrap();
    let output = validate(folder.path(), &["config.yaml"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(output.stdout.starts_with(b"ok: "));
    assert!(
        said.starts_with("warning: `routing: broadcast` may lose pushes across nodes")
            && said.contains("config.yaml:9:16")
            && said.contains("neither parked nor reported offline"),
        "{said}"
    );

    let nameless = text.replace("node: { id: one }\n", "");
    fs::write(folder.path().join("config.yaml"), nameless).unwrap();
    let output = validate(folder.path(), &["config.yaml"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("nodes without ids of their own"), "{said}");

    let text = text.replace("broadcast", "local");
    fs::write(folder.path().join("config.yaml"), text).unwrap();
    let output = validate(folder.path(), &["config.yaml"]);
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn where_several_nodes_may_read_a_topic_its_routing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let text = "schema: 1
config: { etcd: { endpoints: [\"127.0.0.1:2379\"], prefix: /linkgate } }
listeners: [{ name: public, address: 127.0.0.1:8080, auth: insecure_query }]
brokers: { main: { memory: {} } }
pipelines: [{ biz_id: chat, listeners: [public], filters: [{ use: codec }, { use: echo }] }]
push:
  sources:
    - kafka: { broker: main, topic: pushes, group: linkgate }
";
    let validated = |text: &str| {
        fs::write(folder.path().join("config.yaml"), text).unwrap();
        let output = validate(folder.path(), &["config.yaml"]);
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = validated(text);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("config.yaml:8:7") && said.contains("`routing: local` for a single node"),
        "{said}"
    );
    let local = format!("{text}      routing: local\n");
    assert_eq!(validated(&local), (Some(0), String::new()));
    let alone = text.replace("config:", "#");
    assert_eq!(validated(&alone), (Some(0), String::new()));
    let (code, said) = validated(&local.replace("local", "directory"));
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("config.yaml:9:16")
            && said.contains("there is no directory of users")
            && said.contains("`routing: broadcast`"),
        "{said}"
    );
}

#[test]
fn usage_errors_are_told_from_problems() {
    assert_eq!(validate(&root(), &[]).status.code(), Some(2));
    assert_eq!(validate(&root(), &["--colour"]).status.code(), Some(2));
    let output = validate(&root(), &["nowhere.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("there is no such file or directory"),
        "{said}"
    );
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("large.yaml"),
        "# padding\n".repeat(120_000),
    )
    .unwrap();
    let output = validate(folder.path(), &["large.yaml"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("larger than 1024 KiB"), "{said}");
}

#[test]
fn endless_problems_are_cut_short() {
    let folder = tempfile::tempdir().unwrap();
    let pipelines: String = (0..120)
        .map(|i| format!("  - {{ biz_id: b{i}, listeners: [nowhere], filters: [] }}\n"))
        .collect();
    fs::write(
        folder.path().join("many.yaml"),
        format!("schema: 1\npipelines:\n{pipelines}"),
    )
    .unwrap();
    let output = validate(folder.path(), &["many.yaml"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("error: ").count(), 100, "{said}");
    assert!(
        said.ends_with("(only the first 100 are shown)\n240 problems in 1 file\n"),
        "{said}"
    );
}

/// Every `$ref` in `value`.
fn references(value: &serde_json::Value) -> Vec<&str> {
    match value {
        serde_json::Value::Object(object) => {
            let own = object.get("$ref").and_then(serde_json::Value::as_str);
            own.into_iter()
                .chain(object.values().flat_map(references))
                .collect()
        }
        serde_json::Value::Array(list) => list.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_schema_knows_the_configs_of_filters() {
    let schema: serde_json::Value =
        serde_json::from_str(&schema(&linkgate_filters::all())).unwrap();
    for reference in references(&schema) {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(schema.pointer(pointer).is_some(), "nothing at {reference}");
    }
    let rate = &schema["$defs"]["filter.rate_limit"]["properties"]["rate"]["$ref"];
    assert_eq!(rate, "#/$defs/filter.rate_limit.Rate");
    let pattern = &schema["$defs"]["filter.rate_limit.Rate"]["pattern"];
    assert!(pattern.as_str().unwrap().ends_with(r"|\$\{"), "{pattern}");
}

#[test]
fn the_schema_is_up_to_date() {
    let result = expect(
        &root().join("docs/schema.json"),
        &schema(&linkgate_filters::all()),
    );
    assert!(
        result.is_ok(),
        "docs/schema.json is stale: BLESS=1 cargo test --test validate writes it anew"
    );
}

#[test]
fn a_pipeline_has_the_profiles_filters_with_its_own_overrides() {
    let path = root().join("examples/configs/chat.yaml");
    let config = linkgate_core::config::load(&[path], &linkgate_filters::all()).unwrap();
    assert_eq!(config.documents, 3);
    let pipeline = &config.pipelines[0];
    let ids: Vec<&str> = pipeline
        .standard
        .entries
        .iter()
        .map(|entry| entry.id.as_str())
        .collect();
    assert_eq!(ids, ["codec", "limit", "ack", "out"]);
    let limit = serde_json::json!({ "per": "link", "rate": "20/s", "burst": 100 });
    assert_eq!(pipeline.standard.entries[1].config, limit);
    assert_eq!(pipeline.limits.links, 20_000);
}
