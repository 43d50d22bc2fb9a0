//! `linkgate test --client` as an SDK's author runs it: a driver in a process of its own for each check.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::sleep;

use crate::common::wait::within;

const PROGRAM: &str = env!("CARGO_BIN_EXE_linkgate");

async fn judge(driver: &str, more: &[&str]) -> Output {
    let mut program = Command::new(PROGRAM);
    program
        .args(["test", "--client", "--run", driver])
        .args(more);
    let program = program.stdin(Stdio::null()).kill_on_drop(true);
    within("the kit", program.output()).await.unwrap()
}

#[tokio::test]
async fn linkgates_own_client_passes_as_a_driver_in_a_process() {
    let driver = format!("'{PROGRAM}' test --client --drive");
    let checks = "push,lost-ack,redirect,token-renewed,close-handshake,large-message";
    let ended = judge(&driver, &["--check", checks, "--format", "json"]).await;
    assert!(ended.status.success(), "{ended:?}");
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(
        (&report["passed"], &report["by"]["checklist"]),
        (&12.into(), &"1".into())
    );
    assert_eq!(report["suites"][0]["name"], "client, protobuf");
    // In the order of the checklist.
    assert_eq!(report["suites"][1]["results"][0]["name"], "large-message");
}

#[tokio::test]
async fn a_driver_that_does_nothing_fails_in_time_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let driver = format!("sleep 1000 & echo $! > '{}'; wait", file.display());
    let more = [
        "--check", "push", "--form", "json", "--start", "500ms", "--format", "tap",
    ];
    let ended = judge(&driver, &more).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(said.contains("\nnot ok 1 - client, json: push\n"), "{said}");
    assert!(
        said.contains("expected: the driver's first connection, within 500 ms"),
        "{said}"
    );
    let pid = fs::read_to_string(file).unwrap();
    let process = Path::new("/proc").join(pid.trim());
    let gone = async {
        while fs::read_to_string(process.join("status"))
            .is_ok_and(|status| !status.contains("Z (zombie)"))
        {
            sleep(Duration::from_millis(5)).await;
        }
    };
    within("an end of what the driver has started", gone).await;
}

#[tokio::test]
async fn a_wrong_command_line_is_told_from_a_client_that_fails() {
    let ended = judge("true", &["--check", "no-such"]).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("lost-ack"), "{said}");
    let mut program = Command::new(PROGRAM);
    let program = program
        .args(["test", "--client", "--drive"])
        .kill_on_drop(true);
    let ended = within("the driver", program.output()).await.unwrap();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
}
