//! How callers prove who they are: by a token, or by a name in their certificate. What they may do is not known here.

use std::fmt;
use std::marker::PhantomData;

use aws_lc_rs::digest::{SHA256, digest};
use linkgate_filter::problem::{Path, Problems};
use rustls_pki_types::CertificateDer;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use subtle::ConstantTimeEq;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::Tls;
use crate::secret::Secret;

/// Those who may call, and what each may do.
pub(crate) struct Known<G>(Vec<(Proof, G)>);

/// The certificate that a caller has shown in its handshake. It was verified.
#[derive(Clone)]
pub(crate) struct Shown(pub(crate) CertificateDer<'static>);

enum Proof {
    /// The digest of its token: of one length whatever the token is, so that comparing takes one time.
    Token([u8; 32]),
    /// A name in its certificate.
    Name(String),
}

impl<G> Known<G> {
    /// Callers as the configuration has them: a token or a name each, and what they may do.
    pub(crate) fn new<'a>(
        callers: impl Iterator<Item = (Option<&'a Secret>, Option<&'a str>, G)>,
    ) -> Self {
        let known = |(token, name, grant): (Option<&Secret>, Option<&str>, G)| {
            let proof = match (token, name) {
                (Some(token), _) => Proof::Token(hash(token.expose())),
                (None, Some(name)) => Proof::Name(name.to_owned()),
                // Refused by the config's check.
                (None, None) => return None,
            };
            Some((proof, grant))
        };
        Self(callers.filter_map(known).collect())
    }

    /// Whether nobody has to say who it is.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares with every token, so that the time tells nothing of which one it is like.
    pub(crate) fn by_token(&self, token: &str) -> Option<&G> {
        let token = hash(token);
        let mut found = None;
        for (proof, grant) in &self.0 {
            if let Proof::Token(known) = proof
                && bool::from(known.ct_eq(&token))
            {
                found = Some(grant);
            }
        }
        found
    }

    /// By the names in a certificate that was verified.
    pub(crate) fn by_certificate(&self, Shown(certificate): &Shown) -> Option<&G> {
        let names = names(certificate);
        let is_named = |proof: &Proof| matches!(proof, Proof::Name(name) if names.contains(name));
        let (_, grant) = self.0.iter().find(|(proof, _)| is_named(proof))?;
        Some(grant)
    }
}

fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

/// The token of an `authorization` header.
pub(crate) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The common name, and the DNS names and URIs among the alternative names.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let common = certificate.subject().iter_common_name();
    let mut names: Vec<_> = common
        .filter_map(|name| name.as_str().ok())
        .map(str::to_owned)
        .collect();
    if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
        for name in &alternative.value.general_names {
            if let GeneralName::DNSName(name) | GeneralName::URI(name) = name {
                names.push((*name).to_owned());
            }
        }
    }
    names
}

const SHORTEST_TOKEN: usize = 16;

/// Notes what is wrong with how a caller is to be known.
pub(crate) fn check(
    token: Option<&Secret>,
    client_cert: Option<&str>,
    tls: Option<&Tls>,
    problems: &mut Problems,
) {
    match (token, client_cert) {
        (None, None) => {
            problems
                .at(Path::root(), "nothing says how the caller is known")
                .hint("add `token: \"${file:secrets/push.token}\"` or `client_cert: name`");
        }
        (Some(_), Some(_)) => {
            problems
                .at("client_cert", "the caller is known by its `token` already")
                .hint("make two callers of them, or remove one");
        }
        (Some(token), None) => check_token(token, problems),
        (None, Some(name)) => check_cert(name, tls, problems),
    }
}

fn check_token(token: &Secret, problems: &mut Problems) {
    let token = token.expose();
    if token.len() < SHORTEST_TOKEN {
        let what = "a token shorter than 16 characters can be guessed";
        problems
            .at("token", what)
            .hint("make one with `openssl rand -hex 32`");
    } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        problems
            .at(
                "token",
                "the token has a character that a header cannot carry",
            )
            .hint("use ASCII letters, digits and signs, without spaces or line ends");
    }
}

fn check_cert(name: &str, tls: Option<&Tls>, problems: &mut Problems) {
    if name.is_empty() {
        problems.at("client_cert", "a certificate's name is not empty");
    }
    if tls.is_none_or(|tls| tls.client_ca.is_none()) {
        problems
            .at("client_cert", "callers are not asked for certificates here")
            .hint("add `tls: { cert, key, client_ca }` beside `auth`");
    }
}

/// Reads one caller or a list of them. (An untagged enum would lose the place of what is wrong.)
pub(crate) fn one_or_many<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct OneOrMany<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a caller with `token` or `client_cert`, or a list of them")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map)).map(|caller| vec![caller])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }
    deserializer.deserialize_any(OneOrMany(PhantomData))
}

pub(crate) fn one_or_many_schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let one = generator.subschema_for::<T>();
    json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
}
