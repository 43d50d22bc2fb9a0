//! `auth:` of a push source: who may push for which businesses.

use std::fmt;

use crate::secret::Secret;
use linkgate_filter::problem::{Path, Problems};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use crate::reception::Tls;

/// A backend that may push, known by its token or by its certificate.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcCaller {
    /// The secret the caller sends as `authorization: Bearer ...`. At least 16 characters.
    #[serde(default)]
    pub token: Option<Secret>,
    /// The name in the caller's certificate, as its common name or as a DNS name or URI among its alternative names.
    /// Needs `tls.client_ca`.
    #[serde(default)]
    pub client_cert: Option<String>,
    /// The businesses whose users the caller may reach.
    #[schemars(length(min = 1))]
    pub biz_ids: Vec<String>,
}

impl GrpcCaller {
    const SHORTEST_TOKEN: usize = 16;

    pub(super) fn check(&self, tls: Option<&Tls>, problems: &mut Problems) {
        match (&self.token, &self.client_cert) {
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
        if self.biz_ids.is_empty() {
            problems
                .at("biz_ids", "the caller may push for no business")
                .hint("name at least one, such as `biz_ids: [chat]`");
        }
        for (i, biz_id) in self.biz_ids.iter().enumerate() {
            if biz_id.is_empty() {
                problems.at(Path::from("biz_ids").then(i), "a bizID is not empty");
            }
        }
    }
}

fn check_token(token: &Secret, problems: &mut Problems) {
    let token = token.expose();
    if token.len() < GrpcCaller::SHORTEST_TOKEN {
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
            .hint("add `tls: { cert, key, client_ca }` to the source");
    }
}

/// Reads one caller or a list of them. (An untagged enum would lose the place of what is wrong.)
pub(super) fn one_or_many<'de, D>(deserializer: D) -> Result<Vec<GrpcCaller>, D::Error>
where
    D: Deserializer<'de>,
{
    struct OneOrMany;
    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Vec<GrpcCaller>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a caller with `token` or `client_cert`, or a list of them")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            GrpcCaller::deserialize(MapAccessDeserializer::new(map)).map(|caller| vec![caller])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }
    deserializer.deserialize_any(OneOrMany)
}

pub(super) fn one_or_many_schema(generator: &mut SchemaGenerator) -> Schema {
    let one = generator.subschema_for::<GrpcCaller>();
    json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
}
