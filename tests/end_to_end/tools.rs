//! The tools of the command line against a running node, each as the program that an operator starts.

use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::process::Command;

use crate::common::gateway::Setup;
use crate::common::tls::Authority;
use crate::common::wait::within;

/// Runs the program to its end.
async fn linkgate(args: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_linkgate"));
    let program = program.args(args).stdin(Stdio::null()).kill_on_drop(true);
    within(args[0], program.output()).await.unwrap()
}

/// The report of a `linkgate bench` that has to succeed.
async fn bench(args: &[&str]) -> Value {
    let ended = linkgate(&[&["bench", "--json", "--warmup", "0s"], args].concat()).await;
    assert!(ended.status.success(), "{ended:?}");
    serde_json::from_slice(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

const TOKEN: &str = "auth: [{ token: let-the-bench-in, biz_ids: [chat] }]";

#[tokio::test]
async fn bench_pushes_and_acknowledges() {
    const MESSAGES: u64 = 200;
    let setup = Setup {
        push: TOKEN,
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let (clients, pushes) = (
        gateway.address().to_string(),
        gateway.push_address().to_string(),
    );
    let load = [
        &[&*clients, "--biz", "chat", "--mode", "push"][..],
        &["--push-to", &pushes, "--push-token", "let-the-bench-in"],
        &["--links", "5", "--messages", "200"],
    ]
    .concat();
    for more in [
        &["--depth", "4"][..],
        &["--form", "json", "--rate", "1000/s"],
    ] {
        let report = bench(&[&load, more].concat()).await;
        assert_eq!(report["links"], 5, "{report}");
        assert_eq!(report["messages"], MESSAGES, "{report}");
        assert_eq!(report["latency"]["count"], MESSAGES, "{report}");
        assert_eq!(report["outcome_latency"]["count"], MESSAGES, "{report}");
        assert_eq!(report["errors"], serde_json::json!({}), "{report}");
    }
    let metrics = gateway.metrics().await;
    assert_eq!(
        metrics.sum("linkgate_pushes_total", &[("status", "delivered")]),
        2 * MESSAGES
    );
}

#[tokio::test]
async fn bench_says_that_it_may_not_push() {
    let setup = Setup {
        push: TOKEN,
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let (clients, pushes) = (
        gateway.address().to_string(),
        gateway.push_address().to_string(),
    );
    let load = [
        &["bench", &*clients, "--biz", "chat", "--mode", "push"][..],
        &["--push-to", &pushes, "--push-token", "wrong"],
        &["--links", "2", "--warmup", "60s"],
    ]
    .concat();
    let ended = linkgate(&load).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(told.contains("the token is not known"), "{told}");
}

#[tokio::test]
async fn the_client_and_the_bench_trust_the_authority_they_are_given() {
    let authority = Authority::new();
    let setup = Setup {
        listener: &authority.listener(),
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let (url, ca) = (format!("wss://{}", gateway.address()), authority.ca());
    let ca = ca.to_str().unwrap();

    let report = bench(&[&url, "--biz", "chat", "--ca", ca, "--messages", "50"]).await;
    assert_eq!(
        (&report["links"], &report["messages"]),
        (&100.into(), &50.into())
    );
    let talk = ["client", &url, "--biz", "chat", "--user", "ann"];
    let send = ["--send", "no {i}", "--count", "2", "--exit-when-answered"];
    let ended = linkgate(&[&talk[..], &send, &["--ca", ca]].concat()).await;
    assert!(ended.status.success(), "{ended:?}");
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(
        said.contains(": no 1\n") && said.contains(": no 2\n"),
        "{said}"
    );
}

#[tokio::test]
async fn a_gateway_that_is_not_trusted_or_not_behind_tls_is_not_tried_again() {
    let (authority, other) = (Authority::new(), Authority::new());
    let setup = Setup {
        listener: &authority.listener(),
        ..Setup::default()
    };
    let (secure, plain) = (setup.start().await, Setup::default().start().await);
    let other = other.ca();
    let ca = ["--ca", other.to_str().unwrap()];
    for (url, reason) in [
        (format!("wss://{}", secure.address()), "certificate"),
        (format!("wss://{}", plain.address()), "is it ws://"),
        (format!("ws://{}", secure.address()), "is it wss://"),
    ] {
        let talk = ["client", &url, "--biz", "chat", "--user", "ann"];
        let ended = linkgate(&[&talk[..], &["--send", "hi"], &ca].concat()).await;
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let said = String::from_utf8(ended.stdout).unwrap();
        assert!(said.contains(reason) && !said.contains("again"), "{said}");
    }
}

#[tokio::test]
async fn bench_takes_its_source_addresses_in_turn() {
    let setup = Setup {
        listener: "admission: { per_ip: 2 }",
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let address = gateway.address().to_string();
    let load = [
        &*address,
        "--biz",
        "chat",
        "--links",
        "6",
        "--messages",
        "60",
    ];
    let sources = ["--source-addresses", "127.0.0.2,127.0.0.3,127.0.0.4"];
    let report = bench(&[&load[..], &sources].concat()).await;
    assert_eq!(report["links"], 6, "{report}");
    assert_eq!(report["errors"], serde_json::json!({}), "{report}");
}
