//! What the client sends: the texts of `--send`, then the lines of the standard input.

use std::io::BufRead;

use bytes::Bytes;
use tokio::sync::mpsc;

pub(super) struct Input {
    text: String,
    sent: u64,
    count: u64,
    lines: Option<mpsc::Receiver<Bytes>>,
}

impl Input {
    pub(super) fn new(text: Option<&str>, count: u64, read: bool) -> Self {
        Self {
            text: text.unwrap_or_default().to_owned(),
            sent: 0,
            count: text.map_or(0, |_| count),
            lines: read.then(lines),
        }
    }

    /// The next body; `None` at the end. Safe to cancel.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if self.sent < self.count {
            self.sent += 1;
            return Some(self.text.replace("{i}", &self.sent.to_string()).into());
        }
        self.lines.as_mut()?.recv().await
    }
}

/// The lines of the standard input, read by a thread of its own: reading a terminal cannot be cancelled, and the
/// process must be able to end without one more line. Empty lines are left out.
fn lines() -> mpsc::Receiver<Bytes> {
    let (lines, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin()
            .lock()
            .lines()
            .map_while(Result::ok)
            .filter(|line| !line.is_empty())
        {
            if lines.blocking_send(line.into()).is_err() {
                break;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_text_is_sent_so_often_with_its_number() {
        let mut input = Input::new(Some("m{i}"), 2, false);
        assert_eq!(input.next().await.unwrap(), "m1");
        assert_eq!(input.next().await.unwrap(), "m2");
        assert!(input.next().await.is_none());
    }
}
