//! SIGTERM to the program itself.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use linkgate_client::{ConnectError, Target};
use linkgate_filter::CloseCode;
use linkgate_proto::v1::fault::Effect;
use linkgate_proto::v1::receiver_outcome::Status;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::common::backend::{Backend, Reply};
use crate::common::client::{Answer, Client};
use crate::common::gateway::{Setup, target};
use crate::common::metrics::get;
use crate::common::process::Process;
use crate::common::push::{Caller, push, read};
use crate::common::wait::until;

/// A running gateway and where it listens.
struct Running {
    process: Process,
    clients: SocketAddr,
    pushes: SocketAddr,
    admin: SocketAddr,
    folder: TempDir,
}

async fn run(setup: Setup<'_>, grace: &str) -> Running {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gateway.yaml"), setup.yaml()).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_linkgate"));
    let args = ["run", "gateway.yaml", "--grace", grace];
    let mut process = Process::start(program, folder.path(), &args);
    Running {
        clients: process.address("accepting links").await,
        pushes: process.address("taking pushes").await,
        admin: process.address("/healthz").await,
        process,
        folder,
    }
}

#[tokio::test]
async fn what_is_under_way_is_answered_before_the_links_are_closed() {
    const CLIENTS: usize = 20;
    const MESSAGES: usize = 5;
    let backend = Backend::start().await;
    let setup = Setup {
        backend: Some(backend.address()),
        upstream: "try_timeout: 20s, deadline: 20s",
        ..Setup::default()
    };
    let gateway = run(setup, "20s").await;
    assert_eq!(get(gateway.admin, "/readyz").await.0, 200);
    backend.does(|message| match &*message.key {
        "3" => Reply::Fail(tonic::Code::Aborted, ""),
        _ => Reply::Answer(message.body.clone()),
    });
    backend.hold();
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let mut client = Client::connect(&target(gateway.clients, &n.to_string())).await;
        for key in 0..MESSAGES {
            client.send(&key.to_string(), "hi").await;
        }
        // Once this is echoed all of the messages are in.
        client.heartbeat("there").await;
        clients.push(client);
    }
    backend.has(CLIENTS).await;

    gateway.process.terminate();
    until("the gateway wants no more traffic", async || {
        get(gateway.admin, "/readyz").await.0 == 503
    })
    .await;
    assert_eq!(get(gateway.admin, "/readyz").await.1, "draining\n");
    assert_eq!(get(gateway.admin, "/healthz").await.0, 200);
    let refused = Client::try_connect(&target(gateway.clients, "late")).await;
    let refused = refused.expect_err("the gateway accepts no more");
    assert!(
        matches!(refused, ConnectError::Unreachable { .. }),
        "{refused}"
    );

    backend.let_go();
    for client in &mut clients {
        for key in 0..MESSAGES {
            let (answered, answer) = client.answer().await;
            assert_eq!(answered, key.to_string());
            match key {
                3 => assert_eq!(answer.nack().code, "grpc.aborted"),
                _ => assert_eq!(answer, Answer::Ack("hi".into())),
            }
        }
        let ended = client.ended().await;
        assert_eq!(ended.code, CloseCode::SHUTDOWN);
        assert!(ended.code.reconnect());
    }
    let (code, log) = gateway.process.exit().await;
    assert_eq!(code, Some(0), "{log:#?}");
    assert_eq!(backend.calls().len(), CLIENTS * MESSAGES);
}

#[tokio::test]
async fn what_was_gathered_for_a_batch_goes_at_once() {
    let backend = Backend::start().await;
    let setup = Setup {
        backend: Some(backend.address()),
        batch: Some("adaptive: false, max_wait: 1m"),
        limits: "trunk: { shards: 1 }",
        ..Setup::default()
    };
    let gateway = run(setup, "40s").await;
    let mut clients = Vec::new();
    for user in ["ann", "bob"] {
        let mut client = Client::connect(&target(gateway.clients, user)).await;
        client.send(user, "hi").await;
        client.heartbeat("there").await;
        clients.push(client);
    }
    let told = Instant::now();
    gateway.process.terminate();
    for client in &mut clients {
        assert_eq!(client.answer().await.1, Answer::Ack("hi".into()));
        assert_eq!(client.ended().await.code, CloseCode::SHUTDOWN);
    }
    assert!(
        told.elapsed() < Duration::from_secs(30),
        "not at the deadline"
    );
    let (code, log) = gateway.process.exit().await;
    assert_eq!(code, Some(0), "{log:#?}");
}

#[tokio::test]
async fn a_link_that_waits_for_its_answers_is_alive_and_takes_nothing_new() {
    let backend = Backend::start().await;
    let setup = Setup {
        backend: Some(backend.address()),
        upstream: "try_timeout: 20s, deadline: 20s",
        ack: "retry: { initial: 60s }",
        ..Setup::default()
    };
    let gateway = run(setup, "20s").await;
    backend.hold();
    let mut ann = Client::connect(&target(gateway.clients, "ann")).await;
    ann.send("1", "hi").await;
    backend.has(1).await;
    let pushed = Caller::new(gateway.pushes).pushing(push("p", &["ann"]));
    assert_eq!(ann.push().await.0, "p");

    gateway.process.terminate();
    until("the gateway wants no more traffic", async || {
        get(gateway.admin, "/readyz").await.0 == 503
    })
    .await;
    ann.heartbeat("still there").await;
    let refused = ann.ask("2", "too late").await.nack();
    assert_eq!((&*refused.code, refused.retryable), ("link.closing", true));
    assert_eq!(refused.effect(), Effect::None);
    ann.ack("p").await;
    assert_eq!(read(&pushed.await.unwrap()), (Status::Delivered, ""));

    backend.let_go();
    assert_eq!(ann.answer().await, ("1".into(), Answer::Ack("hi".into())));
    assert_eq!(ann.ended().await.code, CloseCode::SHUTDOWN);
    assert_eq!(gateway.process.exit().await.0, Some(0));
    assert_eq!(backend.calls().len(), 1);
}

#[tokio::test]
async fn a_stop_under_traffic_leaves_no_message_without_an_answer_but_those_not_read() {
    let gateway = run(Setup::default(), "20s").await;
    let traffic = |n: usize| {
        let target = target(gateway.clients, &n.to_string());
        tokio::spawn(async move {
            let mut client = Client::connect(&target).await;
            let mut answered = 0;
            loop {
                match client.try_ask(&answered.to_string()).await {
                    Ok(Answer::Ack(_)) => answered += 1,
                    Ok(Answer::Nack(fault)) if fault.code == "link.closing" => {}
                    Ok(other) => panic!("{other:?}"),
                    Err(ended) => return (answered, ended.code),
                }
            }
        })
    };
    let clients: Vec<_> = (0..10).map(traffic).collect();
    until("there is traffic", async || {
        let (_, metrics) = get(gateway.admin, "/metrics").await;
        metrics.contains("linkgate_links 10\n")
    })
    .await;
    gateway.process.terminate();
    for client in clients {
        let (_, code) = client.await.unwrap();
        assert_eq!(code, CloseCode::SHUTDOWN);
    }
    assert_eq!(gateway.process.exit().await.0, Some(0));
}

#[tokio::test]
async fn a_backend_that_hangs_does_not_keep_the_gateway_beyond_its_grace() {
    let backend = Backend::start().await;
    let setup = Setup {
        backend: Some(backend.address()),
        upstream: "try_timeout: 60s, deadline: 60s",
        ..Setup::default()
    };
    let gateway = run(setup, "1s").await;
    backend.does(|_| Reply::Hang);
    let mut ann = Client::connect(&target(gateway.clients, "ann")).await;
    ann.send("1", "").await;
    backend.has(1).await;
    let began = Instant::now();
    gateway.process.terminate();
    assert_eq!(
        ann.ended().await.code,
        CloseCode::SHUTDOWN,
        "it is told all the same"
    );
    let (code, log) = gateway.process.exit().await;
    assert_eq!(code, Some(1), "{log:#?}");
    assert!(began.elapsed() >= Duration::from_secs(1));
    let last = log.last().unwrap();
    assert!(
        last.contains("links were not done in time") && last.contains("left=1"),
        "{last}"
    );
}

#[tokio::test]
async fn what_has_not_been_sent_on_within_the_grace_is_refused_before_the_goodbye() {
    let backend = Backend::start().await;
    let setup = Setup {
        backend: Some(backend.address()),
        upstream: "try_timeout: 60s, deadline: 60s",
        ..Setup::default()
    };
    let gateway = run(setup, "2s").await;
    backend.does(|_| Reply::Hang);
    let mut ann = Client::connect(&target(gateway.clients, "ann")).await;
    for key in 1..=5 {
        ann.send(&key.to_string(), "").await;
    }
    ann.heartbeat("there").await;
    backend.has(1).await;
    gateway.process.terminate();
    let mut refused = Vec::new();
    for _ in 2..=5 {
        let (key, answer) = ann.answer().await;
        let fault = answer.nack();
        assert_eq!((&*fault.code, fault.retryable), ("link.closing", true));
        assert_eq!(fault.effect(), Effect::None);
        refused.push(key);
    }
    refused.sort();
    assert_eq!(refused, ["2", "3", "4", "5"]);
    assert_eq!(ann.ended().await.code, CloseCode::SHUTDOWN);
    let (code, log) = gateway.process.exit().await;
    assert_eq!(code, Some(1), "the first one is not settled: {log:#?}");
    assert_eq!(backend.calls().len(), 1, "nothing else is sent on later");
}

#[tokio::test]
async fn pushes_that_are_not_acknowledged_do_not_hold_a_stop_up() {
    let setup = Setup {
        ack: "retry: { initial: 60s }",
        ..Setup::default()
    };
    let gateway = run(setup, "20s").await;
    let mut ann = Client::connect(&target(gateway.clients, "ann")).await;
    ann.heartbeat("there").await;
    let caller = Caller::new(gateway.pushes);
    let pushed = tokio::spawn(async move { caller.push(push("1", &["ann"])).await });
    assert_eq!(ann.push().await.0, "1");
    gateway.process.terminate();
    assert_eq!(ann.ended().await.code, CloseCode::SHUTDOWN);
    // The caller is not told that it was delivered.
    if let Ok(answer) = pushed.await.unwrap() {
        let outcome = answer.outcomes[0].status();
        assert_ne!(outcome, Status::Delivered);
    }
    assert_eq!(gateway.process.exit().await.0, Some(0));
}

#[tokio::test]
async fn the_smallest_configuration_needs_nothing_but_itself() {
    let folder = tempfile::tempdir().unwrap();
    let smallest = "schema: 1
listeners: [{ name: public, address: '127.0.0.1:0', auth: insecure_query }]
pipelines: [{ biz_id: chat, listeners: [public], filters: [{ use: codec }, { use: echo }] }]";
    std::fs::write(folder.path().join("gateway.yaml"), smallest).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_linkgate"));
    let mut process = Process::start(program, folder.path(), &["run", "gateway.yaml"]);
    let address = process.address("accepting links").await;
    let mut ann = Client::connect(&Target {
        device_id: Some("phone".into()),
        ..target(address, "ann")
    })
    .await;
    ann.heartbeat("there").await;
    process.terminate();
    assert_eq!(ann.ended().await.code, CloseCode::SHUTDOWN);
    assert_eq!(process.exit().await.0, Some(0));
}

#[tokio::test]
async fn a_hangup_has_the_configuration_read_again_and_ends_nothing() {
    let mut gateway = run(Setup::default(), "20s").await;
    let mut ann = Client::connect(&target(gateway.clients, "ann")).await;
    gateway.process.signal("HUP");
    gateway.process.line("SIGHUP").await;
    let said = gateway.process.line("has been read again").await;
    assert!(
        said.contains("generation=1") && said.contains("accepted=true"),
        "{said}"
    );
    // A mistake is told of, and what ran goes on.
    std::fs::write(
        gateway.folder.path().join("gateway.yaml"),
        "schema: 1\npipelines: 5\n",
    )
    .unwrap();
    gateway.process.signal("HUP");
    let said = gateway.process.line("accepted=false").await;
    assert!(said.contains("has been read again"), "{said}");
    assert_eq!(ann.ask("1", "hi").await, Answer::Ack("hi".into()));
    assert_eq!(get(gateway.admin, "/healthz").await.0, 200);
    drop(ann);
    gateway.process.terminate();
    assert_eq!(gateway.process.exit().await.0, Some(0));
}
