//! What one entry of `endpoints:` says. Text only: nothing is resolved here.

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Connections are secured by TLS.
    pub tls: bool,
    /// A host name or an address; an IPv6 address in brackets.
    pub host: String,
    /// Never zero.
    pub port: u16,
    /// Every address of the host is an endpoint of its own.
    pub all_addresses: bool,
}

impl Target {
    /// Reads an entry of a backend with or without `tls:`; the error says how to mend it.
    pub(super) fn parse(text: &str, tls: bool) -> Result<Self, &'static str> {
        const FORMS: &str =
            "write `host:port`, `dns:///host:port`, `http://host:port` or `https://host:port`";
        let (tls, all_addresses, authority) = if let Some(rest) = text.strip_prefix("dns:///") {
            (tls, true, rest)
        } else if let Some(rest) = text.strip_prefix("https://") {
            (true, false, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            if tls {
                return Err("write `https://`: the backend has `tls`");
            }
            (false, false, rest)
        } else {
            (tls, false, text)
        };
        let authority = authority.trim_end_matches('/');
        let (host, port) = authority.rsplit_once(':').ok_or(FORMS)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(FORMS)?;
        if !is_host(host) {
            return Err(FORMS);
        }
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
            all_addresses,
        })
    }
}

fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            !text.is_empty() && text.chars().all(known)
        }
    }
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
    fn every_form_is_read() {
        let read = |text, tls| Target::parse(text, tls).unwrap();
        assert_eq!(read("http://a:1", false), target(false, "a", 1, false));
        assert_eq!(read("https://a:1/", false), target(true, "a", 1, false));
        assert_eq!(read("a:1", false), target(false, "a", 1, false));
        assert_eq!(read("a:1", true), target(true, "a", 1, false));
        assert_eq!(read("dns:///a.b:1", true), target(true, "a.b", 1, true));
        let six = read("[::1]:50051", false);
        assert_eq!(six, target(false, "[::1]", 50051, false));
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "",
            "a",
            "http://a",
            "a:0",
            "a:70000",
            "a:http",
            ":1",
            "::1:50051",
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
