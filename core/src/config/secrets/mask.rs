//! A text as it may be shown: the same lines, with `***` where a secret stands.
//!
//! This is no reader of YAML, as it has to work where none could read. Where it is in doubt it masks more, not less.

use std::ops::Range;

use super::{Names, is_elsewhere, password_in_url};

const MASK: &str = "***";

/// A text with its secrets masked.
pub(in crate::config) struct Masked {
    /// What may be shown.
    pub(in crate::config) text: String,
    /// What was masked, by its place in the text as it was.
    places: Vec<Range<usize>>,
}

impl Masked {
    /// The text as it is.
    pub(in crate::config) fn none(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            places: Vec::new(),
        }
    }

    pub(in crate::config) fn new(text: &str, names: &Names) -> Self {
        let mut scan = Scan {
            text,
            names,
            places: Vec::new(),
            aliases: Vec::new(),
            below: None,
        };
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            scan.line(start..start + line.trim_end().len());
            start += line.len();
        }
        scan.anchors();
        let places = joined(scan.places);
        let mut masked = String::with_capacity(text.len());
        let mut done = 0;
        for place in &places {
            masked.push_str(&text[done..place.start]);
            masked.push_str(MASK);
            done = place.end;
        }
        masked.push_str(&text[done..]);
        Self {
            text: masked,
            places,
        }
    }

    /// Where what stood at `range` stands now. Within a mask it is the whole of it.
    pub(in crate::config) fn at(&self, range: Range<usize>) -> Range<usize> {
        self.moved(range.start, false)..self.moved(range.end, true)
    }

    fn moved(&self, at: usize, is_end: bool) -> usize {
        let mut new = at;
        for place in &self.places {
            if at >= place.end {
                new = new + MASK.len() - place.len();
            } else if at > place.start {
                let within = if is_end { MASK.len() } else { 0 };
                return new - (at - place.start) + within;
            } else {
                break;
            }
        }
        new
    }
}

/// Sorted, and none within another.
fn joined(mut places: Vec<Range<usize>>) -> Vec<Range<usize>> {
    places.retain(|place| !place.is_empty());
    places.sort_by_key(|place| place.start);
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(places.len());
    for place in places {
        match joined.last_mut() {
            Some(last) if place.start <= last.end => last.end = last.end.max(place.end),
            _ => joined.push(place),
        }
    }
    joined
}

/// A secret's value that goes on in the lines below.
#[derive(Clone, Copy)]
struct Below {
    /// The column of its key: what is further in belongs to it.
    column: usize,
    /// The value begins below, and may be a mapping, whose keys tell for themselves.
    may_be_mapping: bool,
}

struct Scan<'a> {
    text: &'a str,
    names: &'a Names,
    places: Vec<Range<usize>>,
    /// Names of anchors that secrets are written at.
    aliases: Vec<&'a str>,
    below: Option<Below>,
}

impl<'a> Scan<'a> {
    fn line(&mut self, line: Range<usize>) {
        let text = &self.text[line.clone()];
        let content = text.trim_start_matches([' ', '\t']);
        if content.is_empty() {
            return;
        }
        let column = text.len() - content.len();
        if let Some(below) = self.below {
            let is_item = content.starts_with("- ");
            let belongs =
                column > below.column || below.may_be_mapping && is_item && column == below.column;
            if !belongs {
                self.below = None;
            } else if !(below.may_be_mapping && looks_like_mapping(content)) {
                let dash = if is_item && below.may_be_mapping {
                    2
                } else {
                    0
                };
                let value = content[dash..].trim_start();
                if !is_elsewhere(value.trim_matches(['"', '\''])) {
                    self.places.push(line.end - value.len()..line.end);
                }
                return;
            }
        }
        self.urls(&line);
        let mut depth = 0_usize;
        let mut at = 0;
        while let Some(found) = text[at..].find(['{', '}', ':']) {
            let here = at + found;
            at = here + 1;
            match text.as_bytes()[here] {
                b'{' => depth += 1,
                b'}' => depth = depth.saturating_sub(1),
                _ => {
                    if let Some(start) = self.secret_key(text, here) {
                        at = here + 1 + self.value(&line, here + 1, start, depth > 0);
                    }
                }
            }
        }
    }

    /// Where the key before the colon at `colon` begins, if it is one of a secret.
    fn secret_key(&self, text: &str, colon: usize) -> Option<usize> {
        let after = text[colon + 1..].chars().next();
        let head = text[..colon].trim_end();
        let bare = head.strip_suffix(['"', '\'']);
        if bare.is_none() && !after.is_none_or(char::is_whitespace) {
            return None;
        }
        let key = bare.unwrap_or(head);
        let start = key
            .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')))
            .map_or(0, |at| {
                at + key[at..].chars().next().map_or(1, char::len_utf8)
            });
        self.names.has(&key[start..]).then_some(start)
    }

    /// Masks the value that begins behind `from` in the line; says how far behind it the reading goes on.
    fn value(&mut self, line: &Range<usize>, from: usize, key: usize, flow: bool) -> usize {
        let text = &self.text[line.clone()];
        let mut value = text[from..].trim_start();
        while let Some((_, rest)) = value
            .strip_prefix(['&', '!'])
            .and_then(|rest| rest.split_once(char::is_whitespace))
        {
            value = rest.trim_start();
        }
        let start = text.len() - value.len();
        let go_on = |may_be_mapping| {
            let column = key;
            Some(Below {
                column,
                may_be_mapping,
            })
        };
        let (inner, closed) = match value.chars().next() {
            None | Some('#') => {
                self.below = go_on(true);
                return start - from;
            }
            // Its keys tell for themselves.
            Some('{') => return start - from,
            Some('[') if value[1..].trim_start().starts_with('{') => return start - from,
            Some('*') => {
                let name = value[1..].split([' ', ',', '}', ']']).next();
                self.aliases.extend(name);
                return start - from;
            }
            Some('|' | '>') => {
                self.below = go_on(false);
                return text.len() - from;
            }
            Some(quote @ ('"' | '\'')) => match closing(value, quote) {
                Some(end) => (1..end, true),
                None => (1..value.len(), false),
            },
            Some('[') => match value.find(']') {
                Some(end) => (1..end, true),
                None => (1..value.len(), false),
            },
            Some(_) if flow => (0..end_in_flow(value), true),
            Some(_) => (0..value.len(), false),
        };
        if !closed {
            self.below = go_on(false);
        }
        if !is_elsewhere(value[inner.clone()].trim_matches(['"', '\''])) {
            let first = line.start + start;
            self.places.push(first + inner.start..first + inner.end);
        }
        start - from + inner.end
    }

    /// Masks the passwords of URLs.
    fn urls(&mut self, line: &Range<usize>) {
        let text = &self.text[line.clone()];
        if !text.contains('@') {
            return;
        }
        let ends = |c: char| c.is_whitespace() || c == '"' || c == '\'';
        let mut start = 0;
        for word in text.split(ends) {
            if let Some(password) = password_in_url(word) {
                let first = line.start + start;
                self.places
                    .push(first + password.start..first + password.end);
            }
            // The characters that end words are one byte long, but for odd spaces.
            start += word.len();
            start += text[start..].chars().next().map_or(0, char::len_utf8);
        }
    }

    /// Masks what stands at the anchors that secrets are written at.
    fn anchors(&mut self) {
        for name in std::mem::take(&mut self.aliases) {
            let anchor = format!("&{name}");
            for (at, _) in self.text.match_indices(&anchor) {
                let rest = &self.text[at + anchor.len()..];
                let value = rest.lines().next().unwrap_or_default();
                if let Some(value) = value.strip_prefix(' ') {
                    let start = at + anchor.len() + 1;
                    self.places.push(start..start + value.trim_end().len());
                }
            }
        }
    }
}

fn looks_like_mapping(content: &str) -> bool {
    let content = content.trim_start_matches("- ").trim_start();
    content.starts_with(['{', '[', '#']) || content.contains(": ") || content.ends_with(':')
}

/// Where the quote that begins `value` is closed.
fn closing(value: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    let mut found = value.char_indices().skip(1).peekable();
    while let Some((at, c)) = found.next() {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote == '"' {
            escaped = true;
        } else if c == quote {
            if quote == '\'' && found.peek().is_some_and(|(_, next)| *next == quote) {
                found.next();
                continue;
            }
            return Some(at);
        }
    }
    None
}

/// Where a value without quotes ends within braces: at the next key, or at the last bracket. A comma alone ends it too, but
/// somebody may have forgotten the quotes.
fn end_in_flow(value: &str) -> usize {
    for (at, _) in value.match_indices(',') {
        let rest = value[at + 1..].trim_start();
        let key = rest.split(':').next().unwrap_or_default();
        let is_key = rest.len() > key.len()
            && !key.trim().is_empty()
            && key
                .chars()
                .all(|c| c.is_alphanumeric() || "_-. \"'".contains(c));
        if is_key {
            return at;
        }
    }
    value.trim_end_matches([' ', ',', '}', ']']).len()
}
