//! From a client to the backend: an ACK says that the backend answered OK, and nothing else is ever acknowledged.

mod outages;

use std::time::Duration;

use linkgate_client::Target;
use linkgate_filter::Form;
use linkgate_proto::v1::Command;
use linkgate_proto::v1::fault::{Effect, Source};
use tonic::Code;

use crate::common::backend::{Backend, Reply};
use crate::common::client::{Answer, Client};
use crate::common::gateway::Setup;

/// One try, and no breaker.
const PLAIN: &str = "try_timeout: 20s, deadline: 20s, retry: { max_attempts: 1 }, breaker: { failures: 1000, min_calls: 1000 }";

#[tokio::test]
async fn an_ack_carries_the_backends_answer_in_both_forms() {
    let backend = Backend::start().await;
    let setup = Setup {
        backend: Some(backend.address()),
        ..Setup::default()
    };
    let gateway = setup.start().await;
    backend.does(|message| Reply::Answer([b"re: ", &*message.body].concat().into()));
    for form in [Form::Protobuf, Form::Json] {
        let target = Target {
            device_id: Some("phone".into()),
            form,
            ..gateway.target("ann")
        };
        let mut ann = Client::connect(&target).await;
        let key = format!("{form:?}");
        let answer = ann.ask(&key, &b"\xffhi"[..]).await;
        assert_eq!(answer, Answer::Ack(b"re: \xffhi"[..].into()), "{form:?}");

        let Ok([call]) = <[_; 1]>::try_from(backend.calls_of(&key)) else {
            panic!("one call")
        };
        assert_eq!(
            (&*call.biz_id, &*call.user_id, &*call.device_id),
            ("chat", "ann", "phone")
        );
        assert_eq!((&*call.body, call.attempt), (&b"\xffhi"[..], 1));
        ann.close().await;
    }
}

#[tokio::test]
async fn a_failure_is_never_acknowledged_and_its_code_says_what_to_do() {
    let backend = Backend::start().await;
    let setup = Setup {
        backend: Some(backend.address()),
        upstream: PLAIN,
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let mut ann = Client::connect(&gateway.target("ann")).await;
    let (ours, theirs) = (Source::Gateway, Source::Backend);
    let cases = [
        (
            Code::InvalidArgument,
            "grpc.invalid_argument",
            Source::Client,
            false,
            Effect::None,
        ),
        (
            Code::PermissionDenied,
            "grpc.permission_denied",
            Source::Client,
            false,
            Effect::None,
        ),
        (
            Code::Unauthenticated,
            "grpc.unauthenticated",
            ours,
            false,
            Effect::None,
        ),
        (
            Code::Unimplemented,
            "grpc.unimplemented",
            theirs,
            false,
            Effect::None,
        ),
        (
            Code::ResourceExhausted,
            "grpc.resource_exhausted",
            theirs,
            true,
            Effect::None,
        ),
        (Code::Aborted, "grpc.aborted", theirs, true, Effect::None),
        (
            Code::Unavailable,
            "grpc.unavailable",
            theirs,
            true,
            Effect::Unknown,
        ),
        (
            Code::Internal,
            "grpc.internal",
            theirs,
            true,
            Effect::Unknown,
        ),
        (
            Code::DeadlineExceeded,
            "grpc.deadline_exceeded",
            theirs,
            true,
            Effect::Unknown,
        ),
        (
            Code::DataLoss,
            "grpc.data_loss",
            theirs,
            false,
            Effect::Unknown,
        ),
    ];
    for (code, name, source, retryable, effect) in cases {
        backend.does(move |_| Reply::Fail(code, "the password is swordfish"));
        let fault = ann.ask(name, "hi").await.nack();
        let said = (
            &*fault.code,
            fault.source(),
            fault.retryable,
            fault.effect(),
        );
        assert_eq!(said, (name, source, retryable, effect));
        assert!(!fault.detail.contains("swordfish"), "{}", fault.detail);
        assert_eq!(backend.calls_of(name).len(), 1);
        assert_eq!(gateway.metrics().await.messages(name), 1);
    }
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.messages("accepted"), 0);
    assert_eq!(metrics.events("ack_retry", "upstream_acks"), 0);
    assert_eq!(
        metrics.events("ack_retry", "upstream_nacks"),
        cases.len() as u64
    );
}

#[tokio::test]
async fn only_what_may_succeed_is_tried_again_and_only_so_often() {
    let backend = Backend::start().await;
    let setup = Setup {
        backend: Some(backend.address()),
        upstream: "try_timeout: 10s, deadline: 20s, retry: { max_attempts: 3, initial: 10ms, codes: [unavailable] }, \
                   breaker: { failures: 1000 }",
        ..Setup::default()
    };
    let gateway = setup.start().await;
    backend.does(|message| match (&*message.key, message.attempt) {
        ("recovers", 3) => Reply::Answer("at last".into()),
        ("refused", _) => Reply::Fail(Code::Aborted, ""),
        _ => Reply::Fail(Code::Unavailable, ""),
    });
    let mut ann = Client::connect(&gateway.target("ann")).await;
    let attempts = |key: &str| -> Vec<u32> {
        let calls = backend.calls_of(key);
        calls.iter().map(|call| call.attempt).collect()
    };

    assert_eq!(ann.ask("recovers", "").await, Answer::Ack("at last".into()));
    assert_eq!(attempts("recovers"), [1, 2, 3]);
    assert_eq!(ann.ask("never", "").await.nack().code, "grpc.unavailable");
    assert_eq!(attempts("never"), [1, 2, 3]);
    assert_eq!(ann.ask("refused", "").await.nack().code, "grpc.aborted");
    assert_eq!(attempts("refused"), [1]);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.events("grpc_upstream", "retries"), 4);
}

#[tokio::test]
async fn a_slow_backend_delays_no_heartbeat_and_no_other_link() {
    let backend = Backend::start().await;
    let setup = Setup {
        backend: Some(backend.address()),
        upstream: PLAIN,
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let mut ann = Client::connect(&gateway.target("ann")).await;
    let mut bob = Client::connect(&gateway.target("bob")).await;
    backend.hold();
    ann.send("slow", "hi").await;
    ann.send("behind", "hi").await;
    backend.has(1).await;
    for n in 0..20 {
        ann.heartbeat(&format!("ann {n}")).await;
        bob.heartbeat(&format!("bob {n}")).await;
    }
    assert_eq!(backend.calls().len(), 1, "the second waits for the first");
    backend.let_go();
    assert_eq!(
        ann.answer().await,
        ("slow".into(), Answer::Ack("hi".into()))
    );
    assert_eq!(ann.answer().await.0, "behind");
}

#[tokio::test]
async fn the_messages_of_a_link_reach_the_backend_one_by_one_in_the_order_sent() {
    let backend = Backend::start().await;
    let setup = Setup {
        backend: Some(backend.address()),
        upstream: PLAIN,
        ..Setup::default()
    };
    let gateway = setup.start().await;
    backend.does(|message| match message.key.len() % 2 {
        0 => Reply::Late(Duration::from_millis(2)),
        _ => Reply::Fail(Code::Aborted, ""),
    });
    let mut ann = Client::connect(&gateway.target("ann")).await;
    let keys: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    for key in &keys {
        ann.send(key, "").await;
    }
    for key in &keys {
        assert_eq!(ann.answer().await.0, *key);
    }
    let called: Vec<_> = backend.calls().into_iter().map(|call| call.key).collect();
    assert_eq!(called, keys);
    assert_eq!(backend.most_of_a_link(), 1);
}

#[tokio::test]
async fn beyond_the_soft_bound_messages_are_refused_and_may_come_again() {
    let backend = Backend::start().await;
    let setup = Setup {
        backend: Some(backend.address()),
        upstream: PLAIN,
        limits: "unsettled: 4",
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let mut ann = Client::connect(&gateway.target("ann")).await;
    backend.hold();
    for key in ["1", "2", "3", "4", "5", "6"] {
        ann.send(key, key).await;
    }
    for key in ["5", "6"] {
        let (refused, answer) = ann.answer().await;
        let fault = answer.nack();
        assert_eq!((&*refused, &*fault.code), (key, "link.overloaded"));
        assert!(fault.retryable);
        assert_eq!(
            (fault.source(), fault.effect()),
            (Source::Gateway, Effect::None)
        );
    }
    ann.heartbeat("still heard").await;
    backend.let_go();
    for key in ["1", "2", "3", "4"] {
        assert_eq!(ann.answer().await, (key.into(), Answer::Ack(key.into())));
    }
    assert_eq!(ann.ask("5", "5").await, Answer::Ack("5".into()));
    assert_eq!(backend.calls_of("6").len(), 0);
    assert_eq!(gateway.metrics().await.messages("link.overloaded"), 2);
}

#[tokio::test]
async fn a_client_that_leaves_takes_nothing_back() {
    let backend = Backend::start().await;
    let setup = Setup {
        backend: Some(backend.address()),
        upstream: PLAIN,
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let mut ann = Client::connect(&gateway.target("ann")).await;
    backend.hold();
    for key in ["1", "2", "3"] {
        ann.say(Command::UpstreamMessage, key, "").await;
    }
    backend.has(1).await;
    ann.close().await;
    backend.let_go();
    backend.has(3).await;
    gateway
        .counts("all three are accepted", |metrics| {
            metrics.messages("accepted") == 3
        })
        .await;
}
