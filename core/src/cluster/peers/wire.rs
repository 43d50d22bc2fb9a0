//! What peers say, as it is written and as it is read. Whatever is read is bounded here.

use linkgate_proto::v1;
use prost::Message;

use crate::edges::directory::{Claim, ClaimId, ClaimState, Incarnation, MOST_CLAIMS, User};

/// The newest protocol that this version speaks.
pub(super) const PROTOCOL: u32 = 1;
/// The oldest: one before the newest, once there was another.
pub(super) const OLDEST_PROTOCOL: u32 = 1;

/// Bytes of a key, a business, a user, a device, a node's id or an address.
pub(super) const LONGEST_NAME: usize = 1024;
/// Lives that a peer tells the end of at once, and that a node remembers for peers that come.
pub(super) const MOST_ENDED: usize = 1024;
/// What a frame may have beside a body: claims, most of all.
pub(super) const LARGEST_BESIDE: usize = 512 * 1024;

/// A peer has said what it may not.
#[derive(Debug, thiserror::Error)]
#[error("the other node broke the rules of the protocol: {0}")]
pub(super) struct Breach(pub(super) &'static str);

/// By which protocol two nodes go.
pub(super) fn agree(theirs: u32, their_oldest: u32) -> Option<u32> {
    let agreed = theirs.min(PROTOCOL);
    (agreed >= their_oldest.max(OLDEST_PROTOCOL)).then_some(agreed)
}

pub(super) fn to_incarnation(life: Incarnation) -> v1::Incarnation {
    v1::Incarnation {
        registry: life.registry,
        revision: life.revision,
    }
}

pub(super) fn incarnation(wire: Option<v1::Incarnation>) -> Result<Incarnation, Breach> {
    let wire = wire.ok_or(Breach("an incarnation is missing"))?;
    Ok(Incarnation {
        registry: wire.registry,
        revision: wire.revision,
    })
}

pub(super) fn to_ended(lives: &[Incarnation]) -> Vec<v1::Incarnation> {
    lives.iter().copied().map(to_incarnation).collect()
}

pub(super) fn ended(wire: Vec<v1::Incarnation>) -> Result<Vec<Incarnation>, Breach> {
    if wire.len() > MOST_ENDED {
        return Err(Breach("more lives have ended than may be told at once"));
    }
    wire.into_iter()
        .map(|life| incarnation(Some(life)))
        .collect()
}

pub(super) fn to_claim_id(id: ClaimId) -> v1::LinkClaim {
    v1::LinkClaim {
        incarnation: Some(to_incarnation(id.incarnation)),
        link: id.link,
    }
}

pub(super) fn claim_id(wire: Option<v1::LinkClaim>) -> Result<ClaimId, Breach> {
    let wire = wire.ok_or(Breach("a claim is missing"))?;
    Ok(ClaimId {
        incarnation: incarnation(wire.incarnation)?,
        link: wire.link,
    })
}

pub(super) fn claim_ids(wire: Vec<v1::LinkClaim>) -> Result<Vec<ClaimId>, Breach> {
    most_claims(wire.len())?;
    wire.into_iter().map(|id| claim_id(Some(id))).collect()
}

pub(super) fn to_user((biz_id, user_id): &User) -> v1::PeerUser {
    v1::PeerUser {
        biz_id: biz_id.to_string(),
        user_id: user_id.to_string(),
    }
}

pub(super) fn user(wire: Option<v1::PeerUser>) -> Result<User, Breach> {
    let wire = wire.ok_or(Breach("a user is missing"))?;
    Ok((name(&wire.biz_id)?.into(), name(&wire.user_id)?.into()))
}

/// `None`: they are too many to be told, and a part of them would be taken for all.
pub(super) fn to_told(claims: &[Claim]) -> Option<v1::ToldClaims> {
    let claim = |claim: &Claim| v1::ToldClaim {
        id: Some(to_claim_id(claim.id)),
        device_id: claim.device.as_deref().map(str::to_owned),
        epoch: claim.epoch,
        resumable: claim.state == ClaimState::Resumable,
    };
    let told = v1::ToldClaims {
        claims: claims.iter().map(claim).collect(),
    };
    let fits = claims.len() <= MOST_CLAIMS && told.encoded_len() < LARGEST_BESIDE / 2;
    fits.then_some(told)
}

pub(super) fn told(wire: v1::ToldClaims) -> Result<Vec<Claim>, Breach> {
    most_claims(wire.claims.len())?;
    let claim = |wire: v1::ToldClaim| {
        let device = wire.device_id.as_deref().map(name).transpose()?;
        Ok(Claim {
            id: claim_id(wire.id)?,
            device: device.map(Into::into),
            epoch: wire.epoch,
            state: match wire.resumable {
                true => ClaimState::Resumable,
                false => ClaimState::Online,
            },
        })
    };
    wire.claims.into_iter().map(claim).collect()
}

/// A name of bounded length; it may be empty where the contract lets it.
pub(super) fn name(text: &str) -> Result<&str, Breach> {
    match text.len() {
        0..=LONGEST_NAME => Ok(text),
        _ => Err(Breach("a name is longer than 1,024 bytes")),
    }
}

fn most_claims(claims: usize) -> Result<(), Breach> {
    match claims {
        0..=MOST_CLAIMS => Ok(()),
        _ => Err(Breach("more than 1,024 claims of one user")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_go_by_the_newest_protocol_that_both_speak() {
        assert_eq!(agree(PROTOCOL, OLDEST_PROTOCOL), Some(PROTOCOL));
        assert_eq!(agree(PROTOCOL + 1, PROTOCOL), Some(PROTOCOL));
        assert_eq!(agree(PROTOCOL + 2, PROTOCOL + 1), None);
        assert_eq!(agree(OLDEST_PROTOCOL - 1, 0), None);
    }
}
