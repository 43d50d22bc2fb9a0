//! A backend that hangs, is dead or dies: clients are told in time what is known, and it is found again.

use linkgate_proto::v1::Fault;

use super::*;

#[tokio::test]
async fn a_backend_that_hangs_is_given_up_in_time_and_left_alone_until_it_revives() {
    let backend = Backend::start().await;
    let setup = Setup {
        backend: Some(backend.address()),
        upstream: "try_timeout: 100ms, deadline: 150ms, retry: { max_attempts: 1 }, \
                   breaker: { failures: 2, first_open_for: 1s, open_for: 1s }",
        ..Setup::default()
    };
    let gateway = setup.start().await;
    backend.does(|_| Reply::Hang);
    let mut ann = Client::connect(&gateway.target("ann")).await;
    let mut bob = Client::connect(&gateway.target("bob")).await;
    for (client, key) in [(&mut ann, "1"), (&mut bob, "2")] {
        let fault = client.ask(key, "").await.nack();
        assert_eq!(fault.code, "grpc.deadline_exceeded");
        assert!(fault.retryable);
        assert_eq!(fault.effect(), Effect::Unknown);
    }
    let fault = ann.ask("3", "").await.nack();
    assert_eq!(
        (&*fault.code, fault.effect()),
        ("grpc.breaker_open", Effect::None)
    );
    assert!(
        fault.retryable && (1..=1000).contains(&fault.retry_after_ms),
        "{fault:?}"
    );
    assert!(backend.calls_of("3").is_empty());

    backend.does(|_| Reply::Answer("well again".into()));
    assert_eq!(until_acked(&mut ann).await, "well again");
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.events("grpc_upstream", "breaker_opened"), 1);
    assert_eq!(metrics.events("grpc_upstream", "timeouts"), 2);
}

#[tokio::test]
async fn a_dead_backend_is_left_alone_until_it_revives() {
    let mut backend = Backend::start().await;
    backend.kill();
    let setup = Setup {
        backend: Some(backend.address()),
        upstream: "try_timeout: 500ms, deadline: 500ms, retry: { max_attempts: 1 }, \
                   breaker: { failures: 2, first_open_for: 3s, open_for: 3s }",
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let mut ann = Client::connect(&gateway.target("ann")).await;
    for key in ["1", "2"] {
        let Fault {
            code, retryable, ..
        } = &ann.ask(key, "").await.nack();
        assert_eq!((&**code, *retryable), ("grpc.unreachable", true));
    }
    let fault = ann.ask("3", "").await.nack();
    assert_eq!(
        (&*fault.code, fault.effect()),
        ("grpc.breaker_open", Effect::None)
    );

    backend.revive().await;
    backend.does(|_| Reply::Answer("here".into()));
    assert_eq!(until_acked(&mut ann).await, "here");
    assert!(
        backend.calls_of("1").is_empty(),
        "what failed is not sent later"
    );
}

/// Asks as the answers say until there is an ACK; its body.
async fn until_acked(client: &mut Client) -> bytes::Bytes {
    for n in 0.. {
        match client.ask(&format!("again {n}"), "").await {
            Answer::Ack(body) => return body,
            Answer::Nack(fault) if fault.retryable && n < 200 => {
                let wait = Duration::from_millis(fault.retry_after_ms.max(20).into());
                tokio::time::sleep(wait).await;
            }
            other => panic!("{other:?}"),
        }
    }
    unreachable!()
}

#[tokio::test]
async fn a_backend_killed_under_a_call_leaves_its_effect_unknown() {
    let mut backend = Backend::start().await;
    let setup = Setup {
        backend: Some(backend.address()),
        upstream: PLAIN,
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let mut ann = Client::connect(&gateway.target("ann")).await;
    backend.hold();
    ann.send("1", "").await;
    backend.has(1).await;
    backend.kill();
    let (_, answer) = ann.answer().await;
    let fault = answer.nack();
    assert_eq!(
        (&*fault.code, fault.effect()),
        ("grpc.unavailable", Effect::Unknown)
    );
    backend.revive().await;
    backend.let_go();
    assert_eq!(
        ann.ask("2", "hi").await,
        Answer::Ack("hi".into()),
        "it is found again"
    );
}
