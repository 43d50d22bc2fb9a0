//! Where endpoints are, as the configuration writes them. Text only: nothing is resolved here.

use http::Uri;
use http::uri::Scheme;
use linkgate_filter::backend::GrpcBackend;
use linkgate_filter::problem::Problems;

/// What one entry of `endpoints:` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Whether connections are secured by TLS.
    pub(crate) tls: bool,
    /// A host name or an address; an IPv6 address in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Every address of the host is an endpoint of its own.
    pub(crate) all_addresses: bool,
}

const FORMS: &str =
    "write `http://host:port`, `https://host:port`, `host:port` or `dns:///host:port`";

impl Target {
    fn parse(text: &str, tls_configured: bool) -> Result<Self, String> {
        let dns = text.strip_prefix("dns:///");
        let (tls, authority) = match (dns, text.split_once("://")) {
            (Some(authority), _) => (tls_configured, authority),
            (None, None) => (tls_configured, text),
            (None, Some(("https", authority))) => (true, authority),
            (None, Some(("http", _))) if tls_configured => {
                return Err("`http://` contradicts `tls:`: write `https://`".to_owned());
            }
            (None, Some(("http", authority))) => (false, authority),
            (None, Some(_)) => return Err(FORMS.to_owned()),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let uri: Uri = format!("http://{authority}")
            .parse()
            .map_err(|_| FORMS.to_owned())?;
        let plain = uri.path() == "/" && uri.query().is_none() && !authority.contains('@');
        match (uri.host(), uri.port_u16()) {
            (Some(host), Some(port)) if plain && port > 0 => Ok(Self {
                tls,
                host: host.to_owned(),
                port,
                all_addresses: dns.is_some(),
            }),
            (Some(_), None) if plain => Err(format!("the port is missing: {FORMS}")),
            _ => Err(FORMS.to_owned()),
        }
    }

    /// `scheme://host:port` for a host or address in place of the target's own.
    pub(crate) fn uri(&self, host_and_port: &str) -> Option<Uri> {
        let scheme = if self.tls {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        };
        Uri::builder()
            .scheme(scheme)
            .authority(host_and_port)
            .path_and_query("/")
            .build()
            .ok()
    }

    /// `scheme://host:port`.
    pub(crate) fn origin(&self) -> Option<Uri> {
        self.uri(&format!("{}:{}", self.host, self.port))
    }
}

/// Reads all endpoints of a backend. Problems are laid at the entry's `backend`.
pub(crate) fn parse_all(name: &str, backend: &GrpcBackend, problems: &mut Problems) -> Vec<Target> {
    if backend.endpoints.is_empty() {
        problems
            .at("backend", format!("backend `{name}` has no endpoints"))
            .hint(FORMS);
    }
    let mut targets = Vec::new();
    for text in &backend.endpoints {
        match Target::parse(text, backend.tls.is_some()) {
            Ok(target) if !targets.contains(&target) => targets.push(target),
            Ok(_) => {}
            Err(hint) => {
                let message = format!("`{text}` of backend `{name}` is no endpoint");
                problems.at("backend", message).hint(hint);
            }
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(tls: bool, host: &str, port: u16, all_addresses: bool) -> Target {
        Target {
            tls,
            host: host.into(),
            port,
            all_addresses,
        }
    }

    #[test]
    fn endpoints_are_read_in_every_form() {
        let read = |text, tls| Target::parse(text, tls).unwrap();
        assert_eq!(read("http://a:1", false), target(false, "a", 1, false));
        assert_eq!(read("https://a:1/", false), target(true, "a", 1, false));
        assert_eq!(read("a:1", false), target(false, "a", 1, false));
        assert_eq!(read("a:1", true), target(true, "a", 1, false));
        assert_eq!(read("dns:///a.b:1", true), target(true, "a.b", 1, true));
        let six = read("[::1]:50051", false);
        assert_eq!(six, target(false, "[::1]", 50051, false));
        assert_eq!(six.origin().unwrap(), "http://[::1]:50051/");
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "",
            "a",
            "http://a",
            "a:0",
            "a:70000",
            "ftp://a:1",
            "dns://8.8.8.8/a:1",
            "http://a:1/path",
            "http://user:secret@a:1",
            "a b:1",
        ] {
            assert!(Target::parse(text, false).is_err(), "{text}");
        }
        assert!(Target::parse("http://a:1", true).is_err());
    }
}
