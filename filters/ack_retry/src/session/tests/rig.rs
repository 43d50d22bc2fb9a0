//! A session with everything around it: the time, the means, the client's comings and goings, and a record of what
//! happened.

use std::sync::Arc;
use std::time::{Duration, Instant};

use linkgate_filter::runner::Settler;
use linkgate_filter::{Command, Identity, LinkInfo, Message, Outcome, Receipt, Room, Verdict};
use parking_lot::Mutex;

use crate::budget::Budget;
use crate::config::Config;
use crate::counters::Counters;
use crate::session::{Means, Session, Turn};

/// Names a push; counts up with them.
pub(super) type Number = u64;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    Pushed {
        push: Number,
        key: String,
        ack: bool,
        expires_at: Option<Duration>,
    },
    Acknowledged {
        key: String,
    },
    Sent {
        push: Number,
    },
    Settled {
        push: Number,
        outcome: Outcome,
    },
    Connected,
    Disconnected,
}

/// What happened, and when since the start.
pub(super) type Record = Vec<(Duration, Event)>;

pub(super) struct Rig {
    pub(super) session: Session,
    pub(super) config: Config,
    pub(super) counters: Counters,
    pub(super) connected: bool,
    pub(super) room: Room,
    budget: Budget,
    start: Instant,
    link: Arc<LinkInfo>,
    kept_until: Option<Instant>,
    chance: fastrand::Rng,
    pushed: Number,
    log: Arc<Log>,
}

struct Log(Mutex<(Duration, Record)>);

impl Log {
    fn note(&self, event: Event) {
        let mut log = self.0.lock();
        let now = log.0;
        log.1.push((now, event));
    }
}

impl Settler for Log {
    fn settle(&self, push: Number, outcome: Outcome) {
        self.note(Event::Settled { push, outcome });
    }
}

impl Default for Rig {
    /// Connected, with the default config but for jitter and budget, which would blur the times.
    fn default() -> Self {
        let mut config = Config::default();
        config.retry.jitter = 0.0;
        config.retry.budget.min_per_second = 1_000;
        Self {
            session: Session::default(),
            config,
            counters: Counters::default(),
            connected: true,
            room: Room::default(),
            budget: Budget::default(),
            start: tokio::time::Instant::now().into_std(),
            link: link(1),
            kept_until: None,
            chance: fastrand::Rng::with_seed(7),
            pushed: 0,
            log: Arc::new(Log(Mutex::default())),
        }
    }
}

fn link(id: u64) -> Arc<LinkInfo> {
    Arc::new(LinkInfo::new(id, Identity::new("chat", "alice")))
}

impl Rig {
    fn turn(&mut self, work: impl FnOnce(&mut Session, &mut Turn<'_>)) {
        let mut random = || self.chance.u64(..);
        let means = Means {
            config: &self.config,
            counters: &self.counters,
            budget: &self.budget,
            room: self.room,
        };
        let now = self.start + self.log.0.lock().0;
        let mut turn = Turn::new(now, &self.link, self.kept_until, means, &mut random);
        work(&mut self.session, &mut turn);
        let Turn { sent, settled, .. } = turn;
        for (receipts, outcome) in settled {
            receipts
                .into_iter()
                .for_each(|receipt| receipt.settle(outcome.clone()));
        }
        for m in sent {
            self.write(m);
        }
    }

    /// What the link does with a message that has come down to the socket.
    fn write(&self, m: Message) {
        assert_eq!(m.link.id, self.link.id, "sent by the link there is");
        let number = m.body[..8].try_into().map(Number::from_be_bytes);
        self.log.note(Event::Sent {
            push: number.unwrap(),
        });
        assert_eq!(m.has_receipt(), !m.ack, "a copy has no receipt");
        m.settle(Outcome::sent());
    }

    pub(super) fn push(&mut self, key: &str, expires_in: Option<Duration>) -> Number {
        let now = self.now();
        self.push_with(key, |m| m.expires_at = expires_in.map(|wait| now + wait))
    }

    pub(super) fn push_with(&mut self, key: &str, adapt: impl FnOnce(&mut Message)) -> Number {
        self.pushed += 1;
        let number = self.pushed;
        let body = number.to_be_bytes().to_vec();
        let mut m = Message::new(
            Arc::clone(&self.link),
            Command::DownstreamMessage,
            key,
            body,
        );
        adapt(&mut m);
        // One key says one thing: what joins a pending push has its body.
        let pending = self.session.0.as_ref().filter(|_| m.ack);
        if let Some(body) = pending.and_then(|pending| pending.body(key)) {
            m.body = body;
        }
        self.log.note(Event::Pushed {
            push: number,
            key: key.to_owned(),
            ack: m.ack,
            expires_at: m.expires_at.map(|at| at - self.start),
        });
        let m = m.with_receipt(Receipt::new(Arc::clone(&self.log) as _, number));
        let mut verdict = Verdict::Done;
        self.turn(|session, turn| verdict = session.push(m, turn));
        match verdict {
            Verdict::Next(m) => self.write(m),
            Verdict::Refuse(m, fault) => m.settle(Outcome::from_fault(fault)),
            Verdict::Done | Verdict::Wait(_) => {}
        }
        number
    }

    pub(super) fn acknowledge(&mut self, key: &str) {
        self.log.note(Event::Acknowledged {
            key: key.to_owned(),
        });
        self.turn(|session, turn| session.acknowledged(key, turn));
    }

    /// Moves time on, from deadline to deadline.
    pub(super) fn advance(&mut self, by: Duration) {
        let end = self.now() + by;
        while let Some(at) = self.session.deadline().filter(|at| *at <= end) {
            assert!(at >= self.now(), "everything that is due has been done");
            self.log.0.lock().0 = at - self.start;
            self.turn(Session::advance);
            let next = self.session.deadline();
            assert!(
                next.is_none_or(|next| next > at),
                "a turn does all that is due"
            );
        }
        self.log.0.lock().0 = end - self.start;
    }

    pub(super) fn disconnect(&mut self) {
        self.connected = false;
        self.kept_until = Some(self.now() + *self.config.resume_for);
        self.log.note(Event::Disconnected);
        self.turn(Session::park);
    }

    /// The client's next link takes the session over, whether the one before has gone or not.
    pub(super) fn connect(&mut self) {
        self.connected = true;
        self.kept_until = None;
        self.link = link(self.link.id + 1);
        self.log.note(Event::Connected);
        self.turn(Session::take_up);
    }

    pub(super) fn reload(&mut self) {
        self.turn(Session::take_up);
    }

    /// Whether the link's chain is alive.
    pub(super) fn takes_pushes(&self) -> bool {
        self.connected || self.kept_until.is_some_and(|until| self.now() < until)
    }

    pub(super) fn now(&self) -> Instant {
        self.start + self.log.0.lock().0
    }

    pub(super) fn record(&self) -> Record {
        self.log.0.lock().1.clone()
    }

    /// The pushes sent, in order.
    pub(super) fn sends(&self) -> Vec<Number> {
        let sent = |(_, event)| match event {
            Event::Sent { push } => Some(push),
            _ => None,
        };
        self.record().into_iter().filter_map(sent).collect()
    }

    /// When the push was sent, in whole seconds since the start.
    pub(super) fn sent_at(&self, push: Number) -> Vec<u64> {
        let sent = Event::Sent { push };
        let record = self.record().into_iter();
        record
            .filter(|(_, event)| *event == sent)
            .map(|(at, _)| at.as_secs())
            .collect()
    }

    /// What the push has come to, and when.
    pub(super) fn only_outcome(&self, number: Number) -> (Duration, Outcome) {
        let outcome = |(at, event)| match event {
            Event::Settled { push, outcome } if push == number => Some((at, outcome)),
            _ => None,
        };
        let outcomes: Vec<_> = self.record().into_iter().filter_map(outcome).collect();
        let [outcome] = outcomes.try_into().expect("settles exactly once");
        outcome
    }
}
