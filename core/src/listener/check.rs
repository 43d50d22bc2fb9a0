//! What of a listener's config makes no sense, all of it at once. It stands beside the config, which knows nothing of
//! the rooms that prepare its parts.

use linkgate_filter::problem::{Path, Problems};
use linkgate_filter::units::ByteSize;

use super::auth::Authenticator;
use super::config::{
    AdmissionConfig, AuthConfig, Compression, LinksPerSecond, ListenerConfig, ProxyProtocol,
    Timeouts, WebSocketOptions,
};
use super::origin::Origins;
use super::tls;
use crate::link::SecondLogin;

impl ListenerConfig {
    /// Notes everything that is wrong with this listener, each at its path from the listener's own root; not what is wrong
    /// with its certificate.
    pub fn check(&self, problems: &mut Problems) {
        self.check_name(problems);
        self.check_proxies(problems);
        self.check_exposure(problems);
        self.check_health(problems);
        self.websocket.check(problems);
        self.timeouts.check(problems);
        self.admission.check(problems);
        if let SecondLogin::Allow(0) = self.second_login {
            problems
                .at(["second_login", "allow"], "0 would let nobody in")
                .hint("write 1 or more, `replace` or `reject`");
        }
        gather(
            problems,
            "origins",
            Origins::prepare(&self.origins).map(drop),
        );
        gather(
            problems,
            "auth",
            Authenticator::prepare(&self.auth).map(drop),
        );
    }

    /// Notes what is wrong with the certificate.
    pub fn check_certificate(&self, problems: &mut Problems) {
        if let Some(tls) = &self.tls {
            gather(problems, "tls", tls::server_config(tls).map(drop));
        }
    }

    fn check_name(&self, problems: &mut Problems) {
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(letters) {
            problems
                .at(
                    "name",
                    format!("`{}` is not a listener's name", self.name.escape_debug()),
                )
                .hint("use letters, digits, `_` and `-`, at most 64");
        }
    }

    fn check_proxies(&self, problems: &mut Problems) {
        if self.proxy_protocol != ProxyProtocol::Off && self.trusted_proxies.is_empty() {
            problems
                .at(
                    "proxy_protocol",
                    "no proxy is trusted, so no PROXY header would ever be read",
                )
                .hint("name the load balancers' networks in `trusted_proxies`");
        }
    }

    fn check_health(&self, problems: &mut Problems) {
        let Some(path) = &self.health else {
            return;
        };
        if !is_path(path) {
            problems
                .at("health", format!("`{}` is not a path", path.escape_debug()))
                .hint("write it as `/healthz`, without a query");
        } else if *path == self.websocket.path {
            problems
                .at("health", "is the path of links, `websocket.path`")
                .hint("write another path, such as `/healthz`");
        }
    }

    fn check_exposure(&self, problems: &mut Problems) {
        let insecure = self.auth == AuthConfig::InsecureQuery;
        if insecure
            && !self.address.ip().to_canonical().is_loopback()
            && !self.expose_insecure_query
        {
            problems
                .at("auth", format!("`insecure_query` on {} lets anybody be anybody", self.address))
                .hint("use `jwt`, listen on 127.0.0.1, or add `expose_insecure_query: true` to the listener");
        }
        if self.expose_insecure_query && !insecure {
            problems
                .at(
                    "expose_insecure_query",
                    "is of use with `auth: insecure_query` only",
                )
                .on_key()
                .hint("remove it");
        }
    }
}

/// The largest message either way: what is larger belongs into a file store.
const LARGEST_MESSAGE: ByteSize = ByteSize::mib(64);

impl WebSocketOptions {
    fn check(&self, problems: &mut Problems) {
        if !is_path(&self.path) {
            problems
                .at(
                    ["websocket", "path"],
                    format!("`{}` is not a path", self.path.escape_debug()),
                )
                .hint("write it as `/ws`, without a query");
        }
        let sizes = [
            (
                "max_message",
                self.max_message,
                ByteSize::new(1),
                LARGEST_MESSAGE,
            ),
            (
                "max_outgoing",
                self.max_outgoing,
                ByteSize::new(1),
                LARGEST_MESSAGE,
            ),
            (
                "max_queued",
                self.max_queued,
                ByteSize::kib(1),
                LARGEST_MESSAGE,
            ),
            (
                "max_bytes_per_second",
                self.max_bytes_per_second,
                self.max_message,
                ByteSize::mib(1024),
            ),
            (
                "max_unfinished",
                self.max_unfinished,
                self.max_message,
                ByteSize::mib(64 * 1024),
            ),
            (
                "max_unfinished_per_ip",
                self.unfinished_of_one(),
                self.max_message,
                self.max_unfinished,
            ),
            (
                "max_header",
                self.max_header,
                ByteSize::kib(1),
                ByteSize::kib(64),
            ),
        ];
        for (key, size, min, max) in sizes {
            if size < min || size > max {
                problems.at(
                    ["websocket", key],
                    format!("{size} is not between {min} and {max}"),
                );
            }
        }
        self.compression.check(problems);
    }
}

impl Compression {
    fn check(&self, problems: &mut Problems) {
        let at = |key: &str| Path::from(["websocket", "compression", key]);
        if self.min_size > LARGEST_MESSAGE {
            problems
                .at(
                    at("min_size"),
                    format!("{} is more than any message holds", self.min_size),
                )
                .hint(format!(
                    "write {LARGEST_MESSAGE} at most; to compress nothing, leave `compression` out"
                ));
        }
        if !(9..=15).contains(&self.window_bits) {
            problems
                .at(
                    at("window_bits"),
                    format!("{} is not between 9 and 15", self.window_bits),
                )
                .hint("15 packs best, in 370 KiB for a compressor; 9 takes 245 KiB");
        }
        if !(1..=9).contains(&self.level) {
            problems
                .at(
                    at("level"),
                    format!("{} is not between 1 and 9", self.level),
                )
                .hint("1 is fastest, 9 packs best; for no compression write `enabled: false`");
        }
    }
}

impl Timeouts {
    fn check(&self, problems: &mut Problems) {
        for (key, timeout) in [
            ("handshake", self.handshake),
            ("idle", self.idle),
            ("ping", self.ping),
            ("message", self.message),
            ("write", self.write),
            ("close", self.close),
        ] {
            if timeout.is_zero() {
                problems.at(["timeouts", key], "must be more than 0");
            }
        }
        if self.ping >= self.idle {
            problems
                .at(["timeouts", "ping"], format!("{} is not less than `idle`, {}", self.ping, self.idle))
                .hint("a quiet link would be closed before it is pinged: lower `ping` or raise `idle`");
        }
    }
}

impl AdmissionConfig {
    fn check(&self, problems: &mut Problems) {
        let mut positive = |key: &str, number: Option<u32>| {
            if number == Some(0) {
                problems
                    .at(["admission", key], "0 would let nobody in")
                    .hint("write 1 or more");
            }
        };
        positive("max_links", Some(self.max_links));
        positive("per_ip", self.per_ip);
        positive("max_handshakes", Some(self.max_handshakes));
        positive("handshakes_per_ip", self.handshakes_per_ip);
        positive("handshakes_per_network", self.handshakes_per_network);
        if let Some(pace) = &self.links_per_second {
            pace.check(problems);
        }
    }
}

impl LinksPerSecond {
    fn check(&self, problems: &mut Problems) {
        let at = |key: &str| Path::from(["admission", "links_per_second", key]);
        if self.initial == 0 {
            problems
                .at(at("initial"), "0 would let nobody in")
                .hint("write 1 or more");
        }
        if self.every.is_zero() {
            problems.at(at("every"), "must be more than 0");
        }
        match self.max {
            Some(max) if max < self.initial => {
                problems
                    .at(
                        at("max"),
                        format!("{max} is less than `initial`, {}", self.initial),
                    )
                    .hint("raise `max` or lower `initial`");
            }
            Some(max) if max > self.initial && self.step == 0 => {
                problems
                    .at(at("max"), format!("{max} is never reached: `step` is 0"))
                    .hint("give `step`, or leave `max` out");
            }
            None if self.step > 0 => {
                problems
                    .at(at("step"), "the pace would not rise: `max` is `initial`")
                    .hint("give `max`, or leave `step` out");
            }
            _ => {}
        }
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && !text.contains(['?', '#', ' '])
}

/// Takes over a part's problems under its key.
fn gather(problems: &mut Problems, key: &str, part: Result<(), Problems>) {
    if let Err(part) = part {
        problems.extend_under(&key.into(), part);
    }
}

#[cfg(test)]
mod tests;
