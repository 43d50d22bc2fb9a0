//! What a filter may know of the link whose messages it sees.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::state::StateTable;

/// Who is at the other end of a link. Tables are keyed by this tuple, never by its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The business.
    pub biz_id: Arc<str>,
    /// The user within the business.
    pub user_id: Arc<str>,
    /// The user's device, where the client names one.
    pub device_id: Option<Arc<str>>,
}

impl Identity {
    /// An identity without a device.
    pub fn new(biz_id: &str, user_id: &str) -> Self {
        Self {
            biz_id: biz_id.into(),
            user_id: user_id.into(),
            device_id: None,
        }
    }

    /// The same user at this device.
    #[must_use]
    pub fn at_device(mut self, device_id: &str) -> Self {
        self.device_id = Some(device_id.into());
        self
    }
}

/// `bizID-userID[-deviceID]`, with `-` and `%` inside a part escaped as `%2D` and `%25`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            Some(&self.biz_id),
            Some(&self.user_id),
            self.device_id.as_ref(),
        ];
        for (i, part) in parts.into_iter().flatten().enumerate() {
            if i > 0 {
                f.write_str("-")?;
            }
            for c in part.chars() {
                match c {
                    '-' => f.write_str("%2D")?,
                    '%' => f.write_str("%25")?,
                    c => fmt::Write::write_char(f, c)?,
                }
            }
        }
        Ok(())
    }
}

/// How messages look on the wire of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Form {
    /// Protobuf in binary frames.
    #[default]
    Protobuf,
    /// The protobuf JSON mapping in text frames.
    Json,
}

/// What a client that knows the commands 1 to 7 only gets in place of an UPSTREAM_NACK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Nacks {
    /// The client knows UPSTREAM_NACK.
    #[default]
    Sent,
    /// Nothing: the client times out and retries.
    Silent,
    /// RATE_LIMIT_EXCEEDED with the same key.
    AsRateLimitExceeded,
}

/// What a filter may know of a link; shared by all its messages.
#[derive(Debug)]
pub struct LinkInfo {
    /// Unique on the node for the life of the process.
    pub id: u64,
    /// Who is at the other end.
    pub identity: Identity,
    /// The form agreed in the handshake.
    pub form: Form,
    /// What the client gets for a NACK.
    pub nacks: Nacks,
    /// The client's address; `None` in a trunk and in tests.
    pub peer: Option<IpAddr>,
    /// The largest frame that it is sent, in bytes.
    pub max_frame: usize,
    /// State of the link alone.
    pub(crate) state: StateTable,
    /// State of the session, which outlives the link for a while.
    pub(crate) session: Arc<StateTable>,
    /// Which of the session's links this is.
    pub(crate) epoch: u64,
}

impl LinkInfo {
    /// A link with a session of its own.
    pub fn new(id: u64, identity: Identity) -> Self {
        let session = Arc::default();
        let (form, nacks, peer, state) = (
            Form::default(),
            Nacks::default(),
            None,
            StateTable::default(),
        );
        Self {
            id,
            identity,
            form,
            nacks,
            peer,
            max_frame: usize::MAX,
            state,
            session,
            epoch: 0,
        }
    }

    /// The form agreed in the handshake.
    #[must_use]
    pub fn with_form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// What the client gets for a NACK.
    #[must_use]
    pub fn with_nacks(mut self, nacks: Nacks) -> Self {
        self.nacks = nacks;
        self
    }

    /// The client's address.
    #[must_use]
    pub fn with_peer(mut self, peer: IpAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// The largest frame that it is sent, in bytes.
    #[must_use]
    pub fn with_max_frame(mut self, bytes: usize) -> Self {
        self.max_frame = bytes;
        self
    }

    /// The session, for handing it to the user's next link.
    pub fn session(&self) -> &Arc<StateTable> {
        &self.session
    }

    /// The link takes this session over, which an earlier link has or has left: that one claims nothing of it any more.
    #[must_use]
    pub fn with_session(mut self, session: Arc<StateTable>) -> Self {
        self.epoch = session.hand_on();
        self.session = session;
        self
    }
}
