//! The other end of filters that change what passes between client and gateway, such as a seal: what a client does to its
//! messages. For scripted clients, of test cases and tools; a gateway never uses it.

use bytes::Bytes;

use crate::message::Command;

/// A client's end of one filter, for one link.
pub trait ClientEnd: Send {
    /// What the client sends in place of this.
    ///
    /// # Errors
    /// Why it cannot be sent.
    fn sends(&mut self, piece: Piece<'_>) -> Result<Bytes, String>;

    /// What the client reads out of this.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn gets(&mut self, piece: Piece<'_>) -> Result<Bytes, String>;
}

/// The body of a message, or a whole frame.
pub struct Piece<'a> {
    /// The message's command; `None` for a whole frame.
    pub command: Option<Command>,
    /// The message's key; empty for a whole frame.
    pub key: &'a str,
    /// Whether the whole frame is a text frame.
    pub text: bool,
    /// The body, or the frame.
    pub body: Bytes,
}

/// A client's ends of all filters of a pipeline, for one link.
#[derive(Default)]
pub struct Ends {
    /// Of the filters up to the one that decodes.
    pub(crate) frames: Vec<Box<dyn ClientEnd>>,
    /// Of those behind it.
    pub(crate) bodies: Vec<Box<dyn ClientEnd>>,
}

impl Ends {
    /// The body to be sent for a message that is written in clear.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub fn seal_body(&mut self, command: i32, key: &str, body: Bytes) -> Result<Bytes, String> {
        // What the gateway undoes first is done last.
        self.bodies.iter_mut().rev().try_fold(body, |body, end| {
            end.sends(Piece {
                command: Command::from_number(command),
                key,
                text: false,
                body,
            })
        })
    }

    /// The body of a message that was got, in clear.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn open_body(&mut self, command: i32, key: &str, body: Bytes) -> Result<Bytes, String> {
        self.bodies.iter_mut().try_fold(body, |body, end| {
            end.gets(Piece {
                command: Command::from_number(command),
                key,
                text: false,
                body,
            })
        })
    }

    /// The frame to be sent for one that is written in clear.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub fn seal_frame(&mut self, body: Bytes, text: bool) -> Result<Bytes, String> {
        self.frames.iter_mut().rev().try_fold(body, |body, end| {
            end.sends(Piece {
                command: None,
                key: "",
                text,
                body,
            })
        })
    }

    /// The frame that was got, in clear.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn open_frame(&mut self, body: Bytes, text: bool) -> Result<Bytes, String> {
        self.frames.iter_mut().try_fold(body, |body, end| {
            end.gets(Piece {
                command: None,
                key: "",
                text,
                body,
            })
        })
    }
}
