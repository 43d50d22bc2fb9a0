//! What a listener compresses.

use linkgate_filter::units::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;

/// Compression of messages (permessage-deflate, RFC 7692), for clients that offer it as browsers do. It trades processor
/// time for traffic: worth it for text and JSON, not for bodies that are encrypted or compressed already. Where secrets and
/// what an attacker can choose share messages, the size of a compressed message may tell of the secrets.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Compression {
    /// Agree to compression where a client offers it; `false` by default. Other clients are served as ever.
    pub enabled: bool,
    /// Messages to a client that are smaller are sent as they are; `256B` by default, at most `64MiB`. Clients decide for
    /// themselves what they compress.
    pub min_size: ByteSize,
    /// Whether a message may refer to earlier ones of its link; `false` by default. `true` packs small messages much
    /// better, but each link then keeps its state while it is idle: 245 to 370 KiB once it has been sent a compressed
    /// message, and 48 KiB once it has sent one. With `false` a link keeps nothing between messages; the state is the worker
    /// threads', and a link holds 48 KiB only while a compressed message of its client is half there.
    pub context_takeover: bool,
    /// The window that messages are packed with, as a power of two in bytes; `15` (32 KiB) by default, 9 to 15. It takes
    /// 370 KiB to pack with 15, 245 KiB with 9. A client that wants a smaller one gets it; one that wants 8 is served without
    /// compression. Clients that can are held to it likewise.
    #[schemars(range(min = 9, max = 15))]
    pub window_bits: u8,
    /// How hard messages are packed: `1` (fast) to `9` (small); `4` by default. 1 MiB of JSON takes 5 ms with 1, 8 ms with
    /// 4 and 45 ms with 9, and the worker thread does nothing else meanwhile.
    #[schemars(range(min = 1, max = 9))]
    pub level: u8,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            enabled: false,
            min_size: ByteSize::new(256),
            context_takeover: false,
            window_bits: 15,
            level: 4,
        }
    }
}
