//! A node with two users, stepped through a random schedule, and what comes of it.

mod checks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::testkit::{Pushed, TestLink, Testkit};
use linkgate_filter::{Limits, Message, Outcome, Pipeline};

use crate::common::{Desk, Go, failed, kit_with, ok, says};
use crate::shapes::{Shape, Step};

/// One link, what its client has sent and seen, and what backends have pushed to it.
struct Client {
    link: TestLink,
    open: bool,
    sent: Vec<String>,
    answers: Vec<(String, String)>,
    seen: Vec<String>,
    /// Pushes that stand in the mailbox, as the chain takes none now.
    mailbox: Vec<String>,
}

pub(crate) struct World {
    desk: Desk,
    kit: Testkit,
    shapes: [Shape; 2],
    pipelines: Vec<Arc<Pipeline>>,
    patience: Duration,
    clients: [Client; 2],
    earlier: Vec<Client>,
    numbers: usize,
    at_backend: Vec<Message>,
    /// Keys in the order in which they reached the backend, by link.
    arrived: BTreeMap<u64, Vec<String>>,
    /// What the backend said.
    fates: BTreeMap<String, bool>,
    pushes: BTreeMap<String, Pushed>,
    log: Vec<String>,
}

/// What all that happened comes to, for comparing runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Output {
    arrived: BTreeMap<u64, Vec<String>>,
    answers: Vec<BTreeMap<String, String>>,
    pushes: Vec<Vec<String>>,
    outcomes: BTreeMap<String, String>,
}

impl World {
    pub(crate) fn new(shapes: [Shape; 2], limits: Limits, patience: Duration) -> Self {
        let desk = Desk::fresh();
        let kit = kit_with(limits, &shapes[0].yaml());
        let client = |user| Client::new(kit.link(user));
        Self {
            desk,
            clients: [client("alice"), client("bob")],
            kit,
            shapes,
            pipelines: Vec::new(),
            patience,
            earlier: Vec::new(),
            numbers: 0,
            at_backend: Vec::new(),
            arrived: BTreeMap::new(),
            fates: BTreeMap::new(),
            pushes: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    /// Whether no change comes to its deadline.
    fn is_timely(&self) -> bool {
        self.patience > Duration::from_secs(600)
    }

    fn number(&mut self, kind: &str, bad: bool) -> String {
        self.numbers += 1;
        let bad = if bad { "bad" } else { "" };
        format!("{kind}{:04}{bad}", self.numbers)
    }

    pub(crate) async fn step(&mut self, step: Step) {
        match step {
            Step::Send(at, bad) if self.clients[at].open => {
                let key = self.number("b", bad);
                self.clients[at].send(key);
            }
            Step::Push(at, bad) if self.clients[at].open => {
                let key = self.number("p", bad);
                self.clients[at].mailbox.push(key);
            }
            Step::Beat(at) if self.clients[at].open => self.clients[at].link.frame("H", false),
            Step::Got(at) if self.clients[at].open => self.clients[at].got_all(),
            Step::Send(..) | Step::Push(..) | Step::Beat(_) | Step::Got(_) => {}
            Step::Go(pick, go) => {
                let gates = self.desk.gates();
                if !gates.is_empty() {
                    self.go(&gates[pick % gates.len()], go);
                }
            }
            Step::GoAll => self.go_all(),
            Step::Settle(pick, good) => {
                if !self.at_backend.is_empty() {
                    let m = self.at_backend.remove(pick % self.at_backend.len());
                    self.settle(m, good);
                }
            }
            Step::SettleAll => self.settle_all(),
            Step::Advance(ms) => {
                self.run().await;
                tokio::time::advance(Duration::from_millis(ms)).await;
            }
            Step::Run => self.run().await,
            Step::Change(at, other) => self.change(at, usize::from(other)),
            Step::Relogin(at) => self.relogin(at),
            Step::Leave(at) => self.clients[at].leave(),
        }
        self.look();
    }

    fn change(&mut self, at: usize, shape: usize) {
        let pipeline = self.kit.pipeline(&self.shapes[shape].yaml());
        self.clients[at].link.change(&pipeline, self.patience);
        self.pipelines.push(pipeline);
    }

    fn relogin(&mut self, at: usize) {
        let link = self.kit.relogin(&mut self.clients[at].link);
        let mut earlier = std::mem::replace(&mut self.clients[at], Client::new(link));
        earlier.leave();
        self.earlier.push(earlier);
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Client> {
        self.earlier.iter_mut().chain(&mut self.clients)
    }

    fn go_all(&mut self) {
        for gate in self.desk.gates() {
            // By its name, so that it says the same in every run.
            // What is joined differs from run to run, so what the trunk says may not.
            let refuse =
                gate.bytes().map(usize::from).sum::<usize>() % 5 == 0 && !gate.starts_with("trunk");
            self.go(&gate, if refuse { Go::Refuse } else { Go::On });
        }
    }

    /// What works on frames passes or closes the link, so it never refuses here.
    fn go(&self, gate: &str, go: Go) {
        // What is kept and refused comes to the client later.
        let kept = gate.contains(" p") && self.shapes.iter().any(Shape::keeps);
        let pass = kept || gate.starts_with("frame");
        self.desk.go(gate, if pass { Go::On } else { go });
    }

    fn settle_all(&mut self) {
        for m in std::mem::take(&mut self.at_backend) {
            let good = m.key.bytes().map(usize::from).sum::<usize>() % 4 != 0;
            self.settle(m, good);
        }
    }

    fn settle(&mut self, m: Message, good: bool) {
        self.fates.insert(m.key.clone(), good);
        m.settle(if good { ok("yes") } else { failed() });
    }

    async fn run(&mut self) {
        // From a link into the trunk and back.
        for _ in 0..4 {
            for client in self.all() {
                client.poll().await;
            }
            tokio::task::yield_now().await;
        }
        self.look();
    }

    /// Takes in what has come out at either end.
    fn look(&mut self) {
        let mut pushes = Vec::new();
        for client in self.all() {
            client.look();
            while client.open && !client.mailbox.is_empty() && client.link.chains().takes_pushes() {
                let key = client.mailbox.remove(0);
                pushes.push((key.clone(), client.link.push(&key, "")));
                client.look();
            }
        }
        self.pushes.extend(pushes);
        for mut m in self.kit.taken() {
            let parts = m.take_parts();
            if parts.is_empty() {
                self.arrive(m);
            } else {
                m.settle(ok(""));
                parts.into_iter().for_each(|part| self.arrive(part));
            }
        }
        self.log.extend(self.desk.log());
    }

    fn arrive(&mut self, m: Message) {
        let arrived = self.arrived.entry(m.link.id).or_default();
        assert!(!arrived.contains(&m.key), "{} came twice", m.key);
        arrived.push(m.key.clone());
        self.at_backend.push(m);
    }

    /// Lets everything go on until nothing is left to do.
    async fn finish_work(&mut self) {
        for _ in 0..200 {
            self.run().await;
            while !self.desk.gates().is_empty() || !self.at_backend.is_empty() {
                self.go_all();
                self.settle_all();
                self.run().await;
            }
            if !self.all().any(Client::is_busy) {
                return;
            }
            tokio::time::advance(Duration::from_secs(5)).await;
        }
        panic!("never at rest");
    }

    /// Brings everything to its end, and checks what must hold then.
    pub(crate) async fn end(mut self) -> Output {
        self.finish_work().await;
        self.all()
            .filter(|client| client.open)
            .for_each(Client::got_all);
        self.finish_work().await;
        // At the second deadline of a change, an answer may be inside the future of a filter.
        let sure = self.is_timely() || !self.shapes.iter().any(Shape::waits_with_answers);
        for client in self.all().filter(|client| client.open) {
            if sure && client.link.close_wanted().is_none() {
                client.check_answered();
            }
            assert_eq!(client.link.chains().load(), Default::default());
        }
        self.all().for_each(Client::leave);
        self.finish_work().await;
        tokio::time::advance(2 * self.patience + Duration::from_secs(70)).await;
        self.run().await;
        for client in self.all() {
            assert!(client.link.is_finished(), "a link has not finished");
        }
        self.check_answers();
        self.check_order();
        self.check_receipts();
        self.check_pushes();
        self.output()
    }

    fn output(&mut self) -> Output {
        let outcomes = self.pushes.iter();
        let outcomes = outcomes.map(|(key, pushed)| {
            (
                key.clone(),
                pushed.outcome().map_or_else(String::new, |o| says(&o)),
            )
        });
        Output {
            arrived: self.arrived.clone(),
            outcomes: outcomes.collect(),
            answers: self
                .all()
                .map(|client| client.answers.iter().cloned().collect())
                .collect(),
            pushes: self.all().map(|client| client.first_seen()).collect(),
        }
    }
}

impl Client {
    fn new(link: TestLink) -> Self {
        Self {
            link,
            open: true,
            sent: Vec::new(),
            answers: Vec::new(),
            seen: Vec::new(),
            mailbox: Vec::new(),
        }
    }

    fn send(&mut self, key: String) {
        self.link.frame(format!("B {key}"), false);
        self.sent.push(key);
    }

    fn got_all(&mut self) {
        for key in self.first_seen() {
            self.link.frame(format!("G {key}"), false);
        }
    }

    fn leave(&mut self) {
        self.open = false;
        self.mailbox.clear();
        self.look();
        self.link.disconnect();
    }

    fn is_busy(&mut self) -> bool {
        if self.open {
            !self.mailbox.is_empty() || self.link.chains().load().messages > 0
        } else {
            !self.link.is_finished()
        }
    }

    async fn poll(&mut self) {
        let chains = self.link.chains();
        std::future::poll_fn(|cx| {
            chains.tick();
            chains.poll(cx);
            std::task::Poll::Ready(())
        })
        .await;
    }

    fn look(&mut self) {
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

    fn first_seen(&self) -> Vec<String> {
        let mut first: Vec<String> = Vec::new();
        for key in &self.seen {
            if !first.contains(key) {
                first.push(key.clone());
            }
        }
        first
    }

    fn check_answered(&self) {
        for key in &self.sent {
            let answered = self.answers.iter().any(|(answered, _)| answered == key);
            assert!(answered, "{key} was never answered");
        }
    }
}
