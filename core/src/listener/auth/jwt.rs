//! Tokens: which issuer's, signed with which key, valid now and here, and whom they name.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::errors::ErrorKind;
use linkgate_filter::Identity;
use linkgate_filter::problem::{Path, Problems};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::keys::{self, Key};
use super::{Authenticated, is_name};
use crate::listener::config::{JwtIssuer, OnExpiry};
use crate::listener::refusal::Refusal;

type Claims = Map<String, Value>;

/// The issuers whose tokens a listener takes.
#[derive(Debug)]
pub(in crate::listener) struct Issuers(Vec<Issuer>);

#[derive(Debug)]
struct Issuer {
    name: String,
    accept_without_iss: bool,
    biz_ids: HashSet<String>,
    keys: Vec<Key>,
    leeway: Duration,
    user_claim: String,
    biz_claim: String,
    device_claim: String,
    on_expiry: OnExpiry,
}

/// Ten years: safe to add to a clock, and no link lives as long.
const NEVER: Duration = Duration::from_secs(3_650 * 86_400);
const LONGEST_LEEWAY: Duration = Duration::from_secs(600);

impl Issuers {
    pub(super) fn prepare(issuers: &[JwtIssuer]) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        if issuers.is_empty() {
            problems
                .at("jwt", "no issuer is named, so nobody could open a link")
                .hint("name at least one");
        }
        let mut names = HashSet::new();
        let mut prepared = Vec::new();
        for (i, issuer) in issuers.iter().enumerate() {
            let mut own = Problems::new();
            if !names.insert(issuer.issuer.as_str()) {
                own.at(
                    "issuer",
                    format!("`{}` is there twice", issuer.issuer.escape_debug()),
                )
                .hint("put its keys into one entry, under `keys`");
            }
            prepared.push(Issuer::prepare(issuer, &mut own));
            problems.extend_under(&Path::from("jwt").then(i), own);
        }
        problems.into_result(Self(prepared))
    }

    /// Checks a token, and reads whom it names.
    pub(super) fn verify(&self, token: &str, now: SystemTime) -> Result<Authenticated, Refusal> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::TokenMalformed)?;
        // Critical parameters must be understood, and none is.
        if header.crit.is_some() {
            return Err(Refusal::TokenMalformed);
        }
        let Unverified { iss } =
            insecure_decode_claims(token).map_err(|_| Refusal::TokenMalformed)?;
        let mut refusal = Refusal::TokenIssuer;
        for issuer in self
            .0
            .iter()
            .filter(|issuer| issuer.speaks_as(iss.as_deref()))
        {
            match issuer.check(token, &header, now) {
                Ok(claims) => return issuer.authenticated(&claims, now),
                Err(why) => refusal = why,
            }
        }
        Err(refusal)
    }
}

/// What is read of a token to find the key to check it with, and believed for nothing else.
#[derive(Deserialize)]
struct Unverified {
    #[serde(default)]
    iss: Option<String>,
}

impl Issuer {
    fn prepare(config: &JwtIssuer, problems: &mut Problems) -> Self {
        if config.issuer.is_empty() {
            problems
                .at("issuer", "is empty")
                .hint("it is what the tokens' `iss` claim says");
        }
        if config.biz_ids.is_empty() {
            problems
                .at(
                    "biz_ids",
                    "is empty, so this issuer's tokens would open no link",
                )
                .hint("name the bizIDs it may speak for");
        }
        for (i, biz_id) in config.biz_ids.iter().enumerate() {
            if !is_name(biz_id) {
                problems
                    .at(Path::from("biz_ids").then(i), "is not a bizID")
                    .hint("1 to 256 bytes, no control characters");
            }
        }
        if *config.leeway > LONGEST_LEEWAY {
            problems.at("leeway", format!("{} is more than 10m", config.leeway));
        }
        for (key, claim) in [
            ("user_claim", &config.user_claim),
            ("biz_claim", &config.biz_claim),
            ("device_claim", &config.device_claim),
        ] {
            if claim.is_empty() {
                problems
                    .at(key, "is empty")
                    .hint("name a claim, or leave it out");
            }
        }
        let mut keys = keys::of_issuer(config, problems);
        for key in &mut keys {
            set_checks(&mut key.validation, config);
        }
        Self {
            name: config.issuer.clone(),
            accept_without_iss: config.accept_without_iss,
            biz_ids: config.biz_ids.iter().cloned().collect(),
            keys,
            leeway: *config.leeway,
            user_claim: config.user_claim.clone(),
            biz_claim: config.biz_claim.clone(),
            device_claim: config.device_claim.clone(),
            on_expiry: config.on_expiry,
        }
    }

    fn speaks_as(&self, iss: Option<&str>) -> bool {
        iss.map_or(self.accept_without_iss, |iss| iss == self.name)
    }

    /// The claims, if one of the keys signed them and they hold now and here.
    fn check(
        &self,
        token: &str,
        header: &jsonwebtoken::Header,
        now: Duration,
    ) -> Result<Claims, Refusal> {
        let mut refusal = Refusal::TokenKey;
        for key in self.keys_for(header) {
            match jsonwebtoken::decode::<Claims>(token, &key.decoding, &key.validation) {
                Ok(token) => return self.in_time(token.claims, now),
                Err(error) => refusal = refusal_of(error.kind()),
            }
            if refusal != Refusal::TokenSignature {
                break;
            }
        }
        Err(refusal)
    }

    /// The claims, if they hold now, by the clock of the node.
    fn in_time(&self, claims: Claims, now: Duration) -> Result<Claims, Refusal> {
        let (now, leeway) = (now.as_secs_f64(), self.leeway.as_secs_f64());
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(at) => at.as_f64().map(Some).ok_or(Refusal::TokenMalformed),
        };
        if time("exp")?.is_none_or(|exp| exp < now - leeway) {
            return Err(Refusal::TokenExpired);
        }
        if time("nbf")?.is_some_and(|nbf| nbf > now + leeway) {
            return Err(Refusal::TokenNotYetValid);
        }
        Ok(claims)
    }

    /// The keys of the token's algorithm and `kid`; without any of that `kid`, those that have none.
    fn keys_for(&self, header: &jsonwebtoken::Header) -> impl Iterator<Item = &Key> {
        let kid = header.kid.as_deref();
        let known = kid.filter(|kid| self.keys.iter().any(|key| key.kid.as_deref() == Some(kid)));
        let algorithm = header.alg;
        self.keys.iter().filter(move |key| {
            let fits = match (kid, known) {
                (None, _) => true,
                (Some(_), known) => key.kid.as_deref() == known,
            };
            fits && key.algorithm == algorithm
        })
    }

    fn authenticated(&self, claims: &Claims, now: Duration) -> Result<Authenticated, Refusal> {
        let only = self
            .biz_ids
            .iter()
            .next()
            .filter(|_| self.biz_ids.len() == 1);
        let biz_id = name(claims, &self.biz_claim)?
            .or_else(|| only.cloned())
            .ok_or(Refusal::TokenClaims)?;
        if !self.biz_ids.contains(&biz_id) {
            return Err(Refusal::BizNotAllowed);
        }
        let user_id = name(claims, &self.user_claim)?.ok_or(Refusal::TokenClaims)?;
        let identity = Identity::new(&biz_id, &user_id);
        let identity = match name(claims, &self.device_claim)? {
            Some(device_id) => identity.at_device(&device_id),
            None => identity,
        };
        let expires_at = match self.on_expiry {
            OnExpiry::Close => self.expires_at(claims, now),
            OnExpiry::Keep => None,
        };
        Ok(Authenticated {
            identity,
            expires_at,
        })
    }

    /// On the runtime's clock. `None` where that is so far away that it is as good as never.
    fn expires_at(&self, claims: &Claims, now: Duration) -> Option<Instant> {
        let exp = claims.get("exp").and_then(Value::as_f64)?;
        let left = Duration::try_from_secs_f64((exp - now.as_secs_f64()).max(0.0)).ok()?;
        (left < NEVER).then(|| Instant::now() + left + self.leeway)
    }
}

/// `exp`, `nbf`, `aud` and `iss`, as this issuer's tokens must have them.
fn set_checks(validation: &mut jsonwebtoken::Validation, config: &JwtIssuer) {
    // Time is looked at with the clock of the node.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.set_issuer(&[&config.issuer]);
    let mut required = vec!["exp"];
    if !config.accept_without_iss {
        required.push("iss");
    }
    if !config.audience.is_empty() {
        validation.set_audience(&config.audience);
        required.push("aud");
    }
    validation.set_required_spec_claims(&required);
}

fn refusal_of(error: &ErrorKind) -> Refusal {
    match error {
        ErrorKind::InvalidSignature => Refusal::TokenSignature,
        ErrorKind::InvalidAudience => Refusal::TokenAudience,
        ErrorKind::InvalidIssuer => Refusal::TokenIssuer,
        ErrorKind::InvalidAlgorithm => Refusal::TokenKey,
        ErrorKind::MissingRequiredClaim(claim) => match claim.as_str() {
            "exp" => Refusal::TokenExpired,
            "aud" => Refusal::TokenAudience,
            _ => Refusal::TokenIssuer,
        },
        _ => Refusal::TokenMalformed,
    }
}

/// A claim that names something: a text, or a whole number. `None` where it is not there.
fn name(claims: &Claims, claim: &str) -> Result<Option<String>, Refusal> {
    let name = match claims.get(claim) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) if number.is_u64() || number.is_i64() => number.to_string(),
        Some(_) => return Err(Refusal::TokenClaims),
    };
    if is_name(&name) {
        Ok(Some(name))
    } else {
        Err(Refusal::TokenClaims)
    }
}
