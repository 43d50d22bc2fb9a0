//! Every address that is to be opened, each once.

use std::net::SocketAddr;

use crate::config::diagnostics::{Diagnostic, Diagnostics};
use crate::config::source::Span;
use crate::config::tree::Tree;

/// The addresses so far, and where they were written.
#[derive(Default)]
pub(super) struct Addresses(Vec<(SocketAddr, Span)>);

impl Addresses {
    /// Adds one; `tree` is where it is written. An address that takes another's place is reported.
    pub(super) fn add(&mut self, address: SocketAddr, tree: &Tree, diagnostics: &mut Diagnostics) {
        let written = tree.get("address").unwrap_or(tree);
        if !written.references().is_empty() {
            return;
        }
        let span = written.span;
        if let Some((_, first)) = self.0.iter().find(|(known, _)| overlap(*known, address)) {
            let problem = Diagnostic::at(span, format!("the address {address} is taken already"))
                .also(*first, "it is used here");
            diagnostics.push(problem.hint("choose another port"));
        }
        self.0.push((address, span));
    }
}

/// Whether both cannot be opened. Port 0 is any free port.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same_host = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && same_host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_overlap_by_port_and_host() {
        let overlap = |a: &str, b: &str| overlap(a.parse().unwrap(), b.parse().unwrap());
        assert!(overlap("127.0.0.1:80", "127.0.0.1:80"));
        assert!(overlap("0.0.0.0:80", "127.0.0.1:80"));
        assert!(overlap("127.0.0.1:80", "[::]:80"));
        assert!(!overlap("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!overlap("127.0.0.1:80", "127.0.0.1:81"));
        assert!(!overlap("127.0.0.1:0", "127.0.0.1:0"));
    }
}
