use super::*;
use crate::listener::config::ListenerConfig;
use crate::listener::config::tests::read;

fn compression(more: &str) -> Compression {
    let config = format!(
        "{{ name: a, address: '127.0.0.1:0', auth: insecure_query, \
         websocket: {{ compression: {{ enabled: true, {more} }} }} }}"
    );
    read::<ListenerConfig>(&config)
        .unwrap()
        .websocket
        .compression
}

/// The agreement, and the answer behind the extension's name.
fn offered(offers: &[&str], compression: &Compression) -> Option<(Agreement, String)> {
    let mut headers = HeaderMap::new();
    for offer in offers {
        let value = HeaderValue::from_str(offer).unwrap();
        headers.append(SEC_WEBSOCKET_EXTENSIONS, value);
    }
    choose(&headers, compression).map(|(agreed, answer)| {
        let answer = answer.to_str().unwrap();
        let terms = answer.strip_prefix(DEFLATE).unwrap();
        (agreed, terms.to_owned())
    })
}

/// The answer of a listener that keeps context, which says the most about the offer.
fn terms(offer: &str) -> Option<String> {
    offered(&[offer], &compression("context_takeover: true")).map(|(_, terms)| terms)
}

#[test]
fn browsers_are_served() {
    let fresh = "; server_no_context_takeover; client_no_context_takeover";
    for offer in [
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate",
        "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
        "PerMessage-Deflate;Client_Max_Window_Bits",
    ] {
        let (agreed, terms) = offered(&[offer], &compression("")).unwrap();
        assert_eq!(terms, fresh, "{offer}");
        assert_eq!(
            agreed,
            Agreement {
                window_bits: 15,
                keeps: false,
                client_window_bits: 15,
                client_keeps: false,
                level: 4,
                min_size: 256,
            }
        );
        let (agreed, terms) = offered(&[offer], &compression("context_takeover: true")).unwrap();
        assert_eq!(terms, "", "{offer}");
        assert!(agreed.keeps && agreed.client_keeps);
    }
}

#[test]
fn nothing_is_agreed_to_where_it_is_off_or_not_offered() {
    assert_eq!(
        offered(&["permessage-deflate"], &Compression::default()),
        None
    );
    for offers in [&[][..], &[""], &["x-webkit-deflate-frame"], &[", ,;"]] {
        assert_eq!(offered(offers, &compression("")), None, "{offers:?}");
    }
}

#[test]
fn what_a_client_asks_for_is_honoured() {
    for (asked, answered) in [
        ("server_no_context_takeover", "; server_no_context_takeover"),
        ("client_no_context_takeover", "; client_no_context_takeover"),
        ("server_max_window_bits=10", "; server_max_window_bits=10"),
        (
            "server_max_window_bits = \"10\"",
            "; server_max_window_bits=10",
        ),
        ("server_max_window_bits=15", "; server_max_window_bits=15"),
        ("client_max_window_bits=15", ""),
        ("client_max_window_bits=10", "; client_max_window_bits=10"),
        ("client_max_window_bits=8", "; client_max_window_bits=8"),
    ] {
        let terms = terms(&format!("permessage-deflate; {asked}"));
        assert_eq!(terms.as_deref(), Some(answered), "{asked}");
    }
}

#[test]
fn an_offer_that_cannot_be_kept_is_passed_over() {
    for wrong in [
        "server_max_window_bits=8",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=010",
        "server_max_window_bits=\"10",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits=x",
        "client_max_window_bits=",
        "client_max_window_bits; client_max_window_bits",
        "server_no_context_takeover=1",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover=\"\"",
        "unknown",
        "unknown=\"a, permessage-deflate; b\"",
        "",
    ] {
        let offer = format!("permessage-deflate; {wrong}");
        assert_eq!(terms(&offer), None, "{wrong}");
        let second = format!("{offer}, permessage-deflate; server_max_window_bits=12");
        assert_eq!(
            offered(&[&second], &compression("")).map(|(agreed, _)| agreed.window_bits),
            // What follows an open quote belongs to it.
            (!wrong.ends_with("\"10")).then_some(12),
            "{wrong}"
        );
        let other = offered(&[&offer, "permessage-deflate"], &compression(""));
        assert!(other.is_some(), "{wrong}");
    }
}

#[test]
fn a_listeners_window_holds_for_both() {
    let small = compression("window_bits: 11, context_takeover: true");
    for (offer, answered, (ours, theirs)) in [
        ("", "; server_max_window_bits=11", (11, 15)),
        (
            "; client_max_window_bits; server_max_window_bits=10",
            "; server_max_window_bits=10; client_max_window_bits=11",
            (10, 11),
        ),
        (
            "; client_max_window_bits=8",
            "; server_max_window_bits=11; client_max_window_bits=8",
            (11, 9),
        ),
    ] {
        let offer = format!("permessage-deflate{offer}");
        let (agreed, terms) = offered(&[&offer], &small).unwrap();
        assert_eq!(terms, answered);
        assert_eq!(
            (agreed.window_bits, agreed.client_window_bits),
            (ours, theirs)
        );
    }
}

proptest::proptest! {
    #[test]
    fn any_offer_is_read_without_harm(offer in "[ -~]{0,80}", tail in "(; ?[a-z_]{0,30}(=\"?[0-9]{0,3}\"?)?){0,4}") {
        let all = compression("context_takeover: true");
        drop(offered(&[&offer], &all));
        drop(offered(&[&format!("permessage-deflate{tail}")], &all));
    }
}
