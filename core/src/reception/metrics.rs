//! What is counted of callers' connections.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What is counted, for all addresses of the node.
#[derive(Clone, Debug, Default)]
pub struct ReceptionMetrics {
    open: Family<Open, Gauge>,
    unfinished: Family<Of, Gauge>,
    refused: Family<Refused, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    address: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Open {
    address: String,
    who: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    address: String,
    reason: &'static str,
}

/// Why a caller's connection or request was given up. In the order of [`Reason::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There are as many strangers as may be: the one that was here longest had to leave.
    Crowded,
    /// There are as many callers as may be.
    Full,
    /// Nothing was asked in time.
    Silent,
    /// A request did not come whole in time.
    Slow,
    /// There is no room for more of what has not come whole.
    Unfinished,
    /// The connection ended with an error of its protocol.
    Protocol,
    /// It has not shown that it may do this.
    Unknown,
}

impl Reason {
    pub(super) const ALL: [Self; 7] = [
        Self::Crowded,
        Self::Full,
        Self::Silent,
        Self::Slow,
        Self::Unfinished,
        Self::Protocol,
        Self::Unknown,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Crowded => "crowded",
            Self::Full => "full",
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Unfinished => "unfinished",
            Self::Protocol => "protocol",
            Self::Unknown => "unknown",
        }
    }

    /// The reason as the log has it.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Crowded => {
                "`connections.strangers` are open: one of them was closed for a new one"
            }
            Self::Full => "`connections.max` or `connections.per_ip` is reached",
            Self::Silent => "it asked nothing within `connections.handshake`",
            Self::Slow => "its request did not come whole within `connections.request`",
            Self::Unfinished => "requests that have not come whole reach `connections.unfinished`",
            Self::Protocol => "its connection ended with a protocol error",
            Self::Unknown => "it has not shown that it may do this",
        }
    }
}

impl ReceptionMetrics {
    /// Shows them as `caller_...` in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("caller");
        registry.register(
            "connections",
            "Connections of callers that are known (`caller`) and of those that are not yet (`stranger`)",
            self.open.clone(),
        );
        registry.register(
            "unfinished_bytes",
            "What callers' requests that have not come whole weigh",
            self.unfinished.clone(),
        );
        registry.register(
            "refusals",
            "Connections and requests of callers that were given up, by reason",
            self.refused.clone(),
        );
    }

    /// All of them, as the admin address shows them.
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        let mut registry = Registry::default();
        self.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("metrics");
        text
    }

    /// The metrics of one address, all there from the start.
    pub(super) fn of(&self, address: &str) -> Counters {
        let address = address.to_owned();
        let open = |who| {
            let address = address.clone();
            self.open.get_or_create_owned(&Open { address, who })
        };
        let counters = Counters {
            strangers: open("stranger"),
            callers: open("caller"),
            unfinished: self.unfinished.get_or_create_owned(&Of {
                address: address.clone(),
            }),
            refused: self.refused.clone(),
            address,
        };
        for reason in Reason::ALL {
            drop(counters.refused(reason));
        }
        counters
    }
}

/// The metrics of one address.
pub(super) struct Counters {
    strangers: Gauge,
    callers: Gauge,
    unfinished: Gauge,
    refused: Family<Refused, Counter>,
    address: String,
}

impl Counters {
    pub(super) fn open(&self, (strangers, callers): (usize, usize)) {
        self.strangers.set(gauged(strangers));
        self.callers.set(gauged(callers));
    }

    pub(super) fn unfinished(&self, bytes: usize) {
        self.unfinished.set(gauged(bytes));
    }

    pub(super) fn refused(&self, reason: Reason) -> Counter {
        self.refused.get_or_create_owned(&Refused {
            address: self.address.clone(),
            reason: reason.name(),
        })
    }
}

fn gauged(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
