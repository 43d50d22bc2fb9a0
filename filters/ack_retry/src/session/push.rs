//! One pending push.

use std::sync::Arc;
use std::time::Instant;

use linkgate_filter::{Bytes, Command, LinkInfo, Message};
use smallvec::SmallVec;

use super::turn::Receipts;

/// A push that is kept until it is settled. Not the message it came in: that holds on to its link, and a push outlives
/// links.
#[derive(Debug)]
pub(crate) struct Push {
    pub(crate) key: Arc<str>,
    pub(crate) body: Bytes,
    /// Whether an acknowledgement is waited for. If not, the push is here only to wait for its turn.
    pub(crate) ack: bool,
    pub(crate) expires_at: Option<Instant>,
    pub(crate) receipts: Receipts,
    pub(crate) weight: usize,
    /// How often it was sent, on any link.
    pub(crate) transmissions: u32,
    /// How often it was sent on this link: its place in the backoff.
    pub(crate) position: u32,
    /// When it is to be sent again; `None` while it waits for its turn.
    pub(crate) again_at: Option<Instant>,
    /// When it was last sent.
    pub(crate) sent_at: Option<Instant>,
    /// How many links have ended right after it was sent.
    pub(crate) breaks: u32,
    /// When `retry.total` ends; `None` before the first transmission.
    pub(crate) give_up_at: Option<Instant>,
}

/// Why a push does not share the outcome of another.
#[derive(Debug)]
pub(crate) enum Unjoined {
    /// As many share it as may.
    Many(Message),
    /// Its body is another.
    Other(Message),
}

impl Push {
    /// How many pushes with one key share one outcome, so that a caller who asks over and over takes no more than this.
    const MOST_JOINED: usize = 16;

    pub(crate) fn new(mut m: Message) -> Self {
        let weight = m.weight();
        let receipts = m.take_receipt().map(|receipt| SmallVec::from([receipt]));
        Self {
            key: m.key.into(),
            body: m.body,
            ack: m.ack,
            expires_at: m.expires_at,
            receipts: receipts.unwrap_or_default(),
            weight,
            transmissions: 0,
            position: 0,
            again_at: None,
            sent_at: None,
            breaks: 0,
            give_up_at: None,
        }
    }

    /// Lets a push with the same key share the outcome, and waits as long as either wants. Gives it back if it says
    /// something else, or if there are too many already.
    pub(crate) fn join(&mut self, mut m: Message) -> Result<(), Unjoined> {
        if self.body != m.body {
            return Err(Unjoined::Other(m));
        }
        if self.receipts.len() >= Self::MOST_JOINED {
            return Err(Unjoined::Many(m));
        }
        self.receipts.extend(m.take_receipt());
        self.expires_at = match (self.expires_at, m.expires_at) {
            (Some(own), Some(other)) => Some(own.max(other)),
            _ => None,
        };
        Ok(())
    }

    /// When something is to be done about it.
    pub(crate) fn due(&self) -> Option<Instant> {
        let deadlines = [self.again_at, self.give_up_at, self.expires_at];
        deadlines.into_iter().flatten().min()
    }

    /// What goes out on `link`. A push that is not to be acknowledged takes its receipt along.
    pub(crate) fn message(&mut self, link: &Arc<LinkInfo>) -> Message {
        let (link, key) = (Arc::clone(link), self.key.as_ref());
        let mut m = Message::new(link, Command::DownstreamMessage, key, self.body.clone());
        m.ack = self.ack;
        m.expires_at = self.expires_at;
        let receipt = if self.ack { None } else { self.receipts.pop() };
        match receipt {
            Some(receipt) => m.with_receipt(receipt),
            None => m,
        }
    }
}
