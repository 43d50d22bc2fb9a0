//! Texts that no message repeats.

use std::collections::BTreeMap;

/// Texts that are never shown, each with what is shown in its place.
#[derive(Clone, Default)]
pub(in crate::config) struct Hidden(BTreeMap<String, String>);

impl Hidden {
    /// What stands for a secret that has no name.
    pub(in crate::config) const SECRET: &str = "(secret)";

    /// Hides a text, in the forms it takes in messages, behind `shown`.
    pub(in crate::config) fn hide(&mut self, text: &str, shown: &str) {
        for form in [text, text.trim()] {
            let quoted = format!("{form:?}");
            for form in [form, &quoted[1..quoted.len() - 1]] {
                if !form.is_empty() {
                    self.0.insert(form.to_owned(), shown.to_owned());
                }
            }
        }
    }

    /// The message without what is hidden, and without characters that steer a terminal.
    pub(in crate::config) fn clean(&self, message: &str) -> String {
        // The longest first, so that none survives as the rest of another.
        let mut texts: Vec<(&String, &String)> = self.0.iter().collect();
        texts.retain(|(text, _)| message.contains(text.as_str()));
        texts.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        let mut clean = String::new();
        let mut at = 0;
        while let Some(c) = message[at..].chars().next() {
            let found = texts
                .iter()
                .find(|(text, _)| stands_at(message, at, text.as_str()));
            if let Some((text, shown)) = found {
                clean.push_str(shown);
                at += text.len();
                continue;
            }
            if c.is_control() && c != '\n' {
                clean.extend(c.escape_default());
            } else {
                clean.push(c);
            }
            at += c.len_utf8();
        }
        clean
    }
}

/// Whether `text` stands at this place, and is what was meant: a few letters stand in other words too, so of a short text
/// only whole words count, and of a very short one only what is quoted.
fn stands_at(message: &str, at: usize, text: &str) -> bool {
    if !message[at..].starts_with(text) {
        return false;
    }
    let before = message[..at].chars().next_back();
    let after = message[at + text.len()..].chars().next();
    let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    match text.chars().count() {
        ..4 => before == after && matches!(before, Some('`' | '"' | '\'')),
        4..8 => {
            let (first, last) = (text.chars().next(), text.chars().next_back());
            !(in_word(before) && in_word(first) || in_word(after) && in_word(last))
        }
        _ => true,
    }
}
