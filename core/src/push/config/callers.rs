//! `auth:` of a push source: who may push for which businesses.

use linkgate_filter::problem::{Path, Problems};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::reception::{Tls, credentials};
use crate::secret::Secret;

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
    pub(super) fn check(&self, tls: Option<&Tls>, problems: &mut Problems) {
        let name = self.client_cert.as_deref();
        credentials::check(self.token.as_ref(), name, tls, problems);
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
