//! A push, as whoever sends it says it.

use std::sync::Arc;
use std::time::SystemTime;

use linkgate_filter::Bytes;

/// A push for one or many users.
#[derive(Clone, Debug)]
pub struct Push {
    /// Names the push; unique within the business while it may be under way.
    pub key: Arc<str>,
    /// The business whose users are meant.
    pub biz_id: Arc<str>,
    /// Opaque to the gateway.
    pub body: Bytes,
    /// Only this device of each receiver.
    pub device_id: Option<Arc<str>>,
    /// Not worth sending after this.
    pub expires_at: Option<SystemTime>,
    /// Whether clients have to acknowledge.
    pub ack: bool,
    /// Delivered only once every connected device has acknowledged, instead of any.
    pub all: bool,
}
