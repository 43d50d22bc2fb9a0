//! `http:` of a push source: `POST /v1/push` on the admin address.

use linkgate_filter::problem::{Path, Problems};
use linkgate_filter::units::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;

use super::GrpcCaller;
use crate::reception::credentials;

/// `POST /v1/push`, served on the admin address.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSource {
    /// Who may push for which businesses: one caller or a list, each known by its token.
    #[serde(deserialize_with = "credentials::one_or_many")]
    #[schemars(schema_with = "credentials::one_or_many_schema::<GrpcCaller>")]
    pub auth: Vec<GrpcCaller>,
    /// The largest push, with all its receivers, as JSON. Default: 1MiB, at most 64MiB.
    #[serde(default = "HttpSource::max_message")]
    pub max_message: ByteSize,
}

impl HttpSource {
    const LARGEST_MESSAGE: ByteSize = ByteSize::mib(64);

    fn max_message() -> ByteSize {
        ByteSize::mib(1)
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        if self.auth.is_empty() {
            problems
                .at("auth", "nobody may push here")
                .hint("add `{ token: \"${file:secrets/push.token}\", biz_ids: [...] }`");
        }
        for (i, caller) in self.auth.iter().enumerate() {
            let mut part = Problems::new();
            caller.check(None, &mut part);
            problems.extend_under(&Path::from("auth").then(i), part);
        }
        if self.max_message.bytes() == 0 || self.max_message > Self::LARGEST_MESSAGE {
            let what = format!("{} is not between 1B and 64MiB", self.max_message);
            problems
                .at("max_message", what)
                .hint("write a size such as `1MiB`");
        }
    }
}
