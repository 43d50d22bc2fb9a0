//! Where the parts of the quickstart listen: at the ports that options give, else at fixed ones, or at free ones where
//! those are taken.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Ports that the command line gives.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Ports {
    /// Port of the gateway, for clients; 0 for any free one [default: 8080, or a free one]
    #[arg(long, value_name = "PORT")]
    gateway_port: Option<u16>,
    /// Port of the chat page; 0 for any free one [default: 8081, or a free one]
    #[arg(long, value_name = "PORT")]
    page_port: Option<u16>,
    /// Port of the admin address; 0 for any free one [default: 9901, or a free one]
    #[arg(long, value_name = "PORT")]
    admin_port: Option<u16>,
    /// Port for pushes by gRPC; 0 for any free one [default: 9902, or a free one]
    #[arg(long, value_name = "PORT")]
    push_port: Option<u16>,
    /// Port of the sample backend; 0 for any free one [default: 50051, or a free one]
    #[arg(long, value_name = "PORT")]
    backend_port: Option<u16>,
}

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
    ///
    /// # Errors
    /// A port that was asked for is taken, or none is free.
    pub(super) fn choose(asked: &Ports) -> Result<Self, String> {
        let asked = [
            ("--gateway-port", asked.gateway_port),
            ("--page-port", asked.page_port),
            ("--admin-port", asked.admin_port),
            ("--push-port", asked.push_port),
            ("--backend-port", asked.backend_port),
        ];
        // All are held until all are chosen, so that no two are the same; what was asked for comes first.
        let mut held: [Option<TcpListener>; 5] = Default::default();
        for (held, (option, port)) in held.iter_mut().zip(asked) {
            if let Some(port) = port {
                let bound = bind(port).map_err(|e| format!("{option} {port}: {e}"))?;
                *held = Some(bound);
            }
        }
        for (held, fixed) in held.iter_mut().zip(PORTS) {
            if held.is_none() {
                let bound = bind(fixed).or_else(|_| bind(0));
                *held = Some(bound.map_err(|e| no_port(&e))?);
            }
        }
        let addresses = held.iter().flatten().map(TcpListener::local_addr);
        let addresses: Vec<_> = addresses
            .collect::<io::Result<_>>()
            .map_err(|e| no_port(&e))?;
        Ok(Self {
            gateway: addresses[0],
            page: addresses[1],
            admin: addresses[2],
            push: addresses[3],
            backend: addresses[4],
        })
    }

    /// As these, but at free ports where each node has its own.
    ///
    /// # Errors
    /// None is free.
    pub(super) fn elsewhere(&self) -> Result<Self, String> {
        let held: Vec<_> = (0..3)
            .map(|_| bind(0))
            .collect::<io::Result<_>>()
            .map_err(|e| no_port(&e))?;
        let address = |number: usize| held[number].local_addr().map_err(|e| no_port(&e));
        Ok(Self {
            gateway: address(0)?,
            admin: address(1)?,
            push: address(2)?,
            ..*self
        })
    }

    /// The configuration with these addresses.
    pub(super) fn fill(&self, config: &str) -> String {
        let chosen = [self.gateway, self.page, self.admin, self.push, self.backend];
        // Marks first: a chosen port may be another part's fixed one.
        let mark = |part: usize| format!(":<{part}>");
        let mut config = config.to_owned();
        for (part, fixed) in PORTS.iter().enumerate() {
            config = config.replace(&format!(":{fixed}"), &mark(part));
        }
        for (part, chosen) in chosen.iter().enumerate() {
            config = config.replace(&mark(part), &format!(":{}", chosen.port()));
        }
        config
    }
}

fn no_port(error: &io::Error) -> String {
    format!("no free port on 127.0.0.1: {error}")
}

fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
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
    fn a_chosen_port_may_be_anothers_fixed_one() {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let places = Places {
            gateway: at(8081),
            page: at(8080),
            admin: at(9902),
            push: at(50051),
            backend: at(9901),
        };
        let text = places.fill("g :8080 p :8081 a :9901 u :9902 b :50051");
        assert_eq!(text, "g :8081 p :8080 a :9902 u :50051 b :9901");
    }

    #[test]
    fn a_taken_port_gives_way_to_a_free_one_unless_it_was_asked_for() {
        let places = Places::choose(&Ports::default()).unwrap();
        let taken = TcpListener::bind(places.gateway).unwrap();
        let others = Places::choose(&Ports::default()).unwrap();
        assert_ne!(others.gateway, places.gateway);

        let port = taken.local_addr().unwrap().port();
        let asked = Ports {
            page_port: Some(port),
            ..Ports::default()
        };
        let problem = Places::choose(&asked).unwrap_err();
        assert!(
            problem.starts_with(&format!("--page-port {port}: ")),
            "{problem}"
        );
    }
}
