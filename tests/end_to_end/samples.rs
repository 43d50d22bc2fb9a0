//! The samples of `examples/configs` at work, at addresses that are free.

use linkgate::client::Target;

use crate::common::backend::Backend;
use crate::common::client::{Answer, Client};
use crate::common::gateway::Gateway;

/// Starts the sample of this name, its backend at `backend` in place of 50051.
async fn start(name: &str, backend: &Backend) -> Gateway {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/configs/");
    let text = std::fs::read_to_string(format!("{file}{name}.yaml")).unwrap();
    let text = text.replace("127.0.0.1:50051", &backend.address().to_string());
    let free = ["8080", "9901", "9902"]
        .into_iter()
        .fold(text, |text, port| {
            text.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:0")
        });
    Gateway::start(&free).await
}

#[tokio::test]
async fn grpc_batch_answers_each_message_of_its_batches() {
    let backend = Backend::start().await;
    let gateway = start("grpc_batch", &backend).await;
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
