//! Presence as readers of older gateways' topic expect it.

use linkgate_filter::Bytes;
use linkgate_proto::v1::PresenceEvent;
use linkgate_proto::v1::presence_event::Kind;
use serde::{Serialize, Serializer};

use crate::outbox::json;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UsersAction<'a> {
    #[serde(serialize_with = "id")]
    biz_id: &'a str,
    #[serde(serialize_with = "id")]
    user_id: &'a str,
    action: &'static str,
}

/// Those readers know users, not links: a user goes with the last link.
pub(super) fn is_told(event: &PresenceEvent) -> bool {
    match event.kind() {
        Kind::Online => true,
        Kind::Offline => event.links == 0,
        Kind::NodeStarted | Kind::Unspecified => false,
    }
}

pub(super) fn write(event: &PresenceEvent) -> Bytes {
    json(&UsersAction {
        biz_id: &event.biz_id,
        user_id: &event.user_id,
        action: match event.kind() {
            Kind::Online => "online",
            _ => "offline",
        },
    })
}

/// A whole number as a number, if nothing of the text is lost by it.
fn id<S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => to.serialize_i64(number),
        _ => to.serialize_str(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: Kind, biz_id: &str, user_id: &str, links: u32) -> PresenceEvent {
        PresenceEvent {
            kind: kind.into(),
            biz_id: biz_id.to_owned(),
            user_id: user_id.to_owned(),
            links,
            ..PresenceEvent::default()
        }
    }

    #[test]
    fn ids_are_numbers_where_they_are_numbers() {
        for (biz_id, user_id, said) in [
            (
                "1",
                "1001",
                r#"{"bizId":1,"userId":1001,"action":"online"}"#,
            ),
            (
                "chat",
                "-7",
                r#"{"bizId":"chat","userId":-7,"action":"online"}"#,
            ),
            (
                "01",
                "9223372036854775808",
                r#"{"bizId":"01","userId":"9223372036854775808","action":"online"}"#,
            ),
        ] {
            assert_eq!(write(&event(Kind::Online, biz_id, user_id, 1)), said);
        }
        let gone = write(&event(Kind::Offline, "1", "2", 0));
        assert_eq!(gone, r#"{"bizId":1,"userId":2,"action":"offline"}"#);
    }

    #[test]
    fn a_user_goes_with_the_last_link() {
        assert!(is_told(&event(Kind::Online, "1", "2", 2)));
        assert!(!is_told(&event(Kind::Offline, "1", "2", 1)));
        assert!(is_told(&event(Kind::Offline, "1", "2", 0)));
        assert!(!is_told(&event(Kind::NodeStarted, "", "", 0)));
    }
}
