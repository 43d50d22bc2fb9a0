//! Whoever is no node of the cluster, or breaks the rules.

use tonic::Code;
use v1::peer_request::Said as Asked;

use super::*;
use crate::secret::Secret;

fn guarded(token: &str) -> PeersConfig {
    PeersConfig {
        token: Some(Secret::new(token)),
        ..config()
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_with_another_token_gets_nowhere() {
    let net = Net::default();
    let mut two = Node::with(&net, 2, &guarded(TOKEN));
    let mut same = Node::with(&net, 1, &guarded(TOKEN));
    same.knows(&[&two]);
    same.peers.dial(two.life);
    same.finds(two.life).await;
    two.finds(same.life).await;
    for other in [guarded("fedcba9876543210"), config()] {
        let mut other = Node::with(&net, 3, &other);
        other.knows(&[&two]);
        other.peers.dial(two.life);
        other.loses(two.life).await;
        other.stop.cancel();
        two.hears_nothing().await;
    }
    let refused = |opened: Result<Liar, Status>| opened.map(|_| ()).unwrap_err().code();
    let address = two.peers.address();
    let opened = Liar::open(&net, address, Some("0123456789abcdeF")).await;
    assert_eq!(refused(opened), Code::Unauthenticated);
    assert_eq!(
        refused(Liar::open(&net, address, None).await),
        Code::Unauthenticated
    );
    let mut liar = Liar::open(&net, address, Some(TOKEN)).await.unwrap();
    assert!(liar.greet(5).await > 0);
    two.finds(life(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_version_too_far_off_is_told_so() {
    let net = Net::default();
    let mut two = Node::new(&net, 2);
    let mut liar = Liar::open(&net, two.peers.address(), None).await.unwrap();
    liar.say(Asked::Hello(v1::PeerHello {
        protocol: wire::PROTOCOL + 2,
        oldest_protocol: wire::PROTOCOL + 1,
        ..hello(5)
    }));
    let status = liar.ends().await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(
        status.message().contains("upgrade the older one"),
        "{status:?}"
    );
    two.hears_nothing().await;
    // The next one still speaks ours.
    let mut liar = Liar::open(&net, two.peers.address(), None).await.unwrap();
    liar.say(Asked::Hello(v1::PeerHello {
        protocol: wire::PROTOCOL + 1,
        oldest_protocol: wire::PROTOCOL,
        ..hello(5)
    }));
    liar.hear().await.unwrap();
    two.finds(life(5)).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_newer_version_says_is_skipped() {
    let net = Net::default();
    let mut two = Node::new(&net, 2);
    let mut liar = Liar::open(&net, two.peers.address(), None).await.unwrap();
    liar.greet(5).await;
    two.finds(life(5)).await;
    let _ = liar.says.try_send(PeerRequest { said: None });
    liar.say(Asked::Ask(v1::Ask {
        number: 1,
        user: Some(wire::to_user(&user("alice"))),
    }));
    assert!(matches!(two.said().await, FromPeer::Ask(_, 1, _)));
}

fn body(number: u64, size: usize) -> Asked {
    Asked::Body(v1::PeerBody {
        number,
        key: "k".to_owned(),
        biz_id: "chat".to_owned(),
        body: vec![7; size].into(),
        ..v1::PeerBody::default()
    })
}

fn deliver(number: u64, body: u64) -> Asked {
    Asked::Deliver(v1::Deliver {
        number,
        body,
        user_id: "alice".to_owned(),
        ..v1::Deliver::default()
    })
}

#[tokio::test(start_paused = true)]
async fn a_node_that_breaks_the_rules_loses_its_stream_alone() {
    let net = Net::default();
    let (mut one, mut two) = pair(&net, &config()).await;
    let largest = 1 << 20;
    let lives = vec![wire::to_incarnation(life(1)); 1_025];
    let lies: Vec<(&str, Vec<Asked>)> = vec![
        ("a second `hello`", vec![Asked::Hello(hello(5))]),
        (
            "more lives",
            vec![Asked::Ended(v1::EndedLives {
                incarnations: lives,
            })],
        ),
        ("a user is missing", vec![Asked::Ask(v1::Ask::default())]),
        (
            "a user is missing",
            vec![Asked::Fence(v1::Fence::default())],
        ),
        ("larger than `max_body`", vec![body(1, largest + 1)]),
        ("too large", vec![body(1, 4 * largest)]),
        ("of a body is not greater", vec![body(2, 1), body(2, 1)]),
        ("without a body", vec![deliver(1, 1)]),
        (
            "of a delivery is not greater",
            vec![body(1, 1), deliver(1, 1), deliver(1, 1)],
        ),
        ("not there", vec![Asked::Forget(v1::Forget { body: 1 })]),
        (
            "under way",
            vec![
                body(1, 1),
                deliver(1, 1),
                Asked::Forget(v1::Forget { body: 1 }),
            ],
        ),
        (
            "beyond the credit",
            (1..=33).map(|number| body(number, largest)).collect(),
        ),
        (
            "longer than 1,024 bytes",
            vec![Asked::Ask(v1::Ask {
                number: 1,
                user: Some(wire::to_user(&user(&"a".repeat(2_000)))),
            })],
        ),
    ];
    for (why, lies) in lies {
        let mut liar = Liar::open(&net, two.peers.address(), None).await.unwrap();
        liar.greet(5).await;
        two.finds(life(5)).await;
        for lie in lies {
            liar.say(lie);
        }
        let status = liar.ends().await;
        assert_eq!(status.code(), Code::InvalidArgument, "{why}");
        assert!(status.message().contains(why), "{why}: {status:?}");
        while !matches!(two.hears().await, Heard::Silent(life) if life == super::life(5)) {}
    }
    one.deliver(two.life, &push("k", 5), "alice", 1);
    two.delivered().await.1.settle(delivered());
    assert_eq!(one.settled().await.0, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_begins_with_who_is_there() {
    let net = Net::default();
    let mut two = Node::new(&net, 2);
    let address = two.peers.address();
    let first = |said: Asked| {
        let net = net.clone();
        async move {
            let mut liar = Liar::open(&net, address, None).await.unwrap();
            liar.say(said);
            liar.ends().await
        }
    };
    assert_eq!(first(body(1, 1)).await.code(), Code::InvalidArgument);
    let nobody = v1::PeerHello {
        incarnation: None,
        ..hello(5)
    };
    assert_eq!(
        first(Asked::Hello(nobody)).await.code(),
        Code::InvalidArgument
    );
    let itself = Asked::Hello(hello(2));
    assert_eq!(first(itself).await.code(), Code::InvalidArgument);
    let mut silent = Liar::open(&net, address, None).await.unwrap();
    assert_eq!(silent.ends().await.code(), Code::DeadlineExceeded);
    two.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_stream_of_a_node_takes_the_place_of_the_first() {
    let net = Net::default();
    let mut two = Node::new(&net, 2);
    let mut first = Liar::open(&net, two.peers.address(), None).await.unwrap();
    let alone = first.greet(5).await;
    two.finds(life(5)).await;
    let mut second = Liar::open(&net, two.peers.address(), None).await.unwrap();
    assert_eq!(second.greet(5).await, alone);
    two.finds(life(5)).await;
    assert_eq!(first.ends().await.code(), Code::Unavailable);
    two.hears_nothing().await;
    two.peers.fenced(life(5), claim(two.life, 1));
    let fenced = second.hear().await.unwrap();
    assert!(
        matches!(fenced, peer_response::Said::Fenced(_)),
        "{fenced:?}"
    );
}
