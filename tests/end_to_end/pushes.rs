//! From a backend to clients: what was pushed is sent until it is acknowledged, and the caller hears what became of it.

use std::time::{Duration, SystemTime};

use linkgate_client::Target;
use linkgate_proto::v1::PushRequest;
use linkgate_proto::v1::receiver_outcome::Status;
use tokio::time::Instant;
use tonic::Code;

use crate::common::client::Client;
use crate::common::gateway::{Gateway, Setup};
use crate::common::push::{Caller, push, read};

/// Never again within a test.
const PATIENT: &str = "retry: { initial: 60s }";

async fn gateway(ack: &str) -> (Gateway, Caller) {
    let setup = Setup {
        ack,
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let caller = Caller::new(gateway.push_address());
    (gateway, caller)
}

/// Opens a link and waits until it can be pushed to.
async fn connect(target: &Target) -> Client {
    let mut client = Client::connect(target).await;
    client.heartbeat("there").await;
    client
}

fn device(gateway: &Gateway, user: &str, device: &str) -> Target {
    Target {
        device_id: Some(device.into()),
        ..gateway.target(user)
    }
}

/// Milliseconds since 1970, so far from now.
#[allow(
    clippy::disallowed_methods,
    reason = "what a caller pushes expires at a wall-clock time"
)]
fn wall(from_now: Duration) -> i64 {
    let at = SystemTime::now() + from_now;
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

#[tokio::test]
async fn a_push_is_delivered_once_the_client_has_acknowledged_it() {
    let (gateway, caller) = gateway(PATIENT).await;
    let mut ann = connect(&gateway.target("ann")).await;
    let pushed = caller.pushing(push("1", &["ann"]));
    assert_eq!(ann.push().await, ("1".into(), "body of 1".into()));
    // A round trip later nothing has been told to the caller yet.
    ann.heartbeat("meanwhile").await;
    assert!(!pushed.is_finished());
    ann.ack("1").await;
    assert_eq!(read(&pushed.await.unwrap()), (Status::Delivered, ""));

    // Twice, unknown: no harm.
    ann.ack("1").await;
    ann.ack("unheard of").await;
    ann.heartbeat("still there").await;
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.events("ack_retry", "unknown_acks"), 2);
    assert_eq!(
        metrics.sum("linkgate_pushes_total", &[("status", "delivered")]),
        1
    );
}

#[tokio::test]
async fn what_is_not_acknowledged_is_sent_again_at_growing_distance_until_it_is() {
    let ack = "retry: { initial: 40ms, max: 10s, multiplier: 4, jitter: 0, max_attempts: 10 }";
    let (gateway, caller) = gateway(ack).await;
    let mut ann = connect(&gateway.target("ann")).await;
    let began = Instant::now();
    let first = caller.pushing(push("first", &["ann"]));
    let mut came = Vec::new();
    for due in [0, 40, 40 + 160] {
        assert_eq!(ann.push().await, ("first".into(), "body of first".into()));
        came.push(began.elapsed());
        // A busy machine makes waits longer, never shorter.
        assert!(came.last().unwrap().as_millis() >= due, "{came:?}");
    }
    ann.ack("first").await;
    assert_eq!(first.await.unwrap().status(), Status::Delivered);

    // Another one goes through more of the waits than the first still had before it: that one stays away.
    let _second = caller.pushing(push("second", &["ann"]));
    for _ in 0..4 {
        assert_eq!(ann.push().await.0, "second");
    }
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.events("ack_retry", "retransmitted"), 2 + 3);
}

#[tokio::test]
async fn a_push_that_is_never_acknowledged_is_given_up() {
    let ack = "retry: { initial: 20ms, max: 20ms, jitter: 0, max_attempts: 3 }";
    let (gateway, caller) = gateway(ack).await;
    let mut ann = connect(&gateway.target("ann")).await;
    let outcome = caller.push_one(push("1", &["ann"])).await;
    assert_eq!(read(&outcome), (Status::Expired, "push.unacknowledged"));
    for _ in 0..3 {
        assert_eq!(ann.push().await.0, "1");
    }
    ann.heartbeat("no fourth").await;
}

#[tokio::test]
async fn a_push_without_acknowledgement_is_sent() {
    let (gateway, caller) = gateway(PATIENT).await;
    let mut ann = connect(&gateway.target("ann")).await;
    let outcome = caller.push_one(PushRequest {
        ack: Some(false),
        ..push("1", &["ann"])
    });
    assert_eq!(read(&outcome.await), (Status::Sent, ""));
    assert_eq!(ann.push().await.0, "1");
}

#[tokio::test]
async fn who_is_not_connected_is_offline() {
    let (gateway, caller) = gateway(PATIENT).await;
    let _ann = connect(&device(&gateway, "ann", "phone")).await;
    let outcome = caller.push_one(push("1", &["bob"])).await;
    assert_eq!(read(&outcome), (Status::Offline, "push.offline"));
    let outcome = caller.push_one(PushRequest {
        device_id: Some("laptop".into()),
        ..push("2", &["ann"])
    });
    assert_eq!(outcome.await.status(), Status::Offline);
}

#[tokio::test]
async fn what_is_too_old_is_expired_before_and_after_it_was_sent() {
    let (gateway, caller) = gateway(PATIENT).await;
    let mut ann = connect(&gateway.target("ann")).await;
    let outcome = caller.push_one(PushRequest {
        expires_at: Some(1),
        ..push("stale", &["ann"])
    });
    assert_eq!(read(&outcome.await), (Status::Expired, "push.expired"));
    let outcome = caller.push_one(PushRequest {
        expires_at: Some(wall(Duration::from_millis(300))),
        ..push("fresh", &["ann"])
    });
    assert_eq!(read(&outcome.await), (Status::Expired, "push.expired"));
    assert_eq!(ann.push().await.0, "fresh", "the stale one was not sent");
}

#[tokio::test]
async fn a_user_has_it_when_one_device_has_or_when_all_have() {
    let (gateway, caller) = gateway(PATIENT).await;
    let mut phone = connect(&device(&gateway, "ann", "phone")).await;
    let mut laptop = connect(&device(&gateway, "ann", "laptop")).await;

    let any = caller.pushing(push("any", &["ann"]));
    assert_eq!(phone.push().await.0, "any");
    assert_eq!(laptop.push().await.0, "any");
    laptop.ack("any").await;
    assert_eq!(any.await.unwrap().status(), Status::Delivered);

    let all = caller.pushing(PushRequest {
        all: true,
        ..push("all", &["ann"])
    });
    assert_eq!(phone.push().await.0, "all");
    assert_eq!(laptop.push().await.0, "all");
    phone.ack("all").await;
    phone.heartbeat("the acknowledgement has been read").await;
    assert!(!all.is_finished());
    laptop.ack("all").await;
    assert_eq!(all.await.unwrap().status(), Status::Delivered);

    let one = caller.pushing(PushRequest {
        device_id: Some("laptop".into()),
        ..push("one", &["ann"])
    });
    assert_eq!(laptop.push().await.0, "one");
    laptop.ack("one").await;
    assert_eq!(one.await.unwrap().status(), Status::Delivered);
    phone.heartbeat("not for the phone").await;
}

#[tokio::test]
async fn a_push_to_a_thousand_users_has_a_thousand_outcomes() {
    let (gateway, caller) = gateway(PATIENT).await;
    let users: Vec<_> = (0..1000).map(|n| n.to_string()).collect();
    let receivers: Vec<_> = users.iter().map(String::as_str).collect();
    let mut clients = Vec::new();
    for user in &users[..100] {
        clients.push(connect(&gateway.target(user)).await);
    }
    let request = push("news", &receivers);
    let pushed = tokio::spawn(async move { caller.push(request).await });
    for client in &mut clients {
        assert_eq!(client.push().await.0, "news");
        client.ack("news").await;
    }
    let outcomes = pushed.await.unwrap().unwrap().outcomes;
    for (n, outcome) in outcomes.iter().enumerate() {
        let expected = match n {
            0..100 => Status::Delivered,
            _ => Status::Offline,
        };
        assert_eq!(
            (&*outcome.receiver_id, outcome.status()),
            (receivers[n], expected)
        );
    }
    assert_eq!(outcomes.len(), 1000);

    let one_more: Vec<_> = receivers.iter().copied().chain(["too many"]).collect();
    let caller = Caller::new(gateway.push_address());
    let refused = caller.push(push("more", &one_more)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_stream_carries_pushes_in_order_and_answers_each() {
    let (gateway, caller) = gateway(PATIENT).await;
    let mut ann = connect(&gateway.target("ann")).await;
    let keys: Vec<_> = (0..50).map(|n| n.to_string()).collect();
    let mut requests: Vec<_> = keys.iter().map(|key| push(key, &["ann"])).collect();
    requests.insert(25, push("", &["ann"]));
    let mut answers = caller.stream(requests).await;
    for key in &keys {
        assert_eq!(ann.push().await.0, *key);
    }
    for key in keys.iter().rev() {
        ann.ack(key).await;
    }
    let (mut delivered, mut refused) = (Vec::new(), 0);
    while let Some(answer) = crate::common::wait::within("an answer", answers.message())
        .await
        .unwrap()
    {
        match answer.fault {
            Some(fault) => {
                assert_eq!((&*answer.key, &*fault.code), ("", "push.invalid"));
                refused += 1;
            }
            None => {
                assert_eq!(answer.outcomes[0].status(), Status::Delivered);
                delivered.push(answer.key);
            }
        }
    }
    delivered.sort_by_key(|key| key.parse::<u32>().unwrap());
    assert_eq!((delivered, refused), (keys, 1));
}

#[tokio::test]
async fn only_known_callers_push_and_only_for_their_businesses() {
    let setup = Setup {
        push: "auth: [{ token: token-of-the-chat-0123456789abcdef, biz_ids: [chat] }, { token: token-of-the-news-0123456789abcdef, biz_ids: [news] }]",
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let mut ann = connect(&gateway.target("ann")).await;
    let with = |token| Caller::with_token(gateway.push_address(), token);
    for (token, code) in [
        (None, Code::Unauthenticated),
        (Some("token-of-nobody"), Code::Unauthenticated),
        (
            Some("token-of-the-news-0123456789abcdef"),
            Code::PermissionDenied,
        ),
    ] {
        let refused = with(token).push(push("1", &["ann"])).await.unwrap_err();
        assert_eq!(refused.code(), code, "{token:?}");
        assert!(!refused.message().contains("token-of"), "{refused}");
    }
    let pushed = with(Some("token-of-the-chat-0123456789abcdef")).pushing(push("2", &["ann"]));
    assert_eq!(ann.push().await.0, "2", "the first was never sent");
    ann.ack("2").await;
    assert_eq!(pushed.await.unwrap().status(), Status::Delivered);
    let metrics = gateway.metrics().await;
    let refused = |code| metrics.sum("linkgate_push_calls_refused_total", &[("code", code)]);
    assert_eq!(
        (refused("push.unauthenticated"), refused("push.forbidden")),
        (2, 1)
    );
}

#[tokio::test]
async fn a_key_under_way_is_joined_and_sent_once() {
    let (gateway, caller) = gateway(PATIENT).await;
    let mut ann = connect(&gateway.target("ann")).await;
    let first = caller.pushing(push("1", &["ann"]));
    assert_eq!(ann.push().await.0, "1");
    let second = Caller::new(gateway.push_address()).pushing(push("1", &["ann"]));
    gateway
        .counts("the second has joined", |metrics| {
            metrics.sum("linkgate_pushes_joined_total", &[]) == 1
        })
        .await;
    let other = caller.push_one(PushRequest {
        body: "another".into(),
        ..push("1", &["ann"])
    });
    assert_eq!(read(&other.await), (Status::Rejected, "push.key_reused"));
    ann.ack("1").await;
    assert_eq!(first.await.unwrap().status(), Status::Delivered);
    assert_eq!(second.await.unwrap().status(), Status::Delivered);
    ann.heartbeat("it came once").await;
}

#[tokio::test]
async fn who_comes_back_gets_what_is_pending_oldest_first_and_the_caller_hears() {
    let (gateway, caller) = gateway("retry: { initial: 60s }, resume_for: 60s").await;
    let mut ann = connect(&gateway.target("ann")).await;
    let mut pushed = Vec::new();
    for key in ["1", "2", "3", "4"] {
        pushed.push(caller.pushing(push(key, &["ann"])));
        assert_eq!(ann.push().await.0, key);
    }
    ann.ack("2").await;
    ann.heartbeat("the acknowledgement has been read").await;
    // Goes away without a word.
    drop(ann);
    gateway
        .counts("the pushes are parked", |metrics| {
            metrics.events("ack_retry", "parked") == 3
        })
        .await;

    let mut ann = Client::connect(&gateway.target("ann")).await;
    for key in ["1", "3", "4"] {
        assert_eq!(
            ann.push().await,
            (key.into(), format!("body of {key}").into())
        );
    }
    for key in ["4", "1", "3"] {
        ann.ack(key).await;
    }
    for outcome in pushed {
        assert_eq!(read(&outcome.await.unwrap()), (Status::Delivered, ""));
    }
    assert_eq!(gateway.metrics().await.events("ack_retry", "resumed"), 3);
}

#[tokio::test]
async fn a_second_login_takes_over_what_is_pending() {
    let (gateway, caller) = gateway("retry: { initial: 60s }, resume_for: 60s").await;
    let mut older = connect(&gateway.target("ann")).await;
    let pushed = caller.pushing(push("1", &["ann"]));
    assert_eq!(older.push().await.0, "1");
    let mut newer = Client::connect(&gateway.target("ann")).await;
    assert_eq!(newer.push().await.0, "1");
    newer.ack("1").await;
    assert_eq!(pushed.await.unwrap().status(), Status::Delivered);
}

#[tokio::test]
async fn who_does_not_come_back_in_time_is_offline() {
    let (gateway, caller) = gateway("retry: { initial: 60s }, resume_for: 200ms").await;
    let mut ann = connect(&gateway.target("ann")).await;
    let late = caller.pushing(push("late", &["ann"]));
    assert_eq!(ann.push().await.0, "late");
    ann.close().await;
    assert_eq!(
        read(&late.await.unwrap()),
        (Status::Offline, "push.offline")
    );
    let mut ann = connect(&gateway.target("ann")).await;
    ann.heartbeat("it did not come again").await;
}

#[tokio::test]
async fn a_parked_push_expires_in_time() {
    let (gateway, caller) = gateway("retry: { initial: 60s }, resume_for: 60s").await;
    let mut ann = connect(&gateway.target("ann")).await;
    let old = caller.pushing(PushRequest {
        expires_at: Some(wall(Duration::from_millis(500))),
        ..push("old", &["ann"])
    });
    let young = caller.pushing(push("young", &["ann"]));
    for _ in 0..2 {
        ann.push().await;
    }
    ann.close().await;
    assert_eq!(read(&old.await.unwrap()), (Status::Expired, "push.expired"));
    let mut ann = Client::connect(&gateway.target("ann")).await;
    assert_eq!(ann.push().await.0, "young");
    ann.ack("young").await;
    assert_eq!(young.await.unwrap().status(), Status::Delivered);
}
