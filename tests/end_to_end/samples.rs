//! The samples of `examples/configs` at work, at addresses that are free.

use jsonwebtoken::{EncodingKey, Header, encode};
use linkgate_client::Target;
use linkgate_proto::v1::receiver_outcome::Status;
use serde_json::json;

use crate::common::backend::Backend;
use crate::common::client::{Answer, Client};
use crate::common::gateway::Gateway;
use crate::common::push::{Caller, push};

/// Starts the sample of this name, its backend at `backend` in place of 50051.
async fn start(name: &str, backend: Option<&Backend>) -> Gateway {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/configs/");
    let mut text = std::fs::read_to_string(format!("{file}{name}.yaml")).unwrap();
    if let Some(backend) = backend {
        text = text.replace("127.0.0.1:50051", &backend.address().to_string());
    }
    if !text.contains("admin:") {
        text.push_str("admin: { address: \"127.0.0.1:9901\" }\n");
    }
    let free = ["8080", "9901", "9902"]
        .into_iter()
        .fold(text, |text, port| {
            text.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:0")
        });
    Gateway::start(&free).await
}

#[tokio::test]
async fn chat_takes_tokens_calls_its_backend_and_pushes() {
    let backend = Backend::start().await;
    let gateway = start("chat", Some(&backend)).await;
    let soon = jsonwebtoken::get_current_timestamp() + 600;
    let claims = json!({ "iss": "chat", "biz_id": "chat", "sub": "ann", "exp": soon });
    let key = EncodingKey::from_secret(b"only-for-trying-out-0123456789abcdef");
    let target = Target {
        url: gateway.target("ann").url,
        token: Some(encode(&Header::default(), &claims, &key).unwrap()),
        ..Target::default()
    };
    let mut ann = Client::connect(&target).await;
    assert_eq!(ann.ask("k", "hi").await, Answer::Ack("hi".into()));
    assert_eq!(backend.calls_of("k").len(), 1);
    let caller = Caller::with_token(gateway.push_address(), Some("only-for-trying-out"));
    let outcome = caller.pushing(push("p", &["ann"]));
    let (key, _) = ann.push().await;
    assert_eq!(key, "p");
    ann.ack("p").await;
    assert_eq!(outcome.await.unwrap().status(), Status::Delivered);
}

#[tokio::test]
async fn those_that_answer_by_themselves_do() {
    for (name, biz_id) in [("echo", "echo"), ("echo-bench", "bench")] {
        let gateway = start(name, None).await;
        let target = Target {
            biz_id: Some(biz_id.into()),
            ..gateway.target("ann")
        };
        let mut ann = Client::connect(&target).await;
        ann.send("k", "hi").await;
        let answer = ann.next().await;
        assert_eq!((&*answer.key, &*answer.body), ("k", &b"hi"[..]), "{name}");
    }
}

#[tokio::test]
async fn grpc_batch_answers_each_message_of_its_batches() {
    let backend = Backend::start().await;
    let gateway = start("grpc_batch", Some(&backend)).await;
    let target = Target {
        biz_id: Some("orders".into()),
        ..gateway.target("ann")
    };
    let mut ann = Client::connect(&target).await;
    let keys: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    for key in &keys {
        ann.send(key, key.clone()).await;
    }
    for key in &keys {
        let answer = Answer::Ack(key.clone().into());
        assert_eq!(ann.answer().await, (key.clone(), answer));
    }
    assert_eq!(backend.batches().concat(), keys);
}
