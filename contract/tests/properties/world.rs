//! A node with two users, stepped through a random schedule, and what comes of it.

mod checks;
mod client;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use linkgate_filter::Message;
use linkgate_filter::runner::{Limits, Pipeline};
use linkgate_filter::testkit::{Pushed, Testkit};

use self::client::Client;
use crate::common::{Desk, Go, failed, kit_with, ok, says};
use crate::shapes::Shape;
use crate::steps::{Step, Target};

pub(crate) struct World {
    desk: Desk,
    kit: Testkit,
    shapes: Vec<Shape>,
    /// The pipelines that are not retired, one of each shape where there is one.
    current: Vec<Option<Arc<Pipeline>>>,
    pipelines: Vec<Weak<Pipeline>>,
    patience: Duration,
    clients: Vec<Client>,
    earlier: Vec<Client>,
    numbers: usize,
    at_backend: Vec<Message>,
    /// Keys in the order in which they reached the backend, by link.
    arrived: BTreeMap<u64, Vec<String>>,
    /// What became of pushes, and the links they were pushed to.
    pushes: BTreeMap<String, (u64, Pushed)>,
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
    pub(crate) fn new(shapes: Vec<Shape>, limits: Limits, patience: Duration) -> Self {
        let desk = Desk::fresh();
        let kit = kit_with(limits, &shapes[0].yaml());
        let client = |user| Client::new(kit.link(user));
        let mut current = vec![None; shapes.len()];
        current[0] = Some(Arc::clone(kit.own()));
        Self {
            desk,
            clients: vec![client("alice"), client("bob")],
            kit,
            shapes,
            current,
            pipelines: Vec::new(),
            patience,
            earlier: Vec::new(),
            numbers: 0,
            at_backend: Vec::new(),
            arrived: BTreeMap::new(),
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
                self.take_in();
                if !self.at_backend.is_empty() {
                    let m = self.at_backend.remove(pick % self.at_backend.len());
                    settle(m, good);
                }
            }
            Step::SettleAll => self.settle_all(),
            Step::Advance(ms) => {
                self.run().await;
                self.pass(Duration::from_millis(ms)).await;
            }
            Step::Run => self.run().await,
            Step::Change(at, target) => {
                let pipeline = self.pipeline(target);
                let patience = self.patience;
                self.clients[at].change(&pipeline, patience);
            }
            Step::Reload(target) => {
                let pipeline = self.pipeline(target);
                let patience = self.patience;
                self.all()
                    .for_each(|client| client.change(&pipeline, patience));
            }
            Step::Relogin(at, at_once) => self.relogin(at, at_once),
            Step::Leave(at) => self.clients[at].leave(),
        }
        self.look();
    }

    fn pipeline(&mut self, Target { shape, anew }: Target) -> Arc<Pipeline> {
        let current = &mut self.current[shape];
        if let Some(old) = current.take_if(|_| anew) {
            old.retire();
        }
        let pipeline = current.get_or_insert_with(|| self.kit.pipeline(&self.shapes[shape].yaml()));
        self.pipelines.push(Arc::downgrade(pipeline));
        Arc::clone(pipeline)
    }

    fn relogin(&mut self, at: usize, at_once: bool) {
        let link = self.kit.relogin(&mut self.clients[at].link);
        let mut earlier = std::mem::replace(&mut self.clients[at], Client::new(link));
        earlier.replaced = true;
        if at_once {
            earlier.leave();
        }
        self.earlier.push(earlier);
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Client> {
        self.earlier.iter_mut().chain(&mut self.clients)
    }

    fn go_all(&mut self) {
        for gate in self.desk.gates() {
            // By its name, so that it says the same in every run.
            // What is joined differs from run to run, so what the trunk and the end say may not.
            let refuse = gate.bytes().map(usize::from).sum::<usize>() % 5 == 0
                && !gate.starts_with("trunk")
                && !gate.starts_with("end");
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
        self.take_in();
        for m in std::mem::take(&mut self.at_backend) {
            let good = m.key.bytes().map(usize::from).sum::<usize>() % 4 != 0;
            settle(m, good);
        }
    }

    async fn run(&mut self) {
        // From a link into the trunk and back.
        for _ in 0..4 {
            poll_fn(|cx| {
                self.all().for_each(|client| client.poll(cx));
                Poll::Ready(())
            })
            .await;
            tokio::task::yield_now().await;
        }
        self.look();
        self.check_lives();
    }

    /// Time goes by, and links do what they are woken for.
    async fn pass(&mut self, time: Duration) {
        let mut over = std::pin::pin!(tokio::time::sleep(time));
        poll_fn(|cx| {
            self.all().for_each(|client| client.poll(cx));
            over.as_mut().poll(cx)
        })
        .await;
    }

    /// Takes in what has come out at either end.
    fn look(&mut self) {
        let mut pushes = Vec::new();
        for client in self.all() {
            client.look();
            while client.open && !client.mailbox.is_empty() && client.link.chains().takes_pushes() {
                let key = client.mailbox.remove(0);
                let pushed = client.link.push(&key, "");
                pushes.push((key, (client.id(), pushed)));
                client.look();
            }
        }
        self.pushes.extend(pushes);
        self.take_in();
    }

    fn take_in(&mut self) {
        for (link, key) in self.desk.arrived() {
            let arrived = self.arrived.entry(link).or_default();
            assert!(!arrived.contains(&key), "{key} came twice");
            arrived.push(key);
        }
        self.at_backend.extend(self.desk.handed());
        self.log.extend(self.desk.log());
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
            self.pass(Duration::from_secs(5)).await;
        }
        panic!("never at rest");
    }

    /// Brings everything to its end, and checks what must hold then.
    pub(crate) async fn end(mut self) -> Output {
        self.finish_work().await;
        self.got_all();
        self.finish_work().await;
        self.check_changed().await;
        for client in self.all().filter(|client| client.open) {
            if client.link.close_wanted().is_none() {
                client.check_answered();
            }
            assert_eq!(client.link.chains().load(), Default::default());
        }
        self.all().for_each(Client::leave);
        self.finish_work().await;
        self.pass(2 * self.patience + Duration::from_secs(70)).await;
        self.run().await;
        for client in self.all() {
            assert!(client.link.is_finished(), "a link has not finished");
        }
        self.check_answers();
        self.check_order();
        let replaced = self.all().filter(|client| client.replaced);
        let replaced = replaced.map(|client| client.id()).collect();
        let mut output = self.output();
        // As the tasks of links that have finished end.
        self.earlier.clear();
        self.clients.clear();
        self.take_in();
        self.check_receipts();
        self.check_pushes(&replaced);
        self.check_nothing_is_left();
        output.outcomes = self.outcomes();
        output
    }

    fn got_all(&mut self) {
        self.all()
            .filter(|client| client.open)
            .for_each(Client::got_all);
    }

    fn outcomes(&self) -> BTreeMap<String, String> {
        let outcomes = self.pushes.iter().map(|(key, (_, pushed))| {
            let says = pushed.outcome().map_or_else(String::new, |o| says(&o));
            (key.clone(), says)
        });
        outcomes.collect()
    }

    fn output(&mut self) -> Output {
        Output {
            arrived: self.arrived.clone(),
            outcomes: BTreeMap::new(),
            answers: self
                .all()
                .map(|client| client.answers.iter().cloned().collect())
                .collect(),
            pushes: self.all().map(|client| client.first_seen()).collect(),
        }
    }
}

fn settle(m: Message, good: bool) {
    Desk::fate(&m.key, good);
    m.settle(if good { ok("yes") } else { failed() });
}
