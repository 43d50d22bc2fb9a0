//! How much may be under way.

use linkgate_filter::units::ByteSize;

use super::*;

#[tokio::test(start_paused = true)]
async fn one_business_cannot_take_the_room_of_another() {
    let limits = PushLimits {
        unsettled: 5,
        unsettled_per_biz: 2,
        ..PushLimits::default()
    };
    let node = node_with(&limits);
    let link = node.links.connect("alice", None);
    let pending: Vec<_> = ["a", "b"].map(|key| node.start(push(key), "alice")).into();
    let third = node.send(push("c"), "alice").outcome(None).await;
    assert_eq!(
        (third.status, code(&third)),
        (Status::Rejected, "push.overloaded")
    );
    assert!(third.reason.unwrap().retry_after.is_some());
    let other = Push {
        biz_id: "shop".into(),
        ..push("a")
    };
    let other = node.send(other, "alice").outcome(None).await;
    assert_eq!(other.status, Status::Offline, "not refused");

    let own = [("chat".into(), 3)].into();
    node.router.set_limits(&PushLimits::default(), own);
    let third = node.start(push("c"), "alice");
    settle_down().await;
    assert_eq!(node.router.unsettled(), 3);
    for _ in 0..3 {
        link.ack();
    }
    for waiting in pending.into_iter().chain([third]) {
        assert_eq!(waiting.await.unwrap().status, Status::Delivered);
    }
    let own = [("chat".into(), 0)].into();
    node.router.set_limits(&PushLimits::default(), own);
    let none = node.send(push("d"), "alice").outcome(None).await;
    assert_eq!(none.status, Status::Rejected);
}

#[tokio::test(start_paused = true)]
async fn pushes_under_way_are_bounded_in_bytes_however_many_receive_them() {
    let limits = PushLimits {
        unsettled_bytes: ByteSize::kib(100),
        unsettled_bytes_per_biz: ByteSize::kib(50),
        ..PushLimits::default()
    };
    let node = node_with(&limits);
    let users = ["alice", "bob", "carol"];
    let links = users.map(|user| node.links.connect(user, None));
    let body = Bytes::from(vec![0; 30 << 10]);
    let large = |key, biz_id: &str| Push {
        body: body.clone(),
        biz_id: biz_id.into(),
        ..push(key)
    };
    let refusal = |push| {
        node.router
            .admit(push)
            .map(|_| ())
            .err()
            .map(|fault| fault.code)
    };
    let sending = node.router.admit(large("a", "chat")).unwrap();
    let pending = users.map(|user| Pending::send(&node.router, &sending, user));
    drop(sending);
    assert_eq!(
        refusal(large("b", "chat")).as_deref(),
        Some("push.overloaded")
    );
    assert_eq!(refusal(large("b", "shop")), None);
    for link in &links {
        link.ack();
    }
    for pending in pending {
        assert_eq!(pending.outcome(None).await.status, Status::Delivered);
    }
    settle_down().await;
    assert_eq!(node.router.limits.load(), Load::default());
}
