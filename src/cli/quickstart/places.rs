//! Where the parts of the quickstart listen: at fixed ports, or at free ones where those are taken.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// An address on loopback for each part.
#[derive(Debug, PartialEq)]
pub(super) struct Places {
    pub(super) gateway: SocketAddr,
    pub(super) page: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) push: SocketAddr,
    pub(super) backend: SocketAddr,
}

/// The ports in the configuration, in the order of the fields.
const PORTS: [u16; 5] = [8080, 8081, 9901, 9902, 50051];

impl Places {
    /// Finds ports that are free now.
    pub(super) fn choose() -> io::Result<Self> {
        let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        // All are held until all are chosen, so that no two are the same.
        let fixed = PORTS.map(|port| bind(port).ok());
        let mut held = Vec::with_capacity(PORTS.len());
        for listener in fixed {
            held.push(listener.map_or_else(|| bind(0), Ok)?);
        }
        let address = |i: usize| held[i].local_addr();
        Ok(Self {
            gateway: address(0)?,
            page: address(1)?,
            admin: address(2)?,
            push: address(3)?,
            backend: address(4)?,
        })
    }

    /// The configuration with these addresses.
    pub(super) fn fill(&self, config: &str) -> String {
        let chosen = [self.gateway, self.page, self.admin, self.push, self.backend];
        // No chosen port is another's fixed one: both would have been held.
        PORTS
            .iter()
            .zip(chosen)
            .fold(config.to_owned(), |config, (fixed, chosen)| {
                config.replace(&format!(":{fixed}"), &format!(":{}", chosen.port()))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_ports_are_replaced_in_the_configuration() {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let places = Places {
            gateway: at(1),
            page: at(2),
            admin: at(3),
            push: at(4),
            backend: at(5),
        };
        let text = places.fill(super::super::CONFIG);
        for line in [
            "admin: { address: 127.0.0.1:3 }",
            "address: 127.0.0.1:1\n",
            "http://localhost:2",
            "127.0.0.1:5\"",
            ":4\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(
            !PORTS.iter().any(|port| text.contains(&port.to_string())),
            "{text}"
        );
    }

    #[test]
    fn a_taken_port_gives_way_to_a_free_one() {
        let places = Places::choose().unwrap();
        let _taken = TcpListener::bind(places.gateway).unwrap();
        assert_ne!(Places::choose().unwrap().gateway, places.gateway);
    }
}
