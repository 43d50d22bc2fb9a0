//! A client's end of the link.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use linkgate_filter::client::{ClientEnd, Piece};
use linkgate_filter::{Bytes, Direction};

use crate::cipher::{Cipher, Place};
use crate::filter::part;

/// Seals what a client sends, and opens what it gets.
pub(crate) struct Client(pub(crate) Cipher);

impl ClientEnd for Client {
    fn sends(&mut self, piece: Piece<'_>) -> Result<Bytes, String> {
        let Some(part) = part(Direction::Upstream, piece.command) else {
            return Ok(piece.body);
        };
        let place = Place {
            direction: Direction::Upstream,
            part,
            key: piece.key,
        };
        let sealed = self.0.seal(place, &piece.body);
        let sealed = sealed.map_err(|_| "the system has no random numbers".to_owned())?;
        Ok(match piece.text {
            true => STANDARD.encode(sealed).into(),
            false => sealed.into(),
        })
    }

    fn gets(&mut self, piece: Piece<'_>) -> Result<Bytes, String> {
        let Some(part) = part(Direction::Downstream, piece.command) else {
            return Ok(piece.body);
        };
        let place = Place {
            direction: Direction::Downstream,
            part,
            key: piece.key,
        };
        let sealed = match piece.text {
            true => STANDARD.decode(&piece.body).unwrap_or_default().into(),
            false => piece.body,
        };
        let opened = self.0.open(place, &sealed);
        let opened = opened.map_err(|why| format!("it does not open: {why:?}"))?;
        Ok(opened.clear.into())
    }
}
