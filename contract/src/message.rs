//! What passes through a chain.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::Extensions;

use crate::fault::Fault;
use crate::link::LinkInfo;
use crate::receipt::{Outcome, Receipt};

/// What a decoded message is. The numbers are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Command {
    /// Either way: still there. The codec echoes it.
    Heartbeat = 1,
    /// Client to backend: a business message.
    UpstreamMessage = 2,
    /// Gateway to client: the business message with this key was accepted.
    UpstreamAck = 3,
    /// Backend to client: a push.
    DownstreamMessage = 4,
    /// Client to gateway: the push with this key has arrived.
    DownstreamAck = 5,
    /// Gateway to client: connect elsewhere.
    Redirect = 6,
    /// Gateway to client: the business message with this key exceeded a quota.
    RateLimitExceeded = 7,
    /// Gateway to client: the business message with this key is not confirmed.
    UpstreamNack = 8,
}

impl Command {
    /// The command of this number, if there is one.
    pub fn from_number(number: i32) -> Option<Self> {
        let all = [
            Self::Heartbeat,
            Self::UpstreamMessage,
            Self::UpstreamAck,
            Self::DownstreamMessage,
            Self::DownstreamAck,
            Self::Redirect,
            Self::RateLimitExceeded,
            Self::UpstreamNack,
        ];
        all.into_iter().find(|command| *command as i32 == number)
    }
}

/// The way a message travels through a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Client to backend, first filter to last.
    Upstream,
    /// Backend to client, last filter to first.
    Downstream,
}

/// One message in a chain.
///
/// Between the socket and the codec a message is *raw*: `command` is `None` and `body` is the whole frame, so that a
/// byte transform such as `decrypt` reads the same on either side of the codec.
///
/// A message that a chain has admitted carries a receipt. Settle the message ([`Message::settle`]) or pass it on; one
/// that is dropped with its receipt settles as [`Outcome::Unknown`], and that is counted as a bug.
#[derive(Debug)]
pub struct Message {
    /// `None` while the body is a whole frame.
    pub command: Option<Command>,
    /// Names the message between client and backend; echoed in every answer. Empty on a raw message.
    pub key: String,
    /// Opaque to the gateway.
    pub body: Bytes,
    /// Set on a NACK and on RATE_LIMIT_EXCEEDED: what the client is told.
    pub fault: Option<Box<Fault>>,
    /// Whether the frame is a text frame; says something on a raw message only.
    pub text: bool,
    /// Whether the client's acknowledgement is waited for; says something on a push only.
    pub ack: bool,
    /// After this a push is not worth sending any more.
    pub expires_at: Option<Instant>,
    /// The link the message came from or goes to; of a joined message, its first part's.
    pub link: Arc<LinkInfo>,
    pub(crate) receipt: Receipt,
    rare: Option<Box<Rare>>,
}

/// What few messages have takes little room in the others.
#[derive(Debug, Default)]
struct Rare {
    parts: Vec<Message>,
    tags: Extensions,
}

/// Messages are copied from slot to slot. Beyond this size that takes twice the time: compilers copy up to 128 bytes in
/// place, and where larger copies follow each other, the processor waits for one before it can begin the next.
const _: () = assert!(size_of::<Message>() <= 128);

impl Message {
    /// A decoded message.
    pub fn new(
        link: Arc<LinkInfo>,
        command: Command,
        key: impl Into<String>,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            command: Some(command),
            key: key.into(),
            body: body.into(),
            fault: None,
            text: false,
            ack: command == Command::DownstreamMessage,
            expires_at: None,
            link,
            receipt: Receipt::none(),
            rare: None,
        }
    }

    /// A raw message: a whole frame.
    pub fn raw(link: Arc<LinkInfo>, body: impl Into<Bytes>, text: bool) -> Self {
        Self {
            command: None,
            text,
            ack: false,
            ..Self::new(link, Command::Heartbeat, String::new(), body)
        }
    }

    /// The NACK that tells the client of `fault`.
    pub fn nack(link: Arc<LinkInfo>, key: String, fault: Fault) -> Self {
        Self {
            fault: Some(Box::new(fault)),
            ..Self::new(link, Command::UpstreamNack, key, Bytes::new())
        }
    }

    /// Joins messages into one that keeps them as parts, each with its own receipt. `None` when there are no parts.
    ///
    /// Whoever joins keeps the order: the parts of one link stand in the order sent, and no other joined message has any of
    /// that link's before this one has settled (unless order is given up). So those behind may work on several joined
    /// messages at a time.
    pub fn joined(parts: Vec<Message>) -> Option<Self> {
        let link = Arc::clone(&parts.first()?.link);
        Some(Self {
            rare: Some(Box::new(Rare {
                parts,
                ..Rare::default()
            })),
            ..Self::new(link, Command::UpstreamMessage, String::new(), Bytes::new())
        })
    }

    /// Puts a receipt on a message that has none, as a push source does before the message enters a chain.
    #[must_use]
    pub fn with_receipt(mut self, receipt: Receipt) -> Self {
        self.receipt = receipt;
        self
    }

    /// A copy without receipt, parts and tags, for sending again.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            command: self.command,
            key: self.key.clone(),
            body: self.body.clone(),
            fault: self.fault.clone(),
            text: self.text,
            ack: self.ack,
            expires_at: self.expires_at,
            link: Arc::clone(&self.link),
            receipt: Receipt::none(),
            rare: None,
        }
    }

    /// What filters have put on the message for those behind them, by type: a span, a class, a tenant. It goes where the
    /// message goes, on this node, and no further: neither to the backend, nor onto an answer.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use linkgate_filter::{Command, Identity, LinkInfo, Message};
    /// #[derive(Clone)]
    /// struct Urgent;
    ///
    /// # let link = Arc::new(LinkInfo::new(1, Identity::new("chat", "alice")));
    /// let mut m = Message::new(link, Command::UpstreamMessage, "k1", "hello");
    /// m.tags_mut().insert(Urgent);
    /// assert!(m.tag::<Urgent>().is_some());
    /// ```
    pub fn tags_mut(&mut self) -> &mut Extensions {
        &mut self.rare.get_or_insert_default().tags
    }

    /// The tag of this type, if a filter has put one on the message.
    pub fn tag<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.rare.as_ref()?.tags.get()
    }

    /// The messages joined into this one; empty for a plain message.
    pub fn parts(&self) -> &[Message] {
        self.rare.as_ref().map_or(&[], |rare| &rare.parts)
    }

    /// Takes the parts out, to settle each by its own result. The shell that stays is to be settled too, after them: who
    /// joined them waits for that with what comes next.
    pub fn take_parts(&mut self) -> Vec<Message> {
        let rare = self.rare.as_mut();
        rare.map_or_else(Vec::new, |rare| std::mem::take(&mut rare.parts))
    }

    /// Takes the receipt off: whoever has it answers for the message from now on.
    pub fn take_receipt(&mut self) -> Option<Receipt> {
        let receipt = std::mem::replace(&mut self.receipt, Receipt::none());
        receipt.is_some().then_some(receipt)
    }

    /// Whether somebody is to be told of the outcome.
    pub fn has_receipt(&self) -> bool {
        self.receipt.is_some()
    }

    /// Bytes the message is accounted with in queues: key, body, a flat charge for itself, and its parts.
    pub fn weight(&self) -> usize {
        self.own_weight() + self.parts().iter().map(Message::weight).sum::<usize>()
    }

    /// The weight without the parts.
    pub(crate) fn own_weight(&self) -> usize {
        const SELF: usize = 128;
        SELF + self.key.len() + self.body.len()
    }

    /// Ends the message, and every part still in it, with `outcome`.
    pub fn settle(mut self, outcome: Outcome) {
        for part in self.take_parts() {
            part.settle(outcome.clone());
        }
        if let Some(receipt) = self.take_receipt() {
            receipt.settle(outcome);
        }
    }

    /// Whether the message, on its way to the client, answers a business message, as far as that can be told of a frame:
    /// pushes that nobody keeps have receipts.
    pub(crate) fn may_answer(&self) -> bool {
        match self.command {
            None => !self.has_receipt(),
            Some(command) => matches!(
                command,
                Command::UpstreamAck | Command::UpstreamNack | Command::RateLimitExceeded
            ),
        }
    }

    /// Whether the message keeps its place in the order of its direction. Raw messages do, as nobody can tell there
    /// what they are; heartbeats and acknowledgements overtake.
    pub fn is_ordered(&self, direction: Direction) -> bool {
        match self.command {
            None => true,
            Some(Command::UpstreamMessage) => direction == Direction::Upstream,
            Some(Command::DownstreamMessage) => direction == Direction::Downstream,
            Some(_) => false,
        }
    }
}
