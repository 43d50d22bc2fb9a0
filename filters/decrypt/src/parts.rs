//! Texts side by side, so that no two lists of texts look alike: each with its length before it, in 4 bytes, big-endian.

use linkgate_filter::Identity;

/// A list of texts as bytes.
#[derive(Default)]
pub(crate) struct Parts(Vec<u8>);

impl Parts {
    /// A list that stands behind `header`, which says itself where it ends.
    pub(crate) fn after(header: &[u8]) -> Self {
        Self(header.to_vec())
    }

    /// These texts.
    pub(crate) fn of<const N: usize>(parts: [&[u8]; N]) -> Self {
        parts.into_iter().fold(Self::default(), Self::then)
    }

    /// One text more.
    pub(crate) fn then(mut self, part: &[u8]) -> Self {
        // Longer texts do not exist: frames are bounded far below.
        let len = u32::try_from(part.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&len.to_be_bytes());
        self.0.extend_from_slice(part);
        self
    }

    /// Business, user, and the device where there is one.
    pub(crate) fn identity(self, identity: &Identity) -> Self {
        let named = self
            .then(identity.biz_id.as_bytes())
            .then(identity.user_id.as_bytes());
        match &identity.device_id {
            Some(device) => named.then(device.as_bytes()),
            None => named,
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}
