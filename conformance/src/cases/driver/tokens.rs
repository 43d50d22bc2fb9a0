//! Who clients and callers are, where a configuration asks for proof: the case runner signs with a key of its own. All
//! else about tokens is as configured: issuer, audience, claims, businesses, time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use linkgate_core::config::Config;
use linkgate_core::listener::config::{Algorithm, AuthConfig, JwtIssuer, ListenerConfig};
use linkgate_filter::Secret;
use serde_json::{Map, Value};

use crate::cases::language::docs::Connect;

const KEY: &str = "the key that linkgate test signs with";
const PUSH_TOKEN: &str = "the token that linkgate test pushes with";
const DAY: Duration = Duration::from_secs(86_400);

/// Puts the runner's keys in place of those that it does not have, and ends TLS before the node.
pub(super) fn own_keys(config: &mut Config) {
    for listener in &mut config.listeners {
        if let AuthConfig::Jwt(issuers) = &mut listener.auth {
            for issuer in issuers {
                issuer.algorithm = Some(Algorithm::HS256);
                issuer.secret = Some(Secret::new(KEY));
                issuer.public_key = None;
                issuer.keys = Vec::new();
                issuer.jwks = None;
            }
        }
    }
    for source in &mut config.push.sources {
        let Some(grpc) = &mut source.grpc else {
            continue;
        };
        grpc.tls = None;
        for caller in &mut grpc.auth {
            if caller.client_cert.take().is_some() {
                caller.token = Some(Secret::new(PUSH_TOKEN));
            }
        }
    }
}

/// Whom a client connects as.
pub(super) struct Whom<'a> {
    pub(super) biz_id: &'a str,
    pub(super) user_id: &'a str,
    pub(super) device_id: Option<&'a str>,
}

/// The token that a listener asks for, if it does and its issuer's secret is known.
pub(super) fn token(
    listener: &ListenerConfig,
    whom: &Whom<'_>,
    connect: &Connect,
    now: SystemTime,
) -> Option<String> {
    if let Some(token) = &connect.token {
        return Some(token.clone());
    }
    let AuthConfig::Jwt(issuers) = &listener.auth else {
        return None;
    };
    let speaks = |issuer: &&JwtIssuer| issuer.biz_ids.iter().any(|biz_id| biz_id == whom.biz_id);
    let issuer = issuers.iter().find(speaks).or_else(|| issuers.first())?;
    let mut claims = Map::new();
    let mut claim = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    claim("iss", issuer.issuer.as_str().into());
    claim(&issuer.biz_claim, whom.biz_id.into());
    claim(&issuer.user_claim, whom.user_id.into());
    if let Some(device_id) = whom.device_id {
        claim(&issuer.device_claim, device_id.into());
    }
    if let Some(audience) = issuer.audience.first() {
        claim("aud", audience.as_str().into());
    }
    let good_for = connect.token_for.map_or(DAY, Into::into);
    let until = (now + good_for).duration_since(UNIX_EPOCH);
    claim("exp", until.unwrap_or_default().as_secs_f64().into());
    let key = EncodingKey::from_secret(issuer.secret.as_ref()?.expose().as_bytes());
    let algorithm = match issuer.algorithm? {
        Algorithm::HS256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::HS384 => jsonwebtoken::Algorithm::HS384,
        Algorithm::HS512 => jsonwebtoken::Algorithm::HS512,
        Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA => return None,
    };
    // Claims of texts and numbers can always be written.
    encode(&Header::new(algorithm), &claims, &key).ok()
}

/// The token with which a caller may push for this business, of those that a source takes.
pub(super) fn push_token<'a>(
    callers: impl IntoIterator<Item = (&'a Option<Secret>, &'a [String])>,
    biz_id: &str,
) -> Option<String> {
    let mut callers = callers.into_iter();
    let (token, _) = callers.find(|(_, biz_ids)| biz_ids.iter().any(|known| known == biz_id))?;
    token.as_ref().map(|token| token.expose().to_owned())
}
