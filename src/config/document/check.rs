//! What is wrong with one part of a document beyond the types of its values.

use linkgate_filter::problem::{Path, Problems};

use super::{GrpcSource, Pipeline};

impl Pipeline {
    /// Notes what does not make sense in the pipeline by itself.
    pub(in crate::config) fn check(&self, problems: &mut Problems) {
        if self.biz_id.is_empty() {
            problems
                .at("biz_id", "the business has no name")
                .hint("write the name that clients' tokens hold");
        }
        if self.listeners.is_empty() {
            problems
                .at("listeners", "this pipeline is served on no listener")
                .hint("name at least one, such as `listeners: [public]`");
        }
        for (i, name) in self.listeners.iter().enumerate() {
            if self.listeners[..i].contains(name) {
                problems
                    .at(
                        Path::from("listeners").then(i),
                        format!("`{name}` is listed twice"),
                    )
                    .hint("remove one of them");
            }
        }
        let limits = &self.limits;
        for (name, value) in [("links", limits.links), ("unsettled", limits.unsettled)] {
            if value == 0 {
                problems
                    .at(["limits", name], "0 would let nothing pass")
                    .hint("write 1 or more, or remove the key for the default");
            }
        }
        if limits.in_line <= limits.unsettled_bytes {
            let message = format!(
                "`in_line` ({}) has to be more than `unsettled_bytes` ({})",
                limits.in_line, limits.unsettled_bytes
            );
            problems
                .at(["limits", "in_line"], message)
                .hint("messages are refused at `unsettled_bytes`; only at `in_line` the socket is not read any more");
        }
    }
}

impl GrpcSource {
    /// Notes what does not make sense in the source by itself.
    pub(in crate::config) fn check(&self, problems: &mut Problems) {
        if self.auth.is_empty() {
            problems.at("auth", "nobody may push here").hint(
                "name a caller: `- { token: \"${file:secrets/push.token}\", biz_ids: [chat] }`",
            );
        }
        let asks_for_certificates = self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        for (i, caller) in self.auth.iter().enumerate() {
            let place = Path::from("auth").then(i);
            if caller.token.is_some() == caller.fingerprint.is_some() {
                problems
                    .at(
                        place.clone(),
                        "a caller is known by either a `token` or a `fingerprint`",
                    )
                    .hint("give one of the two");
            }
            if caller
                .token
                .as_ref()
                .is_some_and(|token| token.expose().len() < 16)
            {
                problems
                    .at(
                        place.clone().then("token"),
                        "this token is shorter than 16 characters",
                    )
                    .hint("make a longer one, for instance with `openssl rand -hex 32`");
            }
            if let Some(fingerprint) = &caller.fingerprint {
                let digits = fingerprint.chars().filter(|c| *c != ':');
                if digits.clone().count() != 64 || !digits.clone().all(|c| c.is_ascii_hexdigit()) {
                    problems
                        .at(
                            place.clone().then("fingerprint"),
                            "this is not a SHA-256 in hex: 64 digits are expected",
                        )
                        .hint("`openssl x509 -noout -fingerprint -sha256 -in cert.pem` prints it");
                }
                if !asks_for_certificates {
                    problems
                        .at(
                            place.clone().then("fingerprint"),
                            "callers are not asked for a certificate here",
                        )
                        .hint("add `tls: { cert: ..., key: ..., client_ca: ... }`");
                }
            }
            if caller.biz_ids.is_empty() {
                problems
                    .at(place.then("biz_ids"), "this caller may push to no business")
                    .hint("name at least one, such as `biz_ids: [chat]`");
            }
        }
    }
}
