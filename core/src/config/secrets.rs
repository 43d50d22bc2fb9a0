//! What of a configuration is never shown: which keys hold secrets, the texts that messages must not repeat, and the
//! places that a shown line must not have. How problems are shown is not known here.
//!
//! Messages and lines are cleaned for themselves. What was read is known by its text, wherever it comes up. But a line is
//! also shown where nothing could be read, as of a quote that does not end, so it is looked through by key names alone.

mod hidden;
mod mask;
mod names;

pub(super) use hidden::Hidden;
pub(super) use mask::Masked;
pub(super) use names::Names;

/// Whether the text of a secret's key only says where the secret is: it may be shown, and helps to find what is wrong.
fn is_elsewhere(text: &str) -> bool {
    let reference = text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|name| !name.contains(['}', '$']) && !name.contains(":-"));
    let file = !text.contains(char::is_whitespace)
        && [".pem", ".key", ".crt"]
            .iter()
            .any(|ending| text.ends_with(ending));
    reference || file
}

/// Where the password of a URL in `word` stands: between the first `:` behind `//` and the last `@`. A URL that is written
/// wrongly is no exception.
fn password_in_url(word: &str) -> Option<std::ops::Range<usize>> {
    let end = word.rfind('@')?;
    let user = word[..end].find("://").map_or(0, |at| at + 3);
    let start = user + word[user..end].find(':')? + 1;
    (start < end && !is_elsewhere(&word[start..end])).then_some(start..end)
}

#[cfg(test)]
mod tests;
