//! The filter of `docs/writing-a-filter.md`, as its reader builds it: in a crate of its own, with a program of its own.
//!
//! And the template, filled in as `cargo generate` does it. Only the paths to this checkout are put in, and what lets the build
//! use the dependencies that are here already.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "common/process.rs"]
mod process;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use linkgate_client::{Limits, Socket, Target};
use linkgate_proto::v1::{Command as Cmd, Message};
use process::Process;

/// Where the build goes: what the project has built of the dependencies is used again.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The files of the page, by their names: the code blocks whose first line says `file: NAME`.
fn files(page: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for block in page.split("\n```").skip(1).step_by(2) {
        let (_language, text) = block.split_once('\n').unwrap();
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        let name = ["# file: ", "// file: "]
            .iter()
            .find_map(|mark| first.strip_prefix(mark));
        if let Some(name) = name {
            files.push((name.to_owned(), format!("{rest}\n")));
        }
    }
    files
}

/// Writes the page's crate.
fn write(folder: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/writing-a-filter.md")).unwrap();
    let files = files(&page);
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "Cargo.toml",
            "src/word_filter.rs",
            "src/main.rs",
            "gateway.yaml"
        ]
    );
    fs::create_dir_all(folder.join("src")).unwrap();
    for (name, mut text) in files {
        if name == "Cargo.toml" {
            let here = format!("path = \"{}", root.display());
            text = text.replace("path = \"../linkgate", &here) + &settings(root);
        }
        fs::write(folder.join(name), text).unwrap();
    }
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
}

/// Fills in the template for the program `own-gateway` with the filter `short_only`.
fn generate(folder: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let template = root.join("templates/gateway");
    let fill = |text: &str| {
        let crates = [
            ("linkgate-filters = ", "/filters/all"),
            ("linkgate-filter = ", "/contract"),
            ("linkgate = ", ""),
        ];
        let from_git = "git = \"https://github.com/linkgate/linkgate\"";
        let here = |line: &str| {
            let found = crates.iter().find(|(start, _)| line.starts_with(start));
            let path = found.map_or("", |(_, path)| path);
            line.replace(from_git, &format!("path = \"{}{path}\"", root.display()))
        };
        let filled = text
            .replace("{{project-name}}", "own-gateway")
            .replace("{{filter}}", "short_only")
            .replace("{{filter | upper_camel_case}}", "ShortOnly");
        assert!(!filled.contains("{{"), "{filled}");
        filled
            .lines()
            .map(|line| here(line) + "\n")
            .collect::<String>()
    };
    fs::create_dir_all(folder.join("src")).unwrap();
    for place in ["", "src"] {
        for file in fs::read_dir(template.join(place)).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let Some(name) = name.strip_suffix(".liquid") else {
                continue;
            };
            let mut text = fill(&fs::read_to_string(&path).unwrap());
            if name == "Cargo.toml" {
                text += &settings(root);
            }
            fs::write(folder.join(place).join(fill(name).trim_end()), text).unwrap();
        }
    }
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
}

/// A workspace of its own, though it lies in this one's target folder, with this one's settings for builds.
fn settings(root: &Path) -> String {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let from = manifest.find("[profile.dev]").unwrap();
    let length = manifest[from..].find("[profile.release]").unwrap();
    format!("\n[workspace]\n\n{}", &manifest[from..from + length])
}

fn cargo(folder: &Path, args: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(args)
        .arg("--offline")
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target())
        .output()
        .unwrap();
    let said = text(&output);
    assert!(output.status.success(), "cargo {args:?}\n{said}");
    said
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs a command of the program: the exit code, and what is said.
fn run(program: &Path, folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program);
    let output = command.args(args).current_dir(folder).output().unwrap();
    (output.status.code(), text(&output))
}

#[tokio::test]
async fn the_filter_of_the_page_is_built_tested_checked_and_run() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("third_party");
    write(&folder);
    // The program with the test's features, so that nothing is built twice.
    cargo(&folder, &["build", "--all-targets"]);
    let tested = cargo(&folder, &["test"]);
    assert!(tested.contains("2 passed"), "{tested}");
    let program = target().join("debug/my-gateway");
    let (code, said) = run(&program, &folder, &["--version"]);
    let linkgate = linkgate::program!();
    let expected = format!("my-gateway 0.1.0 (linkgate {})\n", linkgate.version);
    assert_eq!((code, said), (Some(0), expected));

    let (code, said) = run(&program, &folder, &["validate", "gateway.yaml"]);
    assert_eq!(code, Some(0), "{said}");
    let gateway = fs::read_to_string(folder.join("gateway.yaml")).unwrap();
    fs::write(
        folder.join("misspelt.yaml"),
        gateway.replace("words:", "wrods:"),
    )
    .unwrap();
    let (code, said) = run(&program, &folder, &["validate", "misspelt.yaml"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("misspelt.yaml") && said.contains("did you mean `words`?"),
        "{said}"
    );

    let anywhere = gateway.replace("127.0.0.1:8080", "127.0.0.1:0");
    fs::write(folder.join("anywhere.yaml"), anywhere).unwrap();
    let mut process = Process::start(&program, &folder, &["run", "anywhere.yaml"]);
    let target = Target {
        url: format!("ws://{}/ws", process.address("accepting links").await),
        biz_id: Some("chat".into()),
        user_id: Some("ann".into()),
        ..Target::default()
    };
    let mut ann = Socket::connect(&target, Limits::default()).await.unwrap();
    let nack = ask(&mut ann, "1", "well, DARN it").await;
    assert_eq!((nack.cmd(), &*nack.key), (Cmd::UpstreamNack, "1"));
    assert_eq!(nack.fault.unwrap().code, "word_filter.forbidden");
    let ack = ask(&mut ann, "2", "well").await;
    assert_eq!((ack.cmd(), &*ack.key), (Cmd::UpstreamAck, "2"));
    process.terminate();
    let (code, log) = process.exit().await;
    assert_eq!(code, Some(0), "{log:#?}");
    assert!(log[0].contains("my-gateway runs"), "{log:#?}");
}

#[test]
fn the_template_is_built_tested_and_judged_by_its_cases() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("template");
    generate(&folder);
    cargo(&folder, &["build", "--all-targets"]);
    let tested = cargo(&folder, &["test"]);
    assert!(tested.contains("1 passed"), "{tested}");
    let program = target().join("debug/own-gateway");
    let (code, said) = run(&program, &folder, &["test", "gateway.test.yaml"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("2 cases passed") || said.contains("2 passed"),
        "{said}"
    );
}

async fn ask(socket: &mut Socket, key: &str, body: &'static str) -> Message {
    let message = Message {
        cmd: Cmd::UpstreamMessage.into(),
        key: key.into(),
        body: body.into(),
        fault: None,
    };
    socket.send(&message).await.unwrap();
    socket.next().await.unwrap().unwrap()
}
