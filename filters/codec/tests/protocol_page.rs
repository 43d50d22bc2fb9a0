//! Keeps `docs/protocol.md` true: its examples, and its tables of commands, close codes and limits.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use linkgate_codec::Config;
use linkgate_filter::{Bytes, CloseCode, Form};
use linkgate_proto::v1;
use prost::Message as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/protocol.md");

/// The page's code blocks: what stands behind the fence, and the text.
fn blocks() -> Vec<(&'static str, String)> {
    let mut blocks: Vec<(&str, String)> = Vec::new();
    let mut inside = false;
    for line in PAGE.lines() {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(kind) => {
                inside = true;
                blocks.push((kind, String::new()));
            }
            None if inside => {
                let (_, text) = blocks.last_mut().unwrap();
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    blocks
}

/// The cells of all table rows with this many columns, without back quotes.
fn rows(columns: usize) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim_matches('|');
        line.split('|')
            .map(|cell| cell.trim().replace('`', ""))
            .collect()
    };
    PAGE.lines()
        .filter(|line| line.starts_with('|'))
        .map(cells)
        .filter(|cells| cells.len() == columns)
        .collect()
}

/// Reads an example, and makes sure that no field was skipped as unknown and that it is what the gateway would write.
fn example<T: DeserializeOwned + Serialize>(text: &str) -> T {
    let read: T = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}:\n{text}"));
    let shown: Value = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), shown);
    read
}

#[test]
fn examples_are_messages() {
    let blocks = blocks();
    let examples: Vec<v1::Message> = blocks
        .iter()
        .filter(|(kind, _)| *kind == "json")
        .map(|(_, text)| example(text))
        .collect();
    let shown: Vec<_> = examples.iter().map(v1::Message::cmd).collect();
    for number in 1..=8 {
        let command = v1::Command::try_from(number).unwrap();
        assert!(shown.contains(&command), "{command:?} has no example");
    }
    for message in examples {
        let frame = Bytes::from(serde_json::to_vec(&message).unwrap());
        let decoded = linkgate_codec::wire::decode(Form::Json, &frame).unwrap();
        assert_eq!((decoded.key, decoded.body), (message.key, message.body));
    }
}

#[test]
fn bytes_are_those_of_the_example_before_them() {
    let blocks = blocks();
    let mut checked = 0;
    for pair in blocks.windows(2) {
        let [("json", text), ("hex", hex)] = pair else {
            continue;
        };
        let bytes: Vec<u8> = hex
            .split_whitespace()
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect();
        assert_eq!(
            example::<v1::Message>(text).encode_to_vec(),
            bytes,
            "{text}"
        );
        checked += 1;
    }
    let all = blocks.iter().filter(|(kind, _)| *kind == "hex").count();
    assert!(checked == all && checked > 4, "{checked} of {all}");
}

#[test]
fn the_redirect_shown_is_the_one_in_the_message() {
    let blocks = blocks();
    let (_, text) = blocks
        .iter()
        .find(|(kind, _)| *kind == "json redirect")
        .unwrap();
    let shown: v1::Redirect = example(text);
    let message = blocks
        .iter()
        .filter(|(kind, _)| *kind == "json")
        .map(|(_, text)| example::<v1::Message>(text))
        .find(|message| message.cmd() == v1::Command::Redirect)
        .unwrap();
    assert_eq!(
        serde_json::from_slice::<v1::Redirect>(&message.body).unwrap(),
        shown
    );
}

#[test]
fn the_table_of_commands_is_whole() {
    let shown: Vec<(i32, String)> = rows(4)
        .into_iter()
        .filter_map(|row| Some((row[0].parse().ok()?, row[1].clone())))
        .filter(|(_, name)| v1::Command::from_str_name(name).is_some())
        .collect();
    let known: Vec<(i32, String)> = (1..=8)
        .map(|number| v1::Command::try_from(number).unwrap())
        .map(|command| (command.into(), command.as_str_name().to_owned()))
        .collect();
    assert_eq!(shown, known);
    assert!(
        v1::Command::try_from(9).is_err(),
        "a new command needs a row"
    );
}

#[test]
fn the_table_of_close_codes_is_whole() {
    let shown: Vec<(u16, String, bool)> = rows(4)
        .into_iter()
        .filter_map(|row| Some((row[0].parse().ok()?, row[1].clone(), row[2].clone())))
        .filter(|(number, ..)| *number >= 1000)
        .map(|(number, name, again)| (number, name, again == "yes"))
        .collect();
    let known: Vec<_> = CloseCode::ALL
        .iter()
        .map(|code| (code.code(), code.name().to_owned(), code.reconnect()))
        .collect();
    assert_eq!(shown, known);
}

#[test]
fn the_limits_shown_are_the_defaults() {
    let config = Config::default();
    let limit = |code: &str| {
        let rows = rows(4);
        let row = rows.iter().find(|row| row[0] == code).unwrap();
        row[2].clone()
    };
    let bytes = config.max_key.bytes();
    assert_eq!(limit("codec.key_too_long"), format!("{bytes} bytes"));
    let kib = config.max_body.bytes() / 1024;
    assert_eq!(limit("codec.body_too_big"), format!("{kib} KiB"));
    let unsettled = linkgate_filter::runner::Limits::default().unsettled;
    assert_eq!(limit("link.overloaded"), unsettled.to_string());
}
