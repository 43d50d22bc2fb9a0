//! Keys that tokens are checked with. Each serves one algorithm, which its own kind must allow, so that no token can
//! have a public key taken for a shared secret.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Validation};
use linkgate_filter::problem::{Path, Problem, Problems};

use crate::listener::config::{Algorithm, JwtIssuer};
use crate::secret::Secret;

/// As many keys as one issuer may have: a token without `kid` is tried with all of its algorithm.
const MOST_KEYS: usize = 32;
/// A shorter secret can be found from one token by trying.
const SHORTEST_SECRET: usize = 16;
/// An RSA key has at least 2048 bits.
const SHORTEST_MODULUS: usize = 256;

/// One key, for one algorithm.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) kid: Option<String>,
    pub(super) algorithm: jsonwebtoken::Algorithm,
    pub(super) decoding: DecodingKey,
    pub(super) validation: Validation,
}

impl Key {
    fn new(kid: Option<String>, algorithm: Algorithm, decoding: DecodingKey) -> Self {
        let algorithm = library_name(algorithm);
        Self {
            kid,
            algorithm,
            decoding,
            validation: Validation::new(algorithm),
        }
    }
}

fn library_name(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::HS256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::HS384 => jsonwebtoken::Algorithm::HS384,
        Algorithm::HS512 => jsonwebtoken::Algorithm::HS512,
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
    }
}

fn is_hmac(algorithm: Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512
    )
}

/// All keys of an issuer. What is wrong is noted at its path from the issuer's own root.
pub(super) fn of_issuer(issuer: &JwtIssuer, problems: &mut Problems) -> Vec<Key> {
    let single =
        issuer.algorithm.is_some() || issuer.secret.is_some() || issuer.public_key.is_some();
    let ways = [single, !issuer.keys.is_empty(), issuer.jwks.is_some()];
    if ways.iter().filter(|given| **given).count() != 1 {
        problems
            .at(
                "issuer",
                format!(
                    "`{}` needs its keys in exactly one way",
                    issuer.issuer.escape_debug()
                ),
            )
            .hint("give `algorithm` with `secret` or `public_key`, or `keys`, or `jwks`");
        return Vec::new();
    }
    let keys = if let Some(jwks) = &issuer.jwks {
        from_jwks(jwks, problems)
    } else if single {
        let Some(algorithm) = issuer.algorithm else {
            problems
                .at(
                    "issuer",
                    format!("`{}` names no `algorithm`", issuer.issuer.escape_debug()),
                )
                .hint("add `algorithm: HS256`, or whichever the key is for");
            return Vec::new();
        };
        let material = Material {
            secret: issuer.secret.as_ref(),
            public_key: issuer.public_key.as_deref(),
        };
        material
            .key(None, algorithm, &Path::root(), problems)
            .into_iter()
            .collect()
    } else {
        let keys = issuer.keys.iter().enumerate().filter_map(|(i, key)| {
            let material = Material {
                secret: key.secret.as_ref(),
                public_key: key.public_key.as_deref(),
            };
            material.key(
                key.kid.clone(),
                key.algorithm,
                &Path::from("keys").then(i),
                problems,
            )
        });
        keys.collect()
    };
    if keys.len() > MOST_KEYS {
        let place = if issuer.jwks.is_some() {
            "jwks"
        } else {
            "keys"
        };
        problems.at(
            place,
            format!("{} keys are more than {MOST_KEYS}", keys.len()),
        );
    }
    keys
}

/// What a key may be made of.
#[derive(Clone, Copy)]
struct Material<'a> {
    secret: Option<&'a Secret>,
    public_key: Option<&'a str>,
}

impl Material<'_> {
    fn key(
        self,
        kid: Option<String>,
        algorithm: Algorithm,
        place: &Path,
        problems: &mut Problems,
    ) -> Option<Key> {
        let decoding = match (self.secret, self.public_key) {
            (Some(secret), None) if is_hmac(algorithm) => from_secret(secret),
            (None, Some(pem)) if !is_hmac(algorithm) => from_pem(algorithm, pem),
            _ => Err(self.mismatch(algorithm)),
        };
        match decoding {
            Ok(decoding) => Some(Key::new(kid, algorithm, decoding)),
            Err(problem) => {
                problems.extend_under(place, problem.into());
                None
            }
        }
    }

    fn mismatch(self, algorithm: Algorithm) -> Problem {
        let (needed, other) = if is_hmac(algorithm) {
            ("secret", "public_key")
        } else {
            ("public_key", "secret")
        };
        let has_other = if needed == "secret" {
            self.public_key.is_some()
        } else {
            self.secret.is_some()
        };
        let mut problem = Problem::new("algorithm", format!("{algorithm:?} needs a `{needed}`"));
        if has_other {
            problem.hint(format!("remove `{other}`, or name the algorithm it is for"));
        } else {
            problem.hint(format!("add `{needed}: \"${{file:...}}\"`"));
        }
        problem
    }
}

fn from_secret(secret: &Secret) -> Result<DecodingKey, Problem> {
    let text = secret.expose();
    if text.contains("-----BEGIN") {
        let mut problem = Problem::new("secret", "is a PEM key, which is no shared secret");
        problem.hint("give it as `public_key`, with RS256, ES256 or EdDSA as `algorithm`");
        return Err(problem);
    }
    if text.len() < SHORTEST_SECRET {
        let mut problem = Problem::new(
            "secret",
            format!("has {} bytes, less than {SHORTEST_SECRET}", text.len()),
        );
        problem.hint(
            "a short secret can be found out from one token: make one with `openssl rand -hex 32`",
        );
        return Err(problem);
    }
    Ok(DecodingKey::from_secret(text.as_bytes()))
}

fn from_pem(algorithm: Algorithm, pem: &str) -> Result<DecodingKey, Problem> {
    let public = [
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN RSA PUBLIC KEY-----",
    ];
    if !public
        .iter()
        .any(|begin| pem.trim_start().starts_with(begin))
    {
        let mut problem = Problem::new("public_key", "is not a public key in PEM");
        problem.hint(if pem.contains("PRIVATE KEY") {
            "a private key does not belong here: `openssl pkey -in private.pem -pubout` gives the public one"
        } else if pem.contains("CERTIFICATE") {
            "`openssl x509 -in cert.pem -noout -pubkey` gives the key of a certificate"
        } else {
            "it begins with `-----BEGIN PUBLIC KEY-----`; to read a file write `\"${file:keys/chat.pem}\"`"
        });
        return Err(problem);
    }
    let key = match algorithm {
        Algorithm::RS256 => DecodingKey::from_rsa_pem(pem.as_bytes()),
        Algorithm::ES256 => DecodingKey::from_ec_pem(pem.as_bytes()),
        _ => DecodingKey::from_ed_pem(pem.as_bytes()),
    };
    key.ok()
        .filter(|key| is_usable(algorithm, key))
        .ok_or_else(|| {
            Problem::new(
                "public_key",
                format!(
                    "is not a key for {algorithm:?}, which needs {}",
                    needed(algorithm)
                ),
            )
        })
}

fn needed(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RS256 => "an RSA key of 2048 to 8192 bits",
        Algorithm::ES256 => "a key on the curve P-256",
        Algorithm::EdDSA => "an Ed25519 key",
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => "a shared secret",
    }
}

/// Whether the crypto library will take the key, which it would otherwise tell at the first token.
fn is_usable(algorithm: Algorithm, key: &DecodingKey) -> bool {
    let Ok(bytes) = key.try_get_as_bytes() else {
        return false;
    };
    match algorithm {
        Algorithm::RS256 => ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, bytes).is_ok(),
        Algorithm::ES256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes).is_ok(),
        Algorithm::EdDSA => ParsedPublicKey::new(&ED25519, bytes).is_ok(),
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => bytes.len() >= SHORTEST_SECRET,
    }
}

/// The keys of a set that serve a known algorithm. Others are passed over, as RFC 7517 asks.
fn from_jwks(text: &Secret, problems: &mut Problems) -> Vec<Key> {
    // The parser's own words may repeat a part of the text, which may hold secrets.
    let set: JwkSet = match serde_json::from_str(text.expose()) {
        Ok(set) => set,
        Err(error) => {
            let place = format!(
                "line {}, column {} of its text",
                error.line(),
                error.column()
            );
            problems
                .at("jwks", format!("is not a JSON Web Key Set ({place})"))
                .hint("it looks like `{\"keys\": [...]}`; to read a file write `\"${file:keys/chat.jwks.json}\"`");
            return Vec::new();
        }
    };
    let mut keys = Vec::new();
    for (i, jwk) in set.keys.iter().enumerate() {
        let Some(algorithm) = jwk_algorithm(jwk) else {
            continue;
        };
        match DecodingKey::from_jwk(jwk)
            .ok()
            .filter(|key| is_usable_jwk(algorithm, jwk, key))
        {
            Some(key) => keys.push(Key::new(jwk.common.key_id.clone(), algorithm, key)),
            None => {
                let needed = needed(algorithm);
                problems.at(
                    "jwks",
                    format!(
                        "its key {} is no key for {algorithm:?}, which needs {needed}",
                        i + 1
                    ),
                );
            }
        }
    }
    if keys.is_empty() && problems.is_empty() {
        problems
            .at("jwks", "holds no key to check tokens with")
            .hint("keys of HS256, HS384, HS512, RS256, ES256 and EdDSA are taken");
    }
    keys
}

/// The one algorithm that a key of a set serves: the one it names, if its own kind allows it, or its kind's usual one.
fn jwk_algorithm(jwk: &Jwk) -> Option<Algorithm> {
    use jsonwebtoken::jwk::KeyAlgorithm as Named;

    if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
        return None;
    }
    match (&jwk.algorithm, jwk.common.key_algorithm) {
        (AlgorithmParameters::RSA(_), None | Some(Named::RS256)) => Some(Algorithm::RS256),
        (AlgorithmParameters::EllipticCurve(key), None | Some(Named::ES256))
            if key.curve == EllipticCurve::P256 =>
        {
            Some(Algorithm::ES256)
        }
        (AlgorithmParameters::OctetKeyPair(key), None | Some(Named::EdDSA))
            if key.curve == EllipticCurve::Ed25519 =>
        {
            Some(Algorithm::EdDSA)
        }
        (AlgorithmParameters::OctetKey(_), Some(Named::HS256)) => Some(Algorithm::HS256),
        (AlgorithmParameters::OctetKey(_), Some(Named::HS384)) => Some(Algorithm::HS384),
        (AlgorithmParameters::OctetKey(_), Some(Named::HS512)) => Some(Algorithm::HS512),
        _ => None,
    }
}

fn is_usable_jwk(algorithm: Algorithm, jwk: &Jwk, key: &DecodingKey) -> bool {
    match &jwk.algorithm {
        // Kept as modulus and exponent, not as one encoded key. Base64 has 4 characters for 3 bytes.
        AlgorithmParameters::RSA(rsa) => rsa.n.len() * 3 / 4 >= SHORTEST_MODULUS,
        _ => is_usable(algorithm, key),
    }
}
