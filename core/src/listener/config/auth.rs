//! `auth:` of a listener: who may open a link.

use std::time::Duration;

use linkgate_filter::units::HumanDuration;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::secret::Secret;

/// Who may open a link.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthConfig {
    /// Whoever bears a token of one of these issuers. It comes as `Authorization: Bearer`, as the subprotocol
    /// `linkgate.token.<token>`, or as the query parameter `token`; the first of these that is there counts. A browser
    /// that sends it as a subprotocol must offer a form beside it, since the token itself is never chosen.
    Jwt(Vec<JwtIssuer>),
    /// Anybody, as whomever the query parameters `biz_id`, `user_id` and `device_id` name.
    InsecureQuery,
}

/// Who issues tokens, how they are checked, and for which businesses they may speak.
///
/// The keys are given in one of three ways: `algorithm` with `secret` or `public_key` for a single one, `keys` for
/// several, or `jwks`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtIssuer {
    /// What the tokens' `iss` claim says.
    pub issuer: String,
    /// Take tokens without an `iss` claim as this issuer's, too. `false` by default.
    #[serde(default)]
    pub accept_without_iss: bool,
    /// The bizIDs that this issuer's tokens may speak for. At least one.
    pub biz_ids: Vec<String>,
    /// The algorithm of the single key: `HS256`, `HS384`, `HS512`, `RS256`, `ES256` or `EdDSA`.
    #[serde(default)]
    pub algorithm: Option<Algorithm>,
    /// The shared secret of an `HS...` algorithm, at least 16 bytes: `"${file:secrets/chat.key}"`.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// The public key of another algorithm, as PEM text: `"${file:keys/chat.pem}"`.
    #[serde(default)]
    pub public_key: Option<String>,
    /// Several keys, for rotation. At most 32.
    #[serde(default)]
    pub keys: Vec<JwtKey>,
    /// A JSON Web Key Set as text: `"${file:keys/chat.jwks.json}"`. At most 32 keys. Keys of other kinds or uses than
    /// the algorithms above are passed over.
    #[serde(default)]
    pub jwks: Option<Secret>,
    /// What the tokens' `aud` claim must contain one of. Empty (default): a token that names an audience is refused.
    #[serde(default)]
    pub audience: Vec<String>,
    /// How far clocks may differ when `exp` and `nbf` are checked; `30s` by default, at most `10m`.
    #[serde(default = "default_leeway")]
    pub leeway: HumanDuration,
    /// The claim that names the user, a text or a whole number; `sub` by default.
    #[serde(default = "default_user_claim")]
    pub user_claim: String,
    /// The claim that names the business; `biz_id` by default. With a single one in `biz_ids`, tokens may leave it out.
    #[serde(default = "default_biz_claim")]
    pub biz_claim: String,
    /// The claim that names the device; `device_id` by default. Tokens may leave it out.
    #[serde(default = "default_device_claim")]
    pub device_claim: String,
    /// What happens to an open link when its token expires: `close` (default) or `keep`.
    #[serde(default)]
    pub on_expiry: OnExpiry,
}

/// One key of an issuer.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtKey {
    /// The key's id. A token that names a `kid` is checked with the keys of that id, or, if there are none, with
    /// those that have no id.
    #[serde(default)]
    pub kid: Option<String>,
    /// `HS256`, `HS384`, `HS512`, `RS256`, `ES256` or `EdDSA`. The key serves this one only.
    pub algorithm: Algorithm,
    /// The shared secret of an `HS...` algorithm, at least 16 bytes.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// The public key of another algorithm, as PEM text.
    #[serde(default)]
    pub public_key: Option<String>,
}

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSA (PKCS #1 v1.5) with SHA-256; keys of at least 2048 bits.
    RS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

/// What happens to an open link when its token expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExpiry {
    /// It is closed, with a code that says so.
    #[default]
    Close,
    /// It stays open.
    Keep,
}

fn default_leeway() -> HumanDuration {
    Duration::from_secs(30).into()
}

fn default_user_claim() -> String {
    "sub".to_owned()
}

fn default_biz_claim() -> String {
    "biz_id".to_owned()
}

fn default_device_claim() -> String {
    "device_id".to_owned()
}
