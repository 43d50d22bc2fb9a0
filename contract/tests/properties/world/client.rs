//! One link of the world and its client.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use linkgate_filter::Outcome;
use linkgate_filter::runner::Pipeline;
use linkgate_filter::testkit::TestLink;

/// One link, what its client has sent and seen, and what backends have pushed to it.
pub(super) struct Client {
    pub(super) link: TestLink,
    pub(super) open: bool,
    /// Another link has taken the session over.
    pub(super) replaced: bool,
    pub(super) sent: Vec<String>,
    pub(super) answers: Vec<(String, String)>,
    pub(super) seen: Vec<String>,
    /// Pushes that stand in the mailbox, as the chain takes none now.
    pub(super) mailbox: Vec<String>,
    /// What the link was changed to last.
    pub(super) wanted: Option<Arc<Pipeline>>,
}

impl Client {
    pub(super) fn new(link: TestLink) -> Self {
        Self {
            link,
            open: true,
            replaced: false,
            sent: Vec::new(),
            answers: Vec::new(),
            seen: Vec::new(),
            mailbox: Vec::new(),
            wanted: None,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.link.info().id
    }

    pub(super) fn send(&mut self, key: String) {
        self.link.frame(format!("B {key}"), false);
        self.sent.push(key);
    }

    pub(super) fn change(&mut self, pipeline: &Arc<Pipeline>, patience: Duration) {
        self.link.change(pipeline, patience);
        self.wanted = Some(Arc::clone(pipeline));
    }

    pub(super) fn got_all(&mut self) {
        for key in self.first_seen() {
            self.link.frame(format!("G {key}"), false);
        }
    }

    pub(super) fn leave(&mut self) {
        self.open = false;
        self.mailbox.clear();
        self.look();
        self.link.disconnect();
        if self.replaced {
            self.link.fence();
        }
    }

    pub(super) fn is_busy(&mut self) -> bool {
        // A push of a link that was replaced may be the successor's to settle.
        if self.open || self.replaced {
            !self.mailbox.is_empty() || self.link.chains().load().messages > 0
        } else {
            !self.link.is_finished()
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        let chains = self.link.chains();
        chains.tick();
        chains.poll(cx);
    }

    pub(super) fn look(&mut self) {
        let mut down = self.link.received();
        down.extend(std::iter::from_fn(|| self.link.chains().next_outgoing()));
        for mut m in down {
            if let Some(receipt) = m.take_receipt() {
                receipt.settle(Outcome::sent());
            }
            let text = String::from_utf8_lossy(&m.body).into_owned();
            match text.split_once(' ') {
                Some(("push", key)) => self.seen.push(key.to_owned()),
                Some((command @ ("ack" | "nack"), rest)) => {
                    let (key, what) = rest.split_once(' ').unwrap_or((rest, ""));
                    self.answers
                        .push((key.to_owned(), format!("{command} {what}")));
                }
                _ => panic!("{text} came down"),
            }
        }
    }

    pub(super) fn first_seen(&self) -> Vec<String> {
        let mut first: Vec<String> = Vec::new();
        for key in &self.seen {
            if !first.contains(key) {
                first.push(key.clone());
            }
        }
        first
    }

    pub(super) fn check_answered(&self) {
        for key in &self.sent {
            let answered = self.answers.iter().any(|(answered, _)| answered == key);
            assert!(answered, "{key} was never answered");
        }
    }
}
