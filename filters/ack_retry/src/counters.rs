//! What the filter counts, per pipeline entry.

use linkgate_filter::{Counter, Open};

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// The entry's counters, shown as `linkgate_filter_events_total{event}` under these names.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[doc = $doc])* pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn open(cx: &Open<'_>) -> Self {
                Self { $($name: cx.counter(stringify!($name)),)* }
            }
        }
    };
}

counters! {
    /// UPSTREAM_ACKs sent.
    upstream_acks,
    /// Of them, those without the backend's answer, which was too large.
    answers_too_big,
    /// UPSTREAM_NACKs sent.
    upstream_nacks,
    /// Pushes sent for the first time.
    transmitted,
    /// Pushes sent again, as no acknowledgement came.
    retransmitted,
    /// Pushes sent again to a client that has come back.
    resumed,
    /// Pushes acknowledged.
    acked,
    /// Acknowledgements of no pending push: second ones, ones that came too late, ones of keys never sent.
    unknown_acks,
    /// Pushes with the key of a pending one: they share its outcome.
    joined,
    /// Pushes that had to wait for their turn.
    waited,
    /// Pushes refused: too many were pending.
    window_full,
    /// Retransmissions put off: the business had sent enough of them, and so had the node.
    put_off,
    /// Pushes that expired before they were acknowledged.
    expired,
    /// Pushes given up: sent as often or for as long as allowed.
    unacknowledged,
    /// Pushes given up: link after link ended right after they were sent.
    breaks_links,
    /// Pushes pending when their link went away.
    parked,
    /// Pushes given up: the client did not come back in time.
    offline,
    /// Pushes refused: a later link of the client has taken over.
    replaced,
}
