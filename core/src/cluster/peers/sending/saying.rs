//! Frames that are to leave, and what comes back of a delivery.

use std::sync::Arc;
use std::time::Instant;

use linkgate_filter::{Fault, Outcome, Receipt};
use linkgate_proto::v1;
use linkgate_proto::v1::peer_request::Said;

use super::super::wire::{self, Breach};
use super::{GONE, LONGEST_REASON, Shared};
use crate::edges::directory::{ClaimId, Incarnation, MOST_CLAIMS, User};

/// A frame that is to leave.
pub(super) enum Saying {
    Ended(Vec<Incarnation>),
    Fence(User, ClaimId),
    Ask(u64, User),
    Body(u64, Shared, Option<Instant>),
    Deliver(u64, u64, Waiting),
    Forget(u64),
    Park(u64),
}

/// What is known of a delivery until it leaves.
pub(super) struct Waiting {
    pub(super) key: usize,
    pub(super) push: Shared,
    pub(super) expires_at: Option<Instant>,
    pub(super) user: Arc<str>,
    pub(super) claims: Vec<ClaimId>,
    pub(super) is_parked: bool,
    pub(super) receipt: Option<Receipt>,
}

impl Saying {
    pub(super) fn to_wire(&self, now: Instant) -> Said {
        match self {
            Self::Ended(lives) => Said::Ended(v1::EndedLives {
                incarnations: wire::to_ended(lives),
            }),
            Self::Fence(user, claim) => Said::Fence(v1::Fence {
                user: Some(wire::to_user(user)),
                claim: Some(wire::to_claim_id(*claim)),
            }),
            Self::Ask(number, user) => Said::Ask(v1::Ask {
                number: *number,
                user: Some(wire::to_user(user)),
            }),
            Self::Body(number, push, expires_at) => {
                let left = expires_at.map(|at| at.saturating_duration_since(now).as_millis());
                Said::Body(v1::PeerBody {
                    number: *number,
                    key: push.key.to_string(),
                    biz_id: push.biz_id.to_string(),
                    body: push.body.clone(),
                    device_id: push.device_id.as_deref().map(str::to_owned),
                    expires_in_ms: left.map(|left| u64::try_from(left).unwrap_or(u64::MAX)),
                    ack: push.ack,
                    all: push.all,
                })
            }
            Self::Deliver(number, body, waiting) => Said::Deliver(v1::Deliver {
                number: *number,
                body: *body,
                user_id: waiting.user.to_string(),
                claims: waiting
                    .claims
                    .iter()
                    .take(MOST_CLAIMS)
                    .copied()
                    .map(wire::to_claim_id)
                    .collect(),
                parked: waiting.is_parked,
            }),
            Self::Forget(body) => Said::Forget(v1::Forget { body: *body }),
            Self::Park(delivery) => Said::Park(v1::Park {
                delivery: *delivery,
            }),
        }
    }
}

/// What another node says became of a delivery.
pub(in crate::cluster::peers) fn outcome(wire: v1::DeliveryOutcome) -> Result<Outcome, Breach> {
    use v1::receiver_outcome::Status;
    let status = wire.status();
    let reason = match wire.reason {
        Some(reason) if reason.code.len() + reason.detail.len() > LONGEST_REASON => {
            return Err(Breach("a reason is longer than 4,096 bytes"));
        }
        Some(reason) => reason.into(),
        None => Fault::gateway("push.rejected").effect_unknown(),
    };
    Ok(match status {
        Status::Delivered => Outcome::accepted(""),
        Status::Sent => Outcome::sent(),
        // Where else the user may be is for this node to find out.
        Status::Offline => Outcome::from_fault(Fault {
            code: GONE.into(),
            ..reason
        }),
        Status::Expired | Status::Rejected | Status::Unspecified => Outcome::from_fault(reason),
    })
}
