//! Order per link, with many links at once.

use std::collections::HashMap;

use futures_util::future::join_all;

use crate::common::backend::Backend;
use crate::common::client::{Answer, Client};
use crate::common::gateway::Setup;

const LINKS: usize = 1000;
const MESSAGES: usize = 5;

#[tokio::test]
async fn a_thousand_links_keep_their_order_among_each_other() {
    let backend = Backend::start().await;
    let setup = Setup {
        backend: Some(backend.address()),
        upstream: "try_timeout: 60s, deadline: 60s, retry: { max_attempts: 1 }",
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let mut clients = Vec::new();
    for n in 0..LINKS {
        clients.push(Client::connect(&gateway.target(&n.to_string())).await);
    }
    // The calls pile up, so that all links are at it at once.
    backend.hold();
    for round in 0..MESSAGES {
        for (n, client) in clients.iter_mut().enumerate() {
            client
                .send(&round.to_string(), format!("{n}.{round}"))
                .await;
        }
    }
    backend.has(LINKS).await;
    backend.let_go();
    let answered = clients.iter_mut().enumerate().map(async |(n, client)| {
        for round in 0..MESSAGES {
            let answer = Answer::Ack(format!("{n}.{round}").into());
            assert_eq!(client.answer().await, (round.to_string(), answer));
        }
    });
    join_all(answered).await;

    let mut by_user: HashMap<String, Vec<String>> = HashMap::new();
    for call in backend.calls() {
        by_user.entry(call.user_id).or_default().push(call.key);
    }
    let sent: Vec<_> = (0..MESSAGES).map(|round| round.to_string()).collect();
    assert_eq!(by_user.len(), LINKS);
    for (user, keys) in by_user {
        assert_eq!(keys, sent, "user {user}");
    }
    assert_eq!(backend.most_of_a_link(), 1);
    let accepted = (LINKS * MESSAGES) as u64;
    assert_eq!(gateway.metrics().await.messages("accepted"), accepted);
}
