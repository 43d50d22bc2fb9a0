//! `use: codec` decodes frames to messages and encodes messages to frames, as protobuf or as JSON, and echoes
//! heartbeats.
//!
//! Everything a client can get wrong on the wire ends here, as a typed fault. What a message means to a business is
//! for later filters.

mod config;
pub mod wire;

use std::sync::Arc;

use bytes::Bytes;
use linkgate_filter::client::{ClientEnd, Piece};
use linkgate_filter::problem::Problems;
use linkgate_filter::{
    CloseCode, Command, Context, Coverage, Fact, Fault, Filter, FilterType, Form, Growth, Identity,
    Message, Nacks, Never, Open, Outcome, OwnedScope, Prepare, Properties, Verdict,
};

pub use self::config::{Config, Format, Reaction};
use self::wire::{Decoded, Unreadable, decode, decode_legacy, encode, encode_legacy};

/// The filter type.
pub struct Codec(Arc<Config>);

impl FilterType for Codec {
    const NAME: &'static str = "codec";
    type Config = Config;
    type Filter = CodecFilter;

    fn prepare(config: Config, _: &Prepare<'_>) -> Result<Self, Problems> {
        config.check().into_result(Self(Arc::new(config)))
    }

    fn properties(&self) -> Properties {
        Properties {
            speaks: self.0.format.fixed(),
            ..Properties::new().gives(Fact::DECODED).needs_link()
        }
    }

    fn coverage(&self) -> Coverage {
        Coverage::new().raises([
            "codec.wrong_form",
            "codec.garbage",
            "codec.unknown_command",
            "codec.missing_key",
            "codec.key_too_long",
            "codec.body_too_big",
        ])
    }

    fn client(&self, _: &Identity) -> Option<Box<dyn ClientEnd>> {
        let is_legacy = self.0.format == Format::LegacyJson;
        is_legacy.then(|| Box::new(LegacyClient) as _)
    }

    fn growth(&self, form: Form, _: bool) -> Growth {
        wire::growth(self.0.format.form(form))
    }

    fn filter(&self, cx: &Open<'_>) -> CodecFilter {
        let format = self.0.format;
        let spoken = (format.form(cx.link().form), format == Format::LegacyJson);
        // A changed `format` is for new links: the client of this one knows only the form it began with.
        let kept = cx.owned(OwnedScope::Link, || spoken).with(|spoken| *spoken);
        let (form, is_legacy) = kept.unwrap_or(spoken);
        CodecFilter {
            config: Arc::clone(&self.0),
            form,
            is_legacy,
        }
    }
}

/// The filter of one link.
pub struct CodecFilter {
    config: Arc<Config>,
    form: Form,
    /// The JSON is that of older gateways.
    is_legacy: bool,
}

impl Filter for CodecFilter {
    type Token = Never;
    type Timer = Never;
    type Waited = Never;
    type Done = Never;

    fn upstream(&mut self, mut m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        if m.command.is_some() {
            return Verdict::Next(m);
        }
        let decoded = match self.read(&m) {
            Ok(decoded) => decoded,
            Err(Rejected { key, fault }) => {
                m.key = key;
                return Verdict::Refuse(m, fault);
            }
        };
        if decoded.command == Command::Heartbeat {
            cx.downstream(m);
            return Verdict::Done;
        }
        m.command = Some(decoded.command);
        m.key = decoded.key;
        m.body = decoded.body;
        m.text = false;
        Verdict::Next(m)
    }

    fn downstream(&mut self, mut m: Message, _: &mut Context<'_, Self>) -> Verdict {
        let Some(mut command) = m.command else {
            return Verdict::Next(m);
        };
        if command == Command::UpstreamNack {
            match m.link.nacks {
                Nacks::Sent => {}
                Nacks::AsRateLimitExceeded => command = Command::RateLimitExceeded,
                Nacks::Silent => {
                    m.settle(Outcome::sent());
                    return Verdict::Done;
                }
            }
        }
        let (key, body) = (std::mem::take(&mut m.key), std::mem::take(&mut m.body));
        let fault = m.fault.take();
        m.body = match self.is_legacy {
            true => encode_legacy(command, key, body),
            false => encode(self.form, command, key, body, fault.as_deref()),
        };
        m.text = self.form == Form::Json && !self.is_legacy;
        m.command = None;
        Verdict::Next(m)
    }
}

/// A client of older gateways that speaks JSON: its binary frames hold what those of others hold as protobuf.
struct LegacyClient;

impl ClientEnd for LegacyClient {
    fn sends(&mut self, piece: Piece<'_>) -> Result<Bytes, String> {
        Ok(match decode(Form::Protobuf, &piece.body) {
            Ok(Decoded { command, key, body }) if !piece.text => encode_legacy(command, key, body),
            _ => piece.body,
        })
    }

    fn gets(&mut self, piece: Piece<'_>) -> Result<Bytes, String> {
        Ok(match decode_legacy(&piece.body) {
            Ok(Decoded { command, key, body }) if !piece.text => {
                encode(Form::Protobuf, command, key, body, None)
            }
            _ => piece.body,
        })
    }
}

/// A frame that is not taken: the key for the answer, and why.
struct Rejected {
    key: String,
    fault: Fault,
}

impl CodecFilter {
    /// Reads a frame and checks all that can be checked without knowing the business.
    fn read(&self, m: &Message) -> Result<Decoded, Rejected> {
        let config = &self.config;
        if !self.is_legacy && m.text != (self.form == Form::Json) {
            let wanted = if m.text { "binary" } else { "text" };
            let fault = Fault::client("codec.wrong_form")
                .detail(format!("this link speaks in {wanted} frames"));
            let key = String::new();
            return Err(reject(
                key,
                fault,
                config.on_garbage,
                CloseCode::UNSUPPORTED,
            ));
        }
        let decoded = match self.is_legacy {
            true => decode_legacy(&m.body),
            false => decode(self.form, &m.body),
        };
        let decoded = decoded.map_err(|unreadable| match unreadable {
            Unreadable::Garbage { key } => {
                let fault = Fault::client("codec.garbage").detail("the frame is no message");
                reject(key, fault, config.on_garbage, CloseCode::GARBAGE)
            }
            Unreadable::UnknownCommand { key } => self.unknown_command(key),
        })?;
        self.check(&decoded)?;
        Ok(decoded)
    }

    fn check(&self, Decoded { command, key, body }: &Decoded) -> Result<(), Rejected> {
        let config = &self.config;
        if !matches!(
            command,
            Command::Heartbeat | Command::UpstreamMessage | Command::DownstreamAck
        ) {
            return Err(self.unknown_command(key.clone()));
        }
        let too_big = |code, what: &str, max| {
            let fault = Fault::client(code).detail(format!("the {what} is over {max}"));
            reject(key.clone(), fault, config.on_oversize, CloseCode::TOO_BIG)
        };
        if key.len() > config.max_key.as_usize() {
            return Err(too_big("codec.key_too_long", "key", config.max_key));
        }
        if body.len() > config.max_body.as_usize() {
            return Err(too_big("codec.body_too_big", "body", config.max_body));
        }
        if key.is_empty() && *command != Command::Heartbeat {
            let fault = Fault::client("codec.missing_key").detail("the command needs a key");
            let key = String::new();
            return Err(reject(
                key,
                fault,
                config.on_missing_key,
                CloseCode::GARBAGE,
            ));
        }
        Ok(())
    }

    fn unknown_command(&self, key: String) -> Rejected {
        let fault = Fault::client("codec.unknown_command")
            .detail("clients send HEARTBEAT, UPSTREAM_MESSAGE and DOWNSTREAM_ACK");
        reject(
            key,
            fault,
            self.config.on_unknown_command,
            CloseCode::GARBAGE,
        )
    }
}

fn reject(key: String, fault: Fault, reaction: Reaction, code: CloseCode) -> Rejected {
    let fault = match reaction {
        Reaction::Nack => fault,
        Reaction::Close => fault.close(code),
    };
    Rejected { key, fault }
}

#[cfg(test)]
mod tests;
