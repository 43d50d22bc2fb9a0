//! The sample of sealed bodies, started as it is, with the other end of `decrypt` as its client.

use linkgate_decrypt::{Cipher, Part};
use linkgate_filter::Direction;
use linkgate_proto::v1::receiver_outcome::Status;

use crate::common::backend::Backend;
use crate::common::client::{Answer, Client};
use crate::common::gateway::Gateway;
use crate::common::push::{Caller, push};
use crate::common::sealed::{self, place};

const SAMPLE: &str = include_str!("../../examples/configs/encrypted.yaml");

/// A client that has one of the sample's keys.
fn cipher(key_id: &str, user: &str) -> Cipher {
    let key = match key_id {
        "2026-11" => "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        _ => "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
    };
    sealed::cipher(key_id, key, user)
}

#[tokio::test]
async fn the_sample_of_sealed_bodies_works_both_ways() {
    let backend = Backend::start().await;
    let yaml = SAMPLE
        .replace("127.0.0.1:50051", &backend.address().to_string())
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9901", "127.0.0.1:0")
        .replace("127.0.0.1:9902", "127.0.0.1:0");
    let gateway = Gateway::start(&yaml).await;
    let mut ann = Client::connect(&gateway.target("ann")).await;

    // Under the active key, and under the one before it.
    for (n, key_id) in ["2026-11", "2026-05"].into_iter().enumerate() {
        let key = format!("m-{n}");
        let up = place(Direction::Upstream, Part::Message, &key);
        let sealed = cipher(key_id, "ann").seal(up, b"hello").unwrap();
        let Answer::Ack(answer) = ann.ask(&key, sealed).await else {
            panic!("{key_id} is not taken");
        };
        assert_eq!(backend.calls_of(&key)[0].body, "hello");
        let answered = place(Direction::Downstream, Part::Answer, &key);
        let opened = cipher("2026-11", "ann").open(answered, &answer).unwrap();
        assert_eq!(opened.clear, b"hello", "the backend's answer, its echo");
    }

    let caller = Caller::with_token(gateway.push_address(), Some("only-for-trying-out"));
    let pushed = caller.pushing(push("p-1", &["ann"]));
    let (key, sealed) = ann.push().await;
    let down = place(Direction::Downstream, Part::Message, &key);
    let opened = cipher("2026-11", "ann").open(down, &sealed).unwrap();
    assert_eq!(opened.clear, b"body of p-1");
    ann.ack(&key).await;
    assert_eq!(pushed.await.unwrap().status(), Status::Delivered);

    // In clear, and sealed by somebody else: told alike, and neither reaches the backend.
    let up = place(Direction::Upstream, Part::Message, "m-9");
    let another = cipher("2026-11", "ben").seal(up, b"hello").unwrap();
    let clear = ann.ask("m-9", "in clear").await.nack();
    assert_eq!(clear.code, linkgate_decrypt::REFUSED);
    assert_eq!(ann.ask("m-9", another).await.nack(), clear);
    assert!(backend.calls_of("m-9").is_empty());
    gateway
        .counts("what was opened and refused", |metrics| {
            let count = |event| metrics.events("decrypt", event);
            (count("opened"), count("opened_by_old_key")) == (2, 1)
                && (count("refused_malformed"), count("refused_forged")) == (1, 1)
        })
        .await;
}
