//! Requests and answers of the wire into those of the router and back.

mod json;
mod legacy;

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use linkgate_filter::Fault;
use linkgate_proto::v1;

pub(super) use self::json::from_json;
pub(super) use self::legacy::from_protobuf;
use super::message::Push;
use super::outcome::{ReceiverOutcome, Status};

/// The code of a push that makes no sense.
pub(super) const INVALID: &str = "push.invalid";

/// The code of a push to a business that the caller is not bound to.
pub(super) const FORBIDDEN: &str = "push.forbidden";

/// Receivers of one push.
const MOST_RECEIVERS: usize = 1_000;

/// Bytes of a key: as many as `codec` takes in an acknowledgement unless told otherwise.
const LONGEST_KEY: usize = 128;

/// Bytes of a bizID, a user or a device.
const LONGEST_NAME: usize = 256;

/// A request that makes sense, and who is to get it.
pub(super) fn read(request: v1::PushRequest) -> Result<(Push, Vec<String>), Fault> {
    let invalid = |detail: String| Fault::backend(INVALID).detail(detail);
    name("key", &request.key, LONGEST_KEY).map_err(invalid)?;
    name("biz_id", &request.biz_id, LONGEST_NAME).map_err(invalid)?;
    if let Some(device_id) = &request.device_id {
        name("device_id", device_id, LONGEST_NAME).map_err(invalid)?;
    }
    let receivers = request.receiver_ids;
    if receivers.is_empty() || receivers.len() > MOST_RECEIVERS {
        let count = receivers.len();
        return Err(invalid(format!(
            "`receiver_ids` has {count} entries, not 1 to {MOST_RECEIVERS}"
        )));
    }
    let mut seen = HashSet::with_capacity(receivers.len());
    for receiver in &receivers {
        name("receiver_ids", receiver, LONGEST_NAME).map_err(invalid)?;
        if !seen.insert(receiver.as_str()) {
            return Err(invalid("`receiver_ids` names a user twice".to_owned()));
        }
    }
    let push = Push {
        key: request.key.into(),
        biz_id: request.biz_id.into(),
        body: request.body,
        device_id: request.device_id.map(Into::into),
        expires_at: request.expires_at.map(instant),
        ack: request.ack.unwrap_or(true),
        all: request.all,
    };
    Ok((push, receivers))
}

fn name(field: &str, text: &str, longest: usize) -> Result<(), String> {
    match text.len() {
        0 => Err(format!("`{field}` is empty")),
        length if length > longest => Err(format!("`{field}` is longer than {longest} bytes")),
        _ => Ok(()),
    }
}

/// Times before 1970 are long past whatever they are; those too far off to count are as good as the farthest.
fn instant(unix_ms: i64) -> SystemTime {
    let since = Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0));
    SystemTime::UNIX_EPOCH
        .checked_add(since)
        .unwrap_or(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40))
}

/// Milliseconds since 1970.
pub(super) fn unix_ms(at: SystemTime) -> i64 {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The push as a request, for these receivers.
pub(super) fn write(push: &Push, receivers: Vec<String>) -> v1::PushRequest {
    v1::PushRequest {
        key: push.key.to_string(),
        biz_id: push.biz_id.to_string(),
        receiver_ids: receivers,
        body: push.body.clone(),
        device_id: push.device_id.as_deref().map(str::to_owned),
        expires_at: push.expires_at.map(unix_ms),
        ack: Some(push.ack),
        all: push.all,
    }
}

pub(super) fn outcome(receiver_id: String, outcome: ReceiverOutcome) -> v1::ReceiverOutcome {
    v1::ReceiverOutcome {
        receiver_id,
        status: status(outcome.status).into(),
        reason: outcome.reason.map(Into::into),
    }
}

pub(super) fn status(status: Status) -> v1::receiver_outcome::Status {
    use v1::receiver_outcome::Status as Wire;
    match status {
        Status::Delivered => Wire::Delivered,
        Status::Sent => Wire::Sent,
        Status::Offline => Wire::Offline,
        Status::Expired => Wire::Expired,
        Status::Rejected => Wire::Rejected,
    }
}
