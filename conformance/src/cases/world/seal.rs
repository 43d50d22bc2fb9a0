//! What a client does to its messages between their clear text and the frame: the other end of the filters that seal.

use linkgate_filter::Form;
use linkgate_filter::client::Ends;
use linkgate_proto::v1;
use tokio_tungstenite::tungstenite::Message as Frame;

use linkgate_client::{decode, encode};

/// The client's ends of a pipeline's filters, for one link.
#[derive(Default)]
pub struct Seals(Option<Ends>);

impl Seals {
    /// These ends.
    pub fn new(ends: Ends) -> Self {
        Self(Some(ends))
    }

    /// The frame that carries this message, written in clear.
    ///
    /// # Errors
    /// It cannot be sealed.
    pub fn seal(&mut self, form: Form, mut message: v1::Message) -> Result<Frame, String> {
        let Some(ends) = &mut self.0 else {
            return Ok(encode(form, &message));
        };
        message.body = ends.seal_body(message.cmd, &message.key, message.body)?;
        let frame = encode(form, &message);
        let is_text = frame.is_text();
        let body = ends.seal_frame(frame.into_data(), is_text)?;
        Ok(match is_text {
            true => Frame::Text(String::from_utf8_lossy(&body).into_owned().into()),
            false => Frame::Binary(body),
        })
    }

    /// The message in this frame, in clear.
    ///
    /// # Errors
    /// It cannot be opened or read.
    pub fn open(&mut self, frame: Frame) -> Result<v1::Message, String> {
        let Some(ends) = &mut self.0 else {
            return decode(frame).map_err(|error| error.to_string());
        };
        let is_text = frame.is_text();
        let body = ends.open_frame(frame.into_data(), is_text)?;
        let frame = match is_text {
            true => Frame::Text(String::from_utf8_lossy(&body).into_owned().into()),
            false => Frame::Binary(body),
        };
        let mut message = decode(frame).map_err(|error| error.to_string())?;
        message.body = ends.open_body(message.cmd, &message.key, message.body)?;
        Ok(message)
    }
}
