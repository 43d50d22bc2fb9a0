//! Random lives of a client: pushes, acknowledgements, time, disconnects and returns in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use linkgate_filter::Outcome;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use super::rig::{Event, Number, Record, Rig};
use crate::config::{Config, RetryBudget};
use crate::fault;

#[derive(Clone, Debug)]
enum Step {
    Push {
        key: u8,
        ack: bool,
        expires_in: Option<u64>,
    },
    Acknowledge(u8),
    Wait(u64),
    Disconnect,
    Connect,
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    let expires_in = prop_oneof![3 => Just(None), 1 => (0..200_u64).prop_map(Some)];
    let push = (0..12_u8, proptest::bool::weighted(0.85), expires_in);
    prop_oneof![
        8 => push.prop_map(|(key, ack, expires_in)| Step::Push { key, ack, expires_in }),
        5 => (0..12_u8).prop_map(Step::Acknowledge),
        5 => prop_oneof![0..30_u64, 0..300_u64].prop_map(Step::Wait),
        2 => Just(Step::Disconnect),
        3 => Just(Step::Connect),
        1 => Just(Step::Reload),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let window = (1..4_usize, 0..6_usize);
    let retry = (0.0..0.5_f64, 1.0..3.0_f64, 1..6_u32, any::<bool>());
    let times = (20..500_u64, 0..100_u64);
    (window, retry, times).prop_map(
        |((unacked, waiting), (jitter, multiplier, attempts, scarce), (total, resume))| {
            let mut config = Config {
                max_unacked: unacked,
                max_waiting: waiting,
                ..Config::default()
            };
            config.resume_for = Duration::from_secs(resume).into();
            // What comes of links that end early is judged elsewhere.
            config.retry.max_breaks = 0;
            let retry = &mut config.retry;
            (retry.jitter, retry.multiplier, retry.max_attempts) = (jitter, multiplier, attempts);
            retry.total = Duration::from_secs(total).into();
            retry.budget = RetryBudget {
                ratio: 0.0,
                min_per_second: if scarce { 1 } else { 1_000 },
                shared_per_second: 0,
            };
            config
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn whatever_happens_delivery_keeps_its_word(config in config(), steps in proptest::collection::vec(step(), 1..60)) {
        let mut rig = Rig::default();
        rig.config = config;
        for step in steps {
            take(&mut rig, &step);
        }
        if rig.connected {
            rig.disconnect();
        }
        rig.advance(*rig.config.resume_for);
        assert!(rig.session.0.is_none(), "nothing is kept in the end");
        Judge::new(&rig).hear(&rig.record());
    }
}

fn take(rig: &mut Rig, step: &Step) {
    match step {
        Step::Push {
            key,
            ack,
            expires_in,
        } if rig.takes_pushes() => {
            let expires_at = expires_in.map(|wait| rig.now() + Duration::from_secs(wait));
            rig.push_with(&key.to_string(), |m| {
                (m.ack, m.expires_at) = (*ack, expires_at);
            });
        }
        Step::Acknowledge(key) if rig.connected => rig.acknowledge(&key.to_string()),
        Step::Wait(seconds) => rig.advance(Duration::from_secs(*seconds)),
        Step::Disconnect if rig.connected => rig.disconnect(),
        Step::Connect => rig.connect(),
        Step::Reload if rig.connected => rig.reload(),
        _ => {}
    }
}

/// Goes through a record and says what is wrong with it.
struct Judge<'a> {
    config: &'a Config,
    /// Nothing was put off, so nothing may be late.
    punctual: bool,
    pushes: BTreeMap<Number, Known>,
    /// On their way on the link there is.
    unacked: BTreeSet<Number>,
    /// The newest push that was ever sent.
    newest: Number,
    /// When the client went, while it is away.
    away_since: Option<Duration>,
}

#[derive(Debug, Default)]
struct Known {
    key: String,
    ack: bool,
    expires_at: Option<Duration>,
    /// Shares the outcome of this one.
    joined: Option<Number>,
    first_at: Option<Duration>,
    transmissions: u32,
    /// Transmissions on the link there is.
    here: Vec<Duration>,
    outcome: Option<Outcome>,
}

const SLACK: Duration = Duration::from_micros(1);

impl<'a> Judge<'a> {
    fn new(rig: &'a Rig) -> Self {
        Self {
            config: &rig.config,
            punctual: rig.counters.put_off.get() == 0,
            pushes: BTreeMap::new(),
            unacked: BTreeSet::new(),
            newest: 0,
            away_since: None,
        }
    }

    fn hear(mut self, record: &Record) {
        for (i, (at, event)) in record.iter().enumerate() {
            let rest = &record[i + 1..];
            if !matches!(event, Event::Sent { .. } | Event::Settled { .. }) {
                self.rested();
            }
            match event {
                Event::Pushed {
                    push,
                    key,
                    ack,
                    expires_at,
                } => {
                    let joined = self
                        .pending(key)
                        .filter(|_| *ack && !is_refused(*push, rest));
                    if let Some(Known {
                        expires_at: until, ..
                    }) = joined.and_then(|push| self.pushes.get_mut(&push))
                    {
                        *until = until.zip(*expires_at).map(|(own, other)| own.max(other));
                    }
                    let known = Known {
                        key: key.clone(),
                        ack: *ack,
                        expires_at: *expires_at,
                        joined,
                        ..Known::default()
                    };
                    self.pushes.insert(*push, known);
                }
                Event::Acknowledged { key } => self.acknowledged(key, rest),
                Event::Sent { push } => self.sent(*push, *at),
                Event::Settled { push, outcome } => self.settled(*push, outcome, *at),
                Event::Connected => {
                    self.away_since = None;
                    self.forget_link();
                    self.returned(*at, rest);
                }
                Event::Disconnected => {
                    self.away_since = Some(*at);
                    self.forget_link();
                }
            }
        }
        for (number, known) in &self.pushes {
            assert!(known.outcome.is_some(), "push {number} never settled");
        }
    }

    /// The pending push that acknowledgements with this key are for.
    fn pending(&self, key: &str) -> Option<Number> {
        let is_it = |known: &Known| {
            known.key == key && known.ack && known.joined.is_none() && known.outcome.is_none()
        };
        self.pushes
            .iter()
            .find(|(_, known)| is_it(known))
            .map(|(number, _)| *number)
    }

    fn forget_link(&mut self) {
        self.unacked.clear();
        self.pushes
            .values_mut()
            .for_each(|known| known.here.clear());
    }

    fn acknowledged(&self, key: &str, rest: &[(Duration, Event)]) {
        let sent = |push: &Number| self.pushes[push].transmissions > 0;
        let next = rest.first().map(|(_, event)| event);
        match self.pending(key).filter(sent) {
            Some(push) => {
                let outcome = Outcome::accepted("");
                assert_eq!(
                    next,
                    Some(&Event::Settled { push, outcome }),
                    "settled at once"
                );
            }
            None => {
                let accepted = matches!(next, Some(Event::Settled { outcome: Outcome::Accepted(answer), .. }) if answer.confirmed);
                assert!(!accepted, "nobody has acknowledged it");
            }
        }
    }

    /// Between two turns no push waits while the window has room.
    fn rested(&self) {
        let waits = |known: &Known| {
            known.outcome.is_none() && known.joined.is_none() && known.here.is_empty()
        };
        if self.away_since.is_none() && self.unacked.len() < self.config.max_unacked {
            let waiting = self.pushes.iter().find(|(_, known)| waits(known));
            assert!(waiting.is_none(), "{waiting:?} waits in vain");
        }
    }

    /// What is sent first on a new link: the oldest that are left, as far as the window goes.
    fn returned(&self, now: Duration, rest: &[(Duration, Event)]) {
        let turn = rest.iter().take_while(|(at, event)| {
            *at == now && matches!(event, Event::Sent { .. } | Event::Settled { .. })
        });
        let (mut gone, mut sent) = (BTreeSet::new(), Vec::new());
        for (_, event) in turn {
            match event {
                Event::Settled { push, .. } if !sent.contains(push) => drop(gone.insert(*push)),
                Event::Sent { push } => sent.push(*push),
                _ => {}
            }
        }
        let left = self.pushes.iter().filter(|(number, known)| {
            known.outcome.is_none() && known.joined.is_none() && !gone.contains(number)
        });
        let mut room = self.config.max_unacked;
        let fits = |(number, known): (&Number, &Known)| {
            if known.ack {
                room = room.checked_sub(1)?;
            }
            Some(*number)
        };
        assert_eq!(
            sent,
            left.map_while(fits).collect::<Vec<_>>(),
            "the oldest first"
        );
    }

    fn sent(&mut self, push: Number, at: Duration) {
        let retry = &self.config.retry;
        let known = self.pushes.get_mut(&push).unwrap();
        assert!(
            known.outcome.is_none(),
            "push {push} is sent after its outcome"
        );
        assert!(
            known.joined.is_none(),
            "push {push} is sent beside the one it joined"
        );
        assert!(
            known.expires_at.is_none_or(|until| at < until),
            "sent after its expiry"
        );
        assert!(
            known.first_at.is_none_or(|first| at < first + *retry.total),
            "sent after the total time"
        );
        if known.transmissions == 0 {
            assert!(push > self.newest, "first transmissions in order");
            self.newest = push;
            known.first_at = Some(at);
        }
        if known.ack {
            assert!(self.away_since.is_none(), "sent to nobody");
            assert!(known.here.is_empty() || known.transmissions < retry.max_attempts);
            if let Some(last) = known.here.last() {
                let power = i32::try_from(known.here.len() - 1).unwrap();
                let even = retry
                    .initial
                    .mul_f64(retry.multiplier.powi(power))
                    .min(*retry.max);
                let (shortest, longest) = (
                    even.mul_f64(1.0 - retry.jitter),
                    even.mul_f64(1.0 + retry.jitter),
                );
                assert!(
                    at - *last + SLACK >= shortest,
                    "again after {:?}",
                    at - *last
                );
                assert!(
                    !self.punctual || at - *last <= longest + SLACK,
                    "again only after {:?}",
                    at - *last
                );
            }
            known.here.push(at);
            self.unacked.insert(push);
            assert!(
                self.unacked.len() <= self.config.max_unacked,
                "beyond the window"
            );
        }
        known.transmissions += 1;
    }

    fn settled(&mut self, push: Number, outcome: &Outcome, at: Duration) {
        self.unacked.remove(&push);
        let joined = self.pushes[&push].joined;
        let root = &self.pushes[&joined.unwrap_or(push)];
        let code = outcome.fault().map(|fault| &*fault.code);
        if joined.is_some() {
            assert_eq!(
                root.outcome.as_ref(),
                Some(outcome),
                "one outcome for those that joined"
            );
        }
        let total_over = root
            .first_at
            .is_some_and(|first| first + *self.config.retry.total == at);
        match code {
            None => assert!(root.transmissions > 0),
            Some(fault::EXPIRED) => assert!(root.expires_at.is_some_and(|until| until <= at)),
            Some(fault::UNACKNOWLEDGED) => {
                assert!(total_over || root.transmissions >= self.config.retry.max_attempts);
            }
            Some(fault::OFFLINE) => assert_eq!(
                self.away_since.map(|since| since + *self.config.resume_for),
                Some(at)
            ),
            Some(fault::WINDOW_FULL) => assert_eq!(root.transmissions, 0),
            other => panic!("settled as {other:?}"),
        }
        if code.is_some() {
            assert_eq!(
                matches!(outcome, Outcome::Unknown(_)),
                root.transmissions > 0
            );
        }
        let before = self
            .pushes
            .get_mut(&push)
            .unwrap()
            .outcome
            .replace(outcome.clone());
        assert_eq!(before, None, "push {push} settled twice");
    }
}

/// Whether the push is turned away on arrival.
fn is_refused(number: Number, rest: &[(Duration, Event)]) -> bool {
    matches!(rest.first(), Some((_, Event::Settled { push, .. })) if *push == number)
}
