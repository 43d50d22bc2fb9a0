//! The filter on a link: which messages are opened and sealed, and what is said of those that cannot be.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use linkgate_filter::{
    CloseCode, Command, Context, Direction, Fault, Filter, Message, Never, Verdict,
};

use crate::cipher::{Cipher, Opened, Part, Place};
use crate::config::Reaction;
use crate::{CANNOT_SEAL, REFUSED, Shared};

/// `decrypt` on one link.
pub struct DecryptFilter {
    shared: Arc<Shared>,
    cipher: Cipher,
}

impl DecryptFilter {
    pub(crate) fn new(shared: Arc<Shared>, cipher: Cipher) -> Self {
        Self { shared, cipher }
    }

    fn refusal(&self) -> Fault {
        let fault = Fault::client(REFUSED).detail("the message cannot be opened");
        match self.shared.on_refused {
            Reaction::Nack => fault,
            Reaction::Close => fault.close(CloseCode::GARBAGE),
        }
    }
}

impl Filter for DecryptFilter {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, mut m: Message, _: &mut Context<'_, Self>) -> Verdict {
        let Some(part) = part(Direction::Upstream, m.command) else {
            return Verdict::Next(m);
        };
        let place = Place {
            direction: Direction::Upstream,
            part,
            key: &m.key,
        };
        let opened = if is_text(part, &m) {
            // What is no base64 goes the way of all that cannot be opened.
            let sealed = STANDARD.decode(&m.body).unwrap_or_default();
            self.cipher.open(place, &sealed)
        } else {
            self.cipher.open(place, &m.body)
        };
        let counters = self.shared.counters();
        match opened {
            Ok(Opened {
                clear,
                by_active_key,
            }) => {
                counters.opened.inc();
                if !by_active_key {
                    counters.opened_by_old_key.inc();
                }
                m.body = clear.into();
                Verdict::Next(m)
            }
            Err(why) => {
                counters.refused(why);
                Verdict::Refuse(m, self.refusal())
            }
        }
    }

    fn downstream(&mut self, mut m: Message, _: &mut Context<'_, Self>) -> Verdict {
        let Some(part) = part(Direction::Downstream, m.command) else {
            return Verdict::Next(m);
        };
        let place = Place {
            direction: Direction::Downstream,
            part,
            key: &m.key,
        };
        let Ok(sealed) = self.cipher.seal(place, &m.body) else {
            let fault = Fault::gateway(CANNOT_SEAL).retryable();
            return Verdict::Refuse(m, fault.detail("the system has no random numbers"));
        };
        self.shared.counters().sealed.inc();
        m.body = if is_text(part, &m) {
            STANDARD.encode(sealed).into()
        } else {
            sealed.into()
        };
        Verdict::Next(m)
    }
}

/// What of a message is sealed, if anything is.
pub(crate) fn part(direction: Direction, command: Option<Command>) -> Option<Part> {
    match (direction, command) {
        (_, None) => Some(Part::Frame),
        (Direction::Upstream, Some(Command::UpstreamMessage))
        | (Direction::Downstream, Some(Command::DownstreamMessage)) => Some(Part::Message),
        (Direction::Downstream, Some(Command::UpstreamAck)) => Some(Part::Answer),
        (_, Some(_)) => None,
    }
}

/// Whether the sealed bytes are written as text. Bodies are bytes: the codec writes them as its form wants it.
fn is_text(part: Part, m: &Message) -> bool {
    part == Part::Frame && m.text
}
