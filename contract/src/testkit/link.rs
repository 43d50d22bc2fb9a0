//! A link under test: what the production link does, without the socket.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::close::CloseCode;
use crate::link::LinkInfo;
use crate::message::{Command, Message};
use crate::receipt::{Outcome, Receipt, Settler};
use crate::runner::Chains;
use crate::runner::Pipeline;

/// A link under test.
pub struct TestLink {
    info: Arc<LinkInfo>,
    chains: Chains,
    received: Vec<Message>,
}

impl TestLink {
    pub(super) fn open(pipeline: &Arc<Pipeline>, info: Arc<LinkInfo>) -> Self {
        let mut link = Self {
            chains: Chains::open(pipeline, &info),
            info,
            received: Vec::new(),
        };
        link.take_outgoing();
        link
    }

    /// What filters know of the link.
    pub fn info(&self) -> &Arc<LinkInfo> {
        &self.info
    }

    /// The chains, for what this kit has no word for.
    pub fn chains(&mut self) -> &mut Chains {
        &mut self.chains
    }

    /// The client sends a decoded message; for pipelines without a codec.
    pub fn send(&mut self, command: Command, key: &str, body: impl Into<Bytes>) {
        let message = Message::new(Arc::clone(&self.info), command, key, body);
        self.enter(|chains| chains.upstream(message));
    }

    /// The client sends a business message.
    pub fn business(&mut self, key: &str, body: impl Into<Bytes>) {
        self.send(Command::UpstreamMessage, key, body);
    }

    /// The client sends a frame.
    pub fn frame(&mut self, body: impl Into<Bytes>, text: bool) {
        let message = Message::raw(Arc::clone(&self.info), body, text);
        self.enter(|chains| chains.upstream(message));
    }

    /// A backend pushes.
    pub fn push(&mut self, key: &str, body: impl Into<Bytes>) -> Pushed {
        self.push_with(key, body, |m| m)
    }

    /// A backend pushes a message that `adapt` has changed.
    pub fn push_with(
        &mut self,
        key: &str,
        body: impl Into<Bytes>,
        adapt: impl FnOnce(Message) -> Message,
    ) -> Pushed {
        let (pushed, receipt) = Pushed::new();
        let message = Message::new(
            Arc::clone(&self.info),
            Command::DownstreamMessage,
            key,
            body,
        );
        let message = adapt(message).with_receipt(receipt);
        self.enter(|chains| chains.downstream(message));
        pushed
    }

    /// The socket is gone.
    pub fn disconnect(&mut self) {
        self.enter(Chains::disconnect);
    }

    /// Another link has taken the session over.
    pub fn fence(&mut self) {
        self.enter(Chains::fence);
    }

    /// The pipeline changes.
    pub fn change(&mut self, pipeline: &Arc<Pipeline>, patience: Duration) {
        self.enter(|chains| chains.change(pipeline, patience));
    }

    fn enter(&mut self, work: impl FnOnce(&mut Chains)) {
        self.chains.tick();
        work(&mut self.chains);
        self.take_outgoing();
    }

    /// Lets everything run that can run now; time stands still.
    pub async fn run(&mut self) {
        for _ in 0..16 {
            self.poll().await;
            tokio::task::yield_now().await;
        }
    }

    async fn poll(&mut self) {
        poll_fn(|cx| {
            self.chains.tick();
            self.chains.poll(cx);
            self.take_outgoing();
            Poll::Ready(())
        })
        .await;
    }

    /// Moves time on.
    pub async fn advance(&mut self, by: Duration) {
        self.run().await;
        tokio::time::advance(by).await;
        self.run().await;
    }

    /// The next message for the client. Time moves on by itself while nothing else can happen.
    ///
    /// # Panics
    /// When nothing has come after an hour of virtual time.
    pub async fn next(&mut self) -> Message {
        let next = poll_fn(|cx| {
            self.chains.tick();
            self.chains.poll(cx);
            self.take_outgoing();
            if self.received.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(self.received.remove(0))
            }
        });
        let patience = Duration::from_secs(3600);
        tokio::time::timeout(patience, next)
            .await
            .unwrap_or_else(|_| panic!("nothing came for the client"))
    }

    /// What has come for the client since the last call.
    pub fn received(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.received)
    }

    /// The code a filter wants the link closed with.
    pub fn close_wanted(&self) -> Option<CloseCode> {
        self.chains.close_wanted()
    }

    /// Whether the link's task would have ended.
    pub fn is_finished(&self) -> bool {
        self.chains.is_finished()
    }

    fn take_outgoing(&mut self) {
        while let Some(mut message) = self.chains.next_outgoing() {
            if let Some(receipt) = message.take_receipt() {
                receipt.settle(Outcome::sent());
            }
            self.received.push(message);
        }
    }
}

/// What becomes of a push.
#[derive(Clone, Default)]
pub struct Pushed(Arc<Outcomes>);

#[derive(Default)]
struct Outcomes(Mutex<Vec<Outcome>>);

impl Settler for Outcomes {
    fn settle(&self, _: u64, outcome: Outcome) {
        self.0.lock().push(outcome);
    }
}

impl Pushed {
    /// A place for an outcome, and the receipt that brings it.
    pub fn new() -> (Self, Receipt) {
        let pushed = Self::default();
        let receipt = Receipt::new(Arc::clone(&pushed.0) as _, 0);
        (pushed, receipt)
    }

    /// The outcome, once there is one.
    ///
    /// # Panics
    /// When the push has settled more than once.
    pub fn outcome(&self) -> Option<Outcome> {
        let outcomes = self.0.0.lock();
        assert!(outcomes.len() <= 1, "settled more than once: {outcomes:?}");
        outcomes.first().cloned()
    }
}
