//! Nodes that know each other by their certificates, over the system's network.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;
use crate::cluster::config::PeersTls;
use crate::secret::Secret;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// What a node needs whose certificate bears these names, and that asks others for one.
    fn config(&self, names: &[&str], name: Option<&str>) -> PeersConfig {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(names).unwrap();
        let cert = cert.signed_by(&key, &self.0).unwrap();
        PeersConfig {
            tls: Some(PeersTls {
                cert: cert.pem(),
                key: Secret::new(key.serialize_pem()),
                ca: self.0.pem(),
                name: name.map(str::to_owned),
            }),
            ..super::config()
        }
    }
}

fn node(revision: u64, config: &PeersConfig) -> Node {
    let connector = Arc::new(linkgate_grpc::Network);
    Node::on(Network::System, connector, revision, config)
}

async fn is_found(one: &mut Node, two: &mut Node) -> bool {
    one.knows(&[two]);
    one.peers.dial(two.life);
    match one.hears().await {
        Heard::Answers(_) => {
            two.finds(one.life).await;
            true
        }
        Heard::Silent(_) => {
            assert!(two.heard.try_recv().is_err());
            false
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nodes_with_certificates_of_one_authority_speak() {
    let authority = Authority::new();
    let mut two = node(2, &authority.config(&["127.0.0.1"], None));
    let mut one = node(1, &authority.config(&["10.0.0.7"], None));
    assert!(
        !is_found(&mut two, &mut one).await,
        "it is not what its address says"
    );
    assert!(is_found(&mut one, &mut two).await);
    let push = push("k", 300_000);
    one.deliver(two.life, &push, "alice", 1);
    let (forwarded, answer) = two.delivered().await;
    assert_eq!(forwarded.push.body, push.body);
    answer.settle(delivered());
    assert_eq!(one.settled().await.0, 1);
    let mut other = node(3, &Authority::new().config(&["127.0.0.1"], None));
    assert!(!is_found(&mut other, &mut two).await);
    let mut plain = node(4, &super::config());
    assert!(!is_found(&mut plain, &mut two).await);
    assert!(!is_found(&mut two, &mut plain).await);
}

#[tokio::test]
async fn a_name_is_asked_for_in_both_directions() {
    let authority = Authority::new();
    let name = Some("linkgate.internal");
    let mut two = node(2, &authority.config(&["linkgate.internal"], name));
    let mut one = node(1, &authority.config(&["linkgate.internal"], name));
    assert!(is_found(&mut one, &mut two).await);
    let mut other = node(3, &authority.config(&["127.0.0.1"], None));
    assert!(!is_found(&mut one, &mut other).await);
    let mut other = node(4, &authority.config(&["shop.internal"], name));
    assert!(!is_found(&mut other, &mut two).await);
}

#[tokio::test]
async fn certificates_of_no_use_are_an_error() {
    let (mut config, other) = (
        Authority::new().config(&["a"], None),
        Authority::new().config(&["a"], None),
    );
    if let (Some(tls), Some(other)) = (&mut config.tls, other.tls) {
        tls.key = other.key;
    }
    let net = Net::default();
    let around = Around {
        node: "n".into(),
        network: Network::Memory(net.memory.clone()),
        connector: Arc::new(net),
        clock: Arc::new(SystemClock),
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
        metrics: ReceptionMetrics::default(),
    };
    let (say, _heard) = mpsc::channel(16);
    let bound = Peers::bind(&config, around, Arc::new(Ears(say)));
    assert!(matches!(bound.map(|_| ()), Err(PeersError::Tls(_))));
}
