//! Callers known by their certificates.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::*;
use crate::network::Network;
use crate::reception::Tls;

struct Authority(CertifiedIssuer<'static, KeyPair>);

struct Issued {
    cert: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn issue(&self, common_name: &str, alternative: Option<SanType>) -> Issued {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.subject_alt_names.extend(alternative);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Issued {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }
}

fn dns(name: &str) -> Option<SanType> {
    Some(SanType::DnsName(name.try_into().unwrap()))
}

fn named(name: &str, biz_id: &str) -> GrpcCaller {
    GrpcCaller {
        token: None,
        client_cert: Some(name.to_owned()),
        biz_ids: vec![biz_id.to_owned()],
    }
}

#[tokio::test]
async fn a_certificate_from_the_authority_is_as_good_as_a_token() {
    let authority = Authority::new();
    let own = authority.issue("push", dns("push.internal"));
    let config = GrpcSource {
        tls: Some(Tls {
            cert: own.cert,
            key: Secret::new(own.key),
            client_ca: Some(authority.0.pem()),
        }),
        auth: vec![
            named("chat-backend", "chat"),
            named("chat.internal", "chat"),
            named("spiffe://corp/chat", "chat"),
            named("shop-backend", "shop"),
            caller(TOKEN, "chat"),
        ],
        ..config()
    };
    let source = serve(&config).await;
    let call = async |identity: Option<Issued>, header: Option<String>| {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authority.0.pem()))
            .domain_name("push.internal");
        if let Some(Issued { cert, key }) = identity {
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        let endpoint = Channel::from_shared(source.url.clone()).unwrap();
        let channel = endpoint.tls_config(tls).unwrap().connect_lazy();
        let mut push = Request::new(request("k", &["nobody"]));
        if let Some(header) = header {
            push = authorized(push.into_inner(), &header);
        }
        let result = PushServiceClient::new(channel).push(push).await;
        result.map(|_| ()).map_err(|status| status.code())
    };
    let spiffe = SanType::URI("spiffe://corp/chat".try_into().unwrap());
    let bearer = || Some(format!("Bearer {TOKEN}"));
    assert_eq!(
        call(Some(authority.issue("chat-backend", None)), None).await,
        Ok(())
    );
    assert_eq!(
        call(Some(authority.issue("x", dns("chat.internal"))), None).await,
        Ok(())
    );
    assert_eq!(
        call(Some(authority.issue("x", Some(spiffe))), None).await,
        Ok(())
    );
    assert_eq!(call(None, bearer()).await, Ok(()), "a token does without");
    let other_biz = call(Some(authority.issue("shop-backend", None)), None).await;
    assert_eq!(other_biz, Err(Code::PermissionDenied));
    let unknown = call(Some(authority.issue("chat-backend-2", None)), None).await;
    assert_eq!(unknown, Err(Code::Unauthenticated));
    assert_eq!(call(None, None).await, Err(Code::Unauthenticated));
    // The handshake fails, which the client sees when it opens the connection or when it first uses it.
    let broken = |result| matches!(result, Err(Code::Unavailable | Code::Unknown));
    let stranger = || Some(Authority::new().issue("chat-backend", None));
    assert!(broken(call(stranger(), None).await));
    assert!(
        broken(call(stranger(), bearer()).await),
        "a token does not mend it"
    );
}

#[tokio::test]
async fn certificates_of_no_use_are_an_error() {
    let links = Arc::new(TestLinks::default());
    let router = Router::new(
        links,
        Arc::new(SystemClock),
        &PushLimits::default(),
        PushMetrics::default(),
    );
    let (one, other) = (Authority::new(), Authority::new());
    let config = GrpcSource {
        tls: Some(Tls {
            cert: one.issue("push", None).cert,
            key: Secret::new(other.issue("push", None).key),
            client_ca: None,
        }),
        ..config()
    };
    let bound = GrpcPush::bind(
        &config,
        router,
        (&Network::System, &ReceptionMetrics::default()),
    );
    assert!(matches!(bound.map(|_| ()), Err(GrpcPushError::Tls { .. })));
}
