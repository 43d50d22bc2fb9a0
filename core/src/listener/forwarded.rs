//! Where a request came from, when trusted proxies stand in front: the right-most address in `X-Forwarded-For`
//! that is not one of theirs. What stands left of it, the client may have written itself.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use super::config::Network;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies whose word about a client's address is taken.
#[derive(Clone, Debug, Default)]
pub(super) struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Trusts the addresses in these networks.
    pub(super) fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Whether `address` is a trusted proxy. An IPv4 address mapped into IPv6 counts as the IPv4 address.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The client's address, for a request with these headers from `peer`.
    ///
    /// Walks `X-Forwarded-For` from the right while the hops are trusted. Stops at the first that is not, or that
    /// is no address; in the latter case the last good hop stands in.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        for value in headers.get_all(X_FORWARDED_FOR).into_iter().rev() {
            for hop in value.as_bytes().rsplit(|byte| *byte == b',') {
                if !self.contains(client) {
                    return client;
                }
                match address(hop) {
                    Some(address) => client = address,
                    None => return client,
                }
            }
        }
        client
    }
}

/// Reads `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]` or `[::1]:80`.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let bare = hop
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(hop);
    let address = bare
        .parse()
        .ok()
        .or_else(|| hop.parse().ok().map(|with_port: SocketAddr| with_port.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn trusted() -> TrustedProxies {
        TrustedProxies::new(vec![
            "10.0.0.0/8".parse().unwrap(),
            "fd00::/8".parse().unwrap(),
        ])
    }

    fn client(peer: &str, values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
        }
        trusted()
            .client(peer.parse().unwrap(), &headers)
            .to_string()
    }

    #[test]
    fn an_untrusted_peer_speaks_for_itself_alone() {
        assert_eq!(client("203.0.113.9", &["1.1.1.1"]), "203.0.113.9");
    }

    #[test]
    fn the_right_most_untrusted_address_wins() {
        assert_eq!(
            client("10.0.0.1", &["6.6.6.6, 198.51.100.7, 10.1.1.1"]),
            "198.51.100.7"
        );
        assert_eq!(
            client("::ffff:10.0.0.1", &["6.6.6.6", "198.51.100.7"]),
            "198.51.100.7"
        );
    }

    #[test]
    fn all_forms_of_an_address_are_read() {
        for hop in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443"] {
            assert_eq!(client("fd00::1", &[hop]), "2001:db8::1");
        }
        assert_eq!(client("10.0.0.1", &["198.51.100.7:5000"]), "198.51.100.7");
    }

    #[test]
    fn what_is_no_address_ends_the_walk() {
        assert_eq!(
            client("10.0.0.1", &["198.51.100.7, unknown, 10.2.2.2"]),
            "10.2.2.2"
        );
        assert_eq!(client("10.0.0.1", &[""]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn with_nothing_but_proxies_the_farthest_stands_in() {
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }

    proptest! {
        #[test]
        fn garbage_never_wins_over_the_untrusted_hop(garbage in "[ -~]{0,80}") {
            let chain = format!("{garbage},198.51.100.7,10.0.0.2");
            prop_assert_eq!(client("10.0.0.1", &[&chain]), "198.51.100.7");
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.insert(X_FORWARDED_FOR, value);
            }
            let untrusted: IpAddr = "203.0.113.9".parse().unwrap();
            prop_assert_eq!(trusted().client(untrusted, &headers), untrusted);
            trusted().client("10.0.0.1".parse().unwrap(), &headers);
        }
    }
}
