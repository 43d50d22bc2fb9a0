//! `linkgate test --against`: cases against a gateway that runs, whose backend they play.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use serde_json::Value;
use tokio::process::Command;

use crate::common::gateway::Gateway;
use crate::common::wait::within;

const CASES: &str = "
cases:
  - name: a message is accepted once the backend has it
    steps:
      - ann connects
      - ann sends: { key: m-1, body: hello }
      - backend chat receives: { key: m-1, body: hello, user_id: ann }
        answers: { body: hi }
      - ann receives: { cmd: UPSTREAM_ACK, key: m-1, body: hi }
  - name: a body that is not so
    steps:
      - ann connects
      - ann sends: { key: m-1, body: hello }
      - backend chat receives: { key: m-1, body: goodbye }
  - name: a change
    steps:
      - config changes to: chat.yaml
";

#[tokio::test]
async fn cases_run_against_a_gateway_elsewhere_and_play_its_backend() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let backend = free.local_addr().unwrap();
    drop(free);
    let config = format!(
        "
schema: 1
admin: {{ address: 127.0.0.1:0 }}
listeners: [{{ name: public, address: 127.0.0.1:0, auth: insecure_query }}]
backends: {{ chat: {{ grpc: {{ endpoints: ['{backend}'] }} }} }}
pipelines:
  - biz_id: chat
    listeners: [public]
    filters:
      - use: codec
      - use: ack_retry
      - {{ use: grpc_upstream, config: {{ backend: chat }} }}
"
    );
    let gateway = Gateway::start(&config).await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("chat.yaml"), &config).unwrap();
    fs::write(folder.path().join("chat.test.yaml"), CASES).unwrap();
    let url = format!("ws://{}", gateway.address());
    let played = format!("chat={backend}");
    let mut program = Command::new(env!("CARGO_BIN_EXE_linkgate"));
    let program = program
        .args(["test", "chat.test.yaml", "--format", "json"])
        .args(["--against", &url, "--backend", &played])
        .current_dir(folder.path())
        .kill_on_drop(true);
    let ended = within("the cases", program.output()).await.unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let results = report["suites"][0]["results"].as_array().unwrap();
    let verdicts: Vec<_> = results.iter().map(|one| &one["verdict"]).collect();
    assert_eq!(verdicts, ["passed", "failed", "skipped"], "{report:#}");
    let why = results[1]["text"].as_str().unwrap();
    assert!(why.contains("`body` is hello, not goodbye"), "{why}");
    assert_eq!(results[2]["text"], "changes the configuration");
    gateway.stop().await;
}
