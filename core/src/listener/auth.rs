//! Who a client is: from its token, or from its query where anybody may be anybody. Pure: nothing is looked up
//! elsewhere, and nothing of a key or token leaves this room.

mod jwt;
mod keys;
mod token;

use std::time::SystemTime;

use http::request::Request;
use linkgate_filter::Identity;
use linkgate_filter::problem::Problems;
use tokio::time::Instant;

use self::jwt::Issuers;
use super::config::AuthConfig;
use super::refusal::Refusal;

/// A client whose word was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authenticated {
    pub(super) identity: Identity,
    /// When its link has to be closed.
    pub(super) expires_at: Option<Instant>,
}

/// The longest name of a business, user or device, in bytes.
const LONGEST_NAME: usize = 256;

/// What `auth:` became.
#[derive(Debug)]
pub(super) enum Authenticator {
    Jwt(Issuers),
    InsecureQuery,
}

impl Authenticator {
    /// Reads the keys; notes everything that is wrong with them.
    pub(super) fn prepare(config: &AuthConfig) -> Result<Self, Problems> {
        match config {
            AuthConfig::Jwt(issuers) => Issuers::prepare(issuers).map(Self::Jwt),
            AuthConfig::InsecureQuery => Ok(Self::InsecureQuery),
        }
    }

    /// Who sends this request, now.
    pub(super) fn authenticate(
        &self,
        request: &Request<()>,
        now: SystemTime,
    ) -> Result<Authenticated, Refusal> {
        match self {
            Self::Jwt(issuers) => {
                let token = token::find(request).ok_or(Refusal::TokenMissing)?;
                issuers.verify(&token, now)
            }
            Self::InsecureQuery => {
                let identity = query_identity(request).ok_or(Refusal::QueryIdentity)?;
                Ok(Authenticated {
                    identity,
                    expires_at: None,
                })
            }
        }
    }
}

fn query_identity(request: &Request<()>) -> Option<Identity> {
    let named = |key| token::query(request, key);
    let identity = Identity::new(&named("biz_id")?, &named("user_id")?);
    let identity = match named("device_id") {
        Some(device_id) => identity.at_device(&device_id),
        None => identity,
    };
    let Identity {
        biz_id,
        user_id,
        device_id,
    } = &identity;
    let sound = is_name(biz_id) && is_name(user_id) && device_id.as_deref().is_none_or(is_name);
    sound.then_some(identity)
}

/// Whether this can name a business, user or device.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_NAME && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
