//! A push in JSON.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use linkgate_filter::Fault;
use linkgate_proto::v1;
use serde::{Deserialize, Deserializer, de};

use super::INVALID;

/// Reads a push in JSON.
pub(in crate::push) fn from_json(text: &[u8]) -> Result<v1::PushRequest, Fault> {
    let invalid = |what: String| Fault::backend(INVALID).detail(what);
    serde_json::from_slice::<JsonPush>(text)
        .map_err(|error| invalid(format!("not a push in JSON: {error}")))?
        .request()
        .map_err(|what| invalid(what.to_owned()))
}

/// A push as backends write it in JSON: the protobuf mapping, where a receiver may stand alone, and names may be numbers.
/// As there, `null` is as good as nothing.
#[derive(Deserialize)]
struct JsonPush {
    #[serde(default)]
    key: Option<Name>,
    #[serde(default, alias = "bizId")]
    biz_id: Option<Name>,
    #[serde(default, alias = "receiverId")]
    receiver_id: Option<Name>,
    #[serde(default, alias = "receiverIds")]
    receiver_ids: Option<Vec<Name>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default, alias = "deviceId")]
    device_id: Option<Name>,
    #[serde(default, alias = "expiresAt")]
    expires_at: Option<Name>,
    #[serde(default)]
    ack: Option<bool>,
    #[serde(default)]
    all: Option<bool>,
}

impl JsonPush {
    fn request(self) -> Result<v1::PushRequest, &'static str> {
        let names = |names: Vec<Name>| names.into_iter().map(|name| name.0).collect();
        let receiver_ids = match (self.receiver_id, self.receiver_ids) {
            (Some(one), None) => vec![one.0],
            (None, Some(many)) => names(many),
            (None, None) => return Err("`receiver_id` or `receiver_ids` is missing"),
            (Some(_), Some(_)) => return Err("there are both `receiver_id` and `receiver_ids`"),
        };
        let expires_at = match self.expires_at {
            None => None,
            Some(at) => Some(
                at.0.parse()
                    .map_err(|_| "`expires_at` is no Unix time in milliseconds")?,
            ),
        };
        let body = self.body.unwrap_or_default();
        let body = decode(&body).ok_or("`body` is not base64")?;
        Ok(v1::PushRequest {
            key: self.key.map(|key| key.0).unwrap_or_default(),
            biz_id: self.biz_id.map(|biz_id| biz_id.0).unwrap_or_default(),
            receiver_ids,
            body: body.into(),
            device_id: self.device_id.map(|device| device.0),
            expires_at,
            ack: self.ack,
            all: self.all.unwrap_or(false),
        })
    }
}

/// Either alphabet, padded or not.
fn decode(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const ENGINES: [GeneralPurpose; 2] = [
        GeneralPurpose::new(&STANDARD, LENIENT),
        GeneralPurpose::new(&URL_SAFE, LENIENT),
    ];
    ENGINES.iter().find_map(|engine| engine.decode(text).ok())
}

/// A text, or a whole number as a text.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            serde_json::Value::Number(number) if !number.is_f64() => Ok(Self(number.to_string())),
            _ => Err(de::Error::custom("expected a text or a whole number")),
        }
    }
}
