//! How large a message becomes on its way to the client, so that what is too large for a link is known before it is sent.

use crate::link::{Form, LinkInfo};

/// How much larger a filter, or a pipeline, makes messages on their way to the client: at most so many bytes for each byte
/// of the body and of the key, and so many besides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// For each byte of the body.
    pub body: f64,
    /// For each byte of the key.
    pub key: f64,
    /// For the message itself.
    pub fixed: f64,
}

impl Growth {
    /// What passes bodies on as they are.
    pub const NONE: Self = Self {
        body: 1.0,
        key: 0.0,
        fixed: 0.0,
    };

    /// Bytes as padded base64.
    pub const BASE64: Self = Self {
        body: 4.0 / 3.0,
        key: 0.0,
        fixed: 4.0,
    };

    /// With so many bytes more.
    #[must_use]
    pub fn plus(mut self, bytes: usize) -> Self {
        self.fixed += bytes as f64;
        self
    }

    /// With so many bytes for each byte of the key.
    #[must_use]
    pub fn with_key(mut self, factor: f64) -> Self {
        self.key += factor;
        self
    }

    /// This one, and then the other on what has come of it.
    #[must_use]
    pub fn then(self, other: Self) -> Self {
        Self {
            body: self.body * other.body,
            key: self.key * other.body + other.key,
            fixed: self.fixed * other.body + other.fixed,
        }
    }
}

/// The largest frame that a link is sent, and what becomes of messages on the way there.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    growth: Growth,
    max_frame: usize,
}

impl Default for Room {
    /// Room for everything.
    fn default() -> Self {
        Self {
            growth: Growth::NONE,
            max_frame: usize::MAX,
        }
    }
}

impl Room {
    /// For frames of up to so many bytes, of messages that do not grow.
    pub fn of(max_frame: usize) -> Self {
        Self {
            max_frame,
            ..Self::default()
        }
    }

    /// On a link, whose messages grow by `growth`.
    pub(crate) fn new(link: &LinkInfo, growth: Growth) -> Self {
        let max_frame = link.max_frame;
        Self { growth, max_frame }
    }

    /// The largest frame, in bytes.
    pub fn max_frame(&self) -> usize {
        self.max_frame
    }

    /// Whether a message with this key and a body of so many bytes is certain to fit.
    pub fn fits(&self, key: &str, body: usize) -> bool {
        let Growth {
            body: by_body,
            key: by_key,
            fixed,
        } = self.growth;
        body as f64 * by_body + key.len() as f64 * by_key + fixed <= self.max_frame as f64
    }
}

/// What all steps between a client and the end of a pipeline add, by the form of the link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growths {
    protobuf: Growth,
    json: Growth,
}

impl Growths {
    /// Of what the steps add one by one, for each form; the one next to the client comes last.
    pub(crate) fn of<I: Iterator<Item = Growth>>(steps: impl Fn(Form) -> I) -> Self {
        let all = |form| steps(form).fold(Growth::NONE, Growth::then);
        Self {
            protobuf: all(Form::Protobuf),
            json: all(Form::Json),
        }
    }

    pub(crate) fn in_form(&self, form: Form) -> Growth {
        match form {
            Form::Protobuf => self.protobuf,
            Form::Json => self.json,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Identity;

    #[test]
    fn steps_grow_what_those_before_them_have_made() {
        let sealed = Growth::NONE.plus(30);
        let coded = Growth::BASE64.plus(60).with_key(6.0);
        let all = sealed.then(coded);
        let link = LinkInfo::new(1, Identity::new("chat", "ann")).with_max_frame(200);
        let room = Room::new(&link, all);
        // 60 + 4 + 4/3 * (30 + 36) + 6 * 8 is 200.
        assert!(room.fits("12345678", 36));
        assert!(!room.fits("12345678", 37));
        assert!(!room.fits("123456789", 36));
    }

    #[test]
    fn without_a_limit_everything_fits() {
        let link = LinkInfo::new(1, Identity::new("chat", "ann"));
        assert!(Room::new(&link, Growth::BASE64).fits("k", 1 << 40));
    }
}
