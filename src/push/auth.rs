//! Who calls, and for which businesses it may push.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use rustls_pki_types::CertificateDer;
use subtle::ConstantTimeEq;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::config::GrpcCaller;

/// The callers of one source. Clones are the same callers.
#[derive(Clone)]
pub(super) struct Callers(Arc<ArcSwap<Vec<Caller>>>);

struct Caller {
    proof: Proof,
    grant: Grant,
}

enum Proof {
    /// The digest of its token: of one length whatever the token is, so that comparing takes one time.
    Token([u8; 32]),
    /// A name in its certificate.
    Name(String),
}

/// The businesses a caller may push for.
#[derive(Clone)]
pub(super) enum Grant {
    /// There is no authentication here.
    All,
    Of(Arc<HashSet<String>>),
}

impl Grant {
    pub(super) fn covers(&self, biz_id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Of(biz_ids) => biz_ids.contains(biz_id),
        }
    }
}

impl Callers {
    pub(super) fn new(callers: &[GrpcCaller]) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(known(callers))))
    }

    /// From now on these call.
    pub(super) fn replace(&self, callers: &[GrpcCaller]) {
        self.0.store(Arc::new(known(callers)));
    }

    /// Whether nobody has to say who it is.
    pub(super) fn are_open(&self) -> bool {
        self.0.load().is_empty()
    }

    /// Compares with every token, so that the time tells nothing of which one it is like.
    pub(super) fn by_token(&self, token: &str) -> Option<Grant> {
        let token = hash(token);
        let mut found = None;
        for caller in self.0.load().iter() {
            if let Proof::Token(known) = &caller.proof
                && bool::from(known.ct_eq(&token))
            {
                found = Some(caller.grant.clone());
            }
        }
        found
    }

    /// The certificate has been verified in the handshake.
    pub(super) fn by_name(&self, certificate: &CertificateDer<'_>) -> Option<Grant> {
        let names = names(certificate);
        let callers = self.0.load();
        let caller = callers
            .iter()
            .find(|caller| matches!(&caller.proof, Proof::Name(name) if names.contains(name)))?;
        Some(caller.grant.clone())
    }
}

fn known(callers: &[GrpcCaller]) -> Vec<Caller> {
    let caller = |caller: &GrpcCaller| {
        let proof = match (&caller.token, &caller.client_cert) {
            (Some(token), _) => Proof::Token(hash(token.expose())),
            (None, Some(name)) => Proof::Name(name.clone()),
            // Refused by the config's check.
            (None, None) => return None,
        };
        let biz_ids = caller.biz_ids.iter().cloned().collect();
        let grant = Grant::Of(Arc::new(biz_ids));
        Some(Caller { proof, grant })
    };
    callers.iter().filter_map(caller).collect()
}

fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

/// The token of an `authorization` header.
pub(super) fn bearer(header: &str) -> Option<&str> {
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
