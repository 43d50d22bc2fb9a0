//! What a client offers in `Sec-WebSocket-Protocol`: forms it speaks, and perhaps its token (a browser's WebSocket can
//! send no other header). The token's entry is read, never chosen, and so never sent back.

use http::HeaderMap;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use linkgate_filter::Form;

use super::config::FormChoice;
use super::refusal::Refusal;

/// The subprotocol that stands for a form.
pub(super) fn name(form: Form) -> &'static str {
    match form {
        Form::Protobuf => "linkgate.v1.proto",
        Form::Json => "linkgate.v1.json",
    }
}

const TOKEN_PREFIX: &str = "linkgate.token.";

/// All that the client offers, in its order.
fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|protocol| !protocol.is_empty())
}

/// The token among the subprotocols, if there is one.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    offered(headers).find_map(|protocol| protocol.strip_prefix(TOKEN_PREFIX))
}

/// The form to speak, and whether the answer names it: it must name a subprotocol that the client offered, or none.
pub(super) fn choose(headers: &HeaderMap, choice: FormChoice) -> Result<(Form, bool), Refusal> {
    let spoken: &[Form] = match choice {
        FormChoice::Any => &[Form::Protobuf, Form::Json],
        FormChoice::Protobuf => &[Form::Protobuf],
        FormChoice::Json => &[Form::Json],
    };
    let mut silent = true;
    for protocol in offered(headers).filter(|protocol| !protocol.starts_with(TOKEN_PREFIX)) {
        if let Some(form) = spoken.iter().find(|form| name(**form) == protocol) {
            return Ok((*form, true));
        }
        silent = false;
    }
    if silent {
        Ok((spoken[0], false))
    } else {
        Err(Refusal::Subprotocol)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    #[test]
    fn the_first_form_that_both_speak_is_chosen() {
        let both = headers(&["linkgate.v1.json, linkgate.v1.proto"]);
        assert_eq!(choose(&both, FormChoice::Any), Ok((Form::Json, true)));
        assert_eq!(
            choose(&both, FormChoice::Protobuf),
            Ok((Form::Protobuf, true))
        );
        let split = headers(&["mqtt", "linkgate.v1.json"]);
        assert_eq!(choose(&split, FormChoice::Any), Ok((Form::Json, true)));
    }

    #[test]
    fn a_client_that_offers_no_form_gets_the_first() {
        for offer in [headers(&[]), headers(&["linkgate.token.a.b.c"])] {
            assert_eq!(choose(&offer, FormChoice::Any), Ok((Form::Protobuf, false)));
            assert_eq!(choose(&offer, FormChoice::Json), Ok((Form::Json, false)));
        }
    }

    #[test]
    fn a_client_that_offers_other_forms_only_is_refused() {
        assert_eq!(
            choose(&headers(&["mqtt"]), FormChoice::Any),
            Err(Refusal::Subprotocol)
        );
        let json = headers(&["linkgate.v1.json"]);
        assert_eq!(
            choose(&json, FormChoice::Protobuf),
            Err(Refusal::Subprotocol)
        );
    }

    #[test]
    fn the_token_is_found_and_never_chosen() {
        let offer = headers(&["linkgate.token.a.b.c , linkgate.v1.proto"]);
        assert_eq!(token(&offer), Some("a.b.c"));
        assert_eq!(choose(&offer, FormChoice::Any), Ok((Form::Protobuf, true)));
        assert_eq!(token(&headers(&["linkgate.v1.proto"])), None);
    }
}
