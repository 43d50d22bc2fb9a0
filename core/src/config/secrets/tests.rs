use super::*;
use crate::config::tree::Tree;

fn masked(text: &str) -> String {
    let mut names = Names::default();
    names.learn(&serde_json::json!({
        "properties": {
            "door_code": { "anyOf": [{ "$ref": "#/$defs/Secret" }, { "type": "null" }] },
            "codes": { "items": { "$ref": "#/$defs/Secret" } },
            "url": { "$ref": "#/$defs/Secret" },
        },
        "$defs": { "Secret": { "type": "string", "format": "password" } },
    }));
    Masked::new(text, &names).text
}

#[track_caller]
fn shows(text: &str, expected: &str) {
    assert_eq!(masked(text), expected);
}

#[test]
fn what_stands_at_the_key_of_a_secret_is_masked() {
    shows("token: hunter2 # mine\nid: a\n", "token: ***\nid: a\n");
    shows(
        "a: { password: hunter2, id: b }\n",
        "a: { password: ***, id: b }\n",
    );
    shows("{ token: hun,ter2 }", "{ token: *** }");
    shows("- token: 'it''s hunter2' # mine", "- token: '***' # mine");
    shows(
        r#"{"secret": "hun\"ter2", "id": 1}"#,
        r#"{"secret": "***", "id": 1}"#,
    );
    shows("tokens: [hunter2, hunter3]\n", "tokens: [***]\n");
    shows(
        "tokens:\n- hunter2\n- hunter3\nid: a\n",
        "tokens:\n- ***\n- ***\nid: a\n",
    );
    shows(
        "door_code: 1234\ncodes: [1234]\n",
        "door_code: ***\ncodes: [***]\n",
    );
    shows(
        "sasl.password: hunter2\nssl.key.pem: hunter2",
        "sasl.password: ***\nssl.key.pem: ***",
    );
    shows(
        "pasword: hunter2\nsercet: hunter2",
        "pasword: ***\nsercet: ***",
    );
    shows("token: &t hunter2\n", "token: &t ***\n");
    shows("x: &t hunter2\ntoken: *t\n", "x: &t ***\ntoken: *t\n");
}

#[test]
fn values_of_several_lines_are_masked_line_by_line() {
    shows(
        "key: |\n  -----BEGIN\n  hunter2\nid: a\n",
        "key: |\n  ***\n  ***\nid: a\n",
    );
    shows(
        "token: \"hunter2\n  and more\nid: a",
        "token: \"***\n  ***\nid: a",
    );
    shows("token:\n  hunter2\nid: a", "token:\n  ***\nid: a");
    shows(
        "token:\n  file: a\n  key: b\nid: c",
        "token:\n  file: a\n  key: ***\nid: c",
    );
}

#[test]
fn the_password_of_a_url_is_masked() {
    shows("url: redis://a:6379/1\n", "url: redis://a:6379/1\n");
    shows(
        "url: \"redis://user:hunter2@a\"",
        "url: \"redis://user:***@a\"",
    );
    shows(
        "urls: [redis://:p@ss@a, \"a:26379\"]",
        "urls: [redis://:***@a, \"a:26379\"]",
    );
    shows("url: redis:/:hunter2@a", "url: redis:***@a");
    shows("url: redis://:${PASSWORD}@a", "url: redis://:${PASSWORD}@a");
}

#[test]
fn what_is_no_secret_is_shown() {
    for text in [
        "token: ${TOKEN}\nkey: \"${file:a b.key}\"\ntls: { cert: tls/a.pem, key: tls/a.key }\n",
        "max_key: 4KiB\npublic_key: abc\nkeys: [{ id: a }]\nkey_prefix: x\nuser_claim: sub\n",
        "url: http://a/b@c\nserver: a\npath: /ws\nsection: b\nparts: 1\n",
        "tocken_ttl: 5s\n",
    ] {
        shows(text, text);
    }
    shows("token: ${TOKEN:-hunter2}\n", "token: ***\n");
}

#[test]
fn places_move_with_the_text() {
    let text = "{ token: hunter2, id: a, key: b }";
    let masked = Masked::new(text, &Names::default());
    let shown = |part: &str| {
        let at = text.find(part).unwrap();
        &masked.text[masked.at(at..at + part.len())]
    };
    assert_eq!(masked.text, "{ token: ***, id: a, key: *** }");
    assert_eq!(shown("hunter2"), "***");
    assert_eq!(shown("unter"), "***");
    assert_eq!(shown("token: hunter2,"), "token: ***,");
    assert_eq!(shown("id"), "id");
    assert_eq!(shown("key: b"), "key: ***");
}

#[test]
fn secrets_in_place_are_hidden_from_messages() {
    let text = "token: hunter2\nurl: redis://u:hunter3@a\ncode: &c hunter4\npassword: *c\npin: { secret: 5678 }\n\
                key: tls/a.key\nname: chat\n";
    let mut sources = crate::config::source::Sources::default();
    let file = sources.push("test.yaml", text);
    let mut diagnostics = crate::config::Diagnostics::default();
    let trees: Vec<Tree> = crate::config::parse::parse(&sources, file, &mut diagnostics);
    let mut hidden = Hidden::default();
    Names::default().hide_in(&trees[0], &mut hidden);
    assert_eq!(
        hidden.clean("`hunter2`, hunter3, \"hunter4\", 5678, `tls/a.key`, `chat`"),
        "`(secret)`, (secret), \"(secret)\", (secret), `tls/a.key`, `chat`"
    );
}

#[test]
fn what_is_hidden_is_so_in_every_form_but_not_in_other_words() {
    let mut hidden = Hidden::default();
    hidden.hide("line one\n\"line two\"\n", Hidden::SECRET);
    hidden.hide("line", Hidden::SECRET);
    hidden.hide("at", "${WHERE}");
    hidden.hide("WHERE", "${WHAT}");
    let message = format!(
        "{:?}, `line one\n\"line two\"`, `line`, `at`, at that, lines",
        "line one\n\"line two\"\n"
    );
    assert_eq!(
        hidden.clean(&message),
        "\"(secret)\", `(secret)`, `(secret)`, `${WHERE}`, at that, lines"
    );
}

mod any_text {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keeps_its_lines_and_its_places(text in "([ \\t\\n:\\-\\[\\]{},&*!|>'\"#@$/a-cé]|token: |key: |: hunter2){0,40}") {
            let masked = Masked::new(&text, &Names::default());
            prop_assert_eq!(masked.text.lines().count(), text.lines().count());
            for (at, _) in text.char_indices() {
                prop_assert!(masked.text.get(masked.at(at..text.len())).is_some());
                prop_assert!(masked.text.get(masked.at(0..at)).is_some());
            }
        }
    }
}
