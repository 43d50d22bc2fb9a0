//! `dedup`: a message that was accepted is not sent to the backend again; its retry is answered from the record.
//!
//! # Three states of a key
//!
//! | in the store | a message with the key |
//! |---|---|
//! | nothing | reserves the key and goes on |
//! | reserved, by a token of its owner | on this node, shares the outcome; else NACK `dedup.in_flight`, retryable |
//! | accepted, with the answer | is answered with it |
//! | unknown (`on_unknown: refuse`) | NACK `dedup.unknown`, not retryable |
//!
//! A reservation ends by itself after `reserve_for`, and is renewed while its message is unsettled. A message is tracked
//! before the store is asked for its key, so that whatever ends it meanwhile frees what may have been written. When the message
//! settles, the store hears of it before the client does: accepted is recorded for `remember_for`, failed frees the key,
//! unknown frees it too or keeps it, by `on_unknown`. Accepted stands even if the reservation had run out and another node
//! has reserved the key since: what that one comes to does not take an acknowledged key back.
//!
//! # When the store fails
//!
//! Before the message has gone: by `on_store_failure`; a reservation that may have been written is freed. After it was accepted, recording is tried for `confirm_within`;
//! then the client gets NACK `dedup.unconfirmed`, with unknown effect and retryable, as an ACK that is not on record could
//! not be kept. With `on_store_failure: pass` it gets its ACK. A key that cannot be freed frees itself.
//!
//! Keys are kept on the account of the user that sends them, whatever their scope. Where the store gives shares, a user that
//! sends more than its share finds the store full, and others do not.
//!
//! What may not enter: a store's own protocol, and what the backend speaks.

mod config;
mod confirm;
mod counters;
mod flights;
mod record;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use linkgate_filter::problem::Problems;
use linkgate_filter::store::Store;
use linkgate_filter::{
    Bytes, Command, Context, Coverage, EdgeError, Effect, Fact, Fault, Filter, FilterType, Message,
    Open, Outcome, Prepare, Properties, Settle, SharedScope, Verdict,
};

pub use self::config::{Class, Config, OnStoreFailure, OnUnknown, Scope};
use self::confirm::Confirmer;
use self::counters::Counters;
use self::flights::{Entered, Flight, Flights};
use self::record::Record;

/// What a store that fails is answered with.
const OF_STORE: &[&str] = &[
    "dedup.store.unreachable",
    "dedup.store.timed_out",
    "dedup.store.full",
    "dedup.store.refused",
];

/// One `dedup` entry of a pipeline.
pub struct Dedup(Arc<Config>);

impl FilterType for Dedup {
    const NAME: &'static str = "dedup";
    type Config = Config;
    type Filter = Deduplicator;

    fn prepare(config: Config, cx: &Prepare<'_>) -> Result<Self, Problems> {
        Ok(Self(Arc::new(config.check(cx)?)))
    }

    /// It answers retries by their receipts, and batches have no key.
    fn properties(&self) -> Properties {
        Properties::new()
            .needs(Fact::DECODED)
            .needs(Fact::ANSWERED)
            .needs_link()
    }

    fn coverage(&self) -> Coverage {
        let rejects = self.0.on_store_failure == OnStoreFailure::Reject;
        let refuses = self.0.on_unknown == OnUnknown::Refuse;
        Coverage::new()
            .raises(["dedup.in_flight", "dedup.unconfirmed"])
            .raises(refuses.then_some("dedup.unknown"))
            .raises(rejects.then_some(OF_STORE).into_iter().flatten().copied())
            .never(self.0.replayable.is_empty(), &["replayable"])
            .never(rejects, &["passed"])
    }

    fn filter(&self, cx: &Open<'_>) -> Deduplicator {
        let identity = &cx.link().identity;
        let owner = match self.0.scope {
            Scope::User => {
                let mut owner = identity.clone();
                owner.device_id = None;
                owner.to_string()
            }
            Scope::Biz => identity.biz_id.to_string(),
        };
        Deduplicator {
            config: Arc::clone(&self.0),
            owner,
            store: cx.store(&self.0.store).cloned(),
            flights: cx.shared(SharedScope::Biz, Flights::default),
            reserved: HashMap::new(),
            tokens: 0,
            renews_at: None,
            taken_back: Arc::default(),
            counters: Counters::new(cx),
        }
    }

    fn risk(&self, next: Option<&Self>) -> Option<String> {
        let why = match next {
            None => "it is gone",
            Some(next) if next.0.store != self.0.store => "it remembers in another store",
            Some(next) if next.0.scope != self.0.scope => "keys belong to others",
            Some(_) => return None,
        };
        Some(format!(
            "{why}: retries of messages that were accepted before reach the backend again"
        ))
    }
}

/// A `dedup` at work on one link.
pub struct Deduplicator {
    config: Arc<Config>,
    owner: String,
    store: Option<Arc<dyn Store>>,
    flights: Arc<Flights>,
    reserved: HashMap<u64, Reservation>,
    tokens: u64,
    renews_at: Option<Instant>,
    /// Held by each reservation that is being taken back.
    taken_back: Arc<()>,
    counters: Counters,
}

/// A key that this filter has reserved, or would have if the store had answered.
struct Reservation {
    flight: Flight,
    /// What it wrote; `None` if it went on without the store.
    value: Option<Bytes>,
    /// The store has not answered yet, so the message has gone nowhere.
    asking: bool,
    since: Instant,
}

impl Reservation {
    /// Whether it stands in the store, as far as is known.
    fn is_stored(&self) -> bool {
        self.value.is_some() && !self.asking
    }
}

/// What the store said of a key.
pub struct Asked {
    token: u64,
    found: Result<Option<Bytes>, EdgeError>,
}

impl Filter for Deduplicator {
    /// Of a reservation.
    type Token = u64;
    /// It is time to renew.
    type Timer = ();
    type Waited = Asked;
    type Done = ();

    fn upstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        if m.command != Some(Command::UpstreamMessage) {
            return Verdict::Next(m);
        }
        if self.config.replayable.iter().any(|class| class.has(&m)) {
            self.counters.replayable.inc();
            return Verdict::Next(m);
        }
        let key: Arc<str> = record::place(&self.config.prefix, &self.owner, &m.key).into();
        match self.flights.enter(&key, m, self.config.max_waiting) {
            Entered::First(m, flight) => self.ask(m, flight, cx),
            Entered::Waits => {
                self.counters.joined.inc();
                Verdict::Done
            }
            Entered::TooMany(m) => {
                self.counters.in_flight.inc();
                Verdict::Refuse(m, in_flight())
            }
        }
    }

    fn resumed(&mut self, m: Message, asked: Asked, cx: &mut Context<'_, Self>) -> Verdict {
        self.told(m, asked, cx)
    }

    fn settled(&mut self, token: u64, outcome: Outcome, cx: &mut Context<'_, Self>) -> Settle {
        let Some(reservation) = self.reserved.remove(&token) else {
            return Settle::Next(outcome);
        };
        let Reservation {
            flight,
            value,
            asking,
            ..
        } = reservation;
        let Some(confirmer) = value.and_then(|value| self.confirmer(flight.key(), value, cx))
        else {
            flight.land(&outcome);
            return Settle::Next(outcome);
        };
        Settle::wait(async move {
            let outcome = if asking {
                confirmer.free().await;
                outcome
            } else {
                confirmer.confirm(outcome).await
            };
            flight.land(&outcome);
            outcome
        })
    }

    fn wake(&mut self, (): (), cx: &mut Context<'_, Self>) {
        self.renews_at = None;
        self.renew(cx);
        self.arm(cx);
    }

    /// The client is gone, but its messages are not: their reservations last until they have settled.
    fn close(&mut self, cx: &mut Context<'_, Self>) {
        self.renews_at = None;
        self.arm(cx);
    }
}

impl Deduplicator {
    /// Reservations that a link takes back at a time; those beyond end by themselves.
    const MOST_TAKEN_BACK: usize = 64;

    /// Asks the store for the key. The message is tracked from here on: should it end before the answer is there, the key
    /// is freed.
    fn ask(&mut self, mut m: Message, flight: Flight, cx: &mut Context<'_, Self>) -> Verdict {
        let Some(store) = self.store.clone() else {
            return Verdict::Next(m);
        };
        let value = record::reserved([cx.random(), cx.random()]);
        let (key, keep) = (flight.key().to_owned(), *self.config.reserve_for);
        let token = self.tokens;
        self.tokens += 1;
        cx.track(&mut m, token);
        let reservation = Reservation {
            flight,
            value: Some(value.clone()),
            asking: true,
            since: cx.now(),
        };
        self.reserved.insert(token, reservation);
        let asking = store.insert(&cx.link().identity, key, value, keep);
        cx.wait(async move {
            let found = asking.await;
            (m, Asked { token, found })
        })
    }

    /// What the store has said decides.
    fn told(&mut self, m: Message, asked: Asked, cx: &mut Context<'_, Self>) -> Verdict {
        let Some(own) = self.reserved.get_mut(&asked.token) else {
            return Verdict::Next(m);
        };
        own.asking = false;
        let found = match asked.found {
            Ok(found) => found.filter(|found| Some(found) != own.value.as_ref()),
            Err(error) => return self.unheard(m, asked.token, &error, cx),
        };
        let Some(found) = found else {
            own.since = cx.now();
            self.arm(cx);
            return Verdict::Next(m);
        };
        // The key is another's: there is nothing of this message in the store.
        let Some(Reservation { flight, .. }) = self.reserved.remove(&asked.token) else {
            return Verdict::Next(m);
        };
        match record::read(&found) {
            Record::Accepted(outcome) => {
                self.counters.answered.inc();
                flight.land(&outcome);
                cx.settle(m, outcome);
                Verdict::Done
            }
            Record::Reserved => {
                self.counters.in_flight.inc();
                refuse(m, flight, in_flight())
            }
            Record::Unknown => {
                let fault = Fault::gateway("dedup.unknown").effect_unknown();
                let fault = fault.detail("what became of this message is not known");
                refuse(m, flight, fault)
            }
        }
    }

    /// The store has failed, and may have reserved the key even so.
    fn unheard(
        &mut self,
        m: Message,
        token: u64,
        error: &EdgeError,
        cx: &mut Context<'_, Self>,
    ) -> Verdict {
        self.counters.store_failed.inc();
        let Some(mut own) = self.reserved.remove(&token) else {
            return Verdict::Next(m);
        };
        let value = own.value.take();
        let unheard = value.and_then(|value| self.confirmer(own.flight.key(), value, cx));
        if let (Some(unheard), Effect::Unknown) = (unheard, error.effect)
            && Arc::strong_count(&self.taken_back) <= Self::MOST_TAKEN_BACK
        {
            let counted = Arc::clone(&self.taken_back);
            cx.spawn(async move {
                unheard.take_back().await;
                drop(counted);
            });
        }
        if self.config.on_store_failure == OnStoreFailure::Reject {
            let fault = Fault {
                // The message itself has gone nowhere.
                effect: Effect::None,
                ..error.fault("dedup.store")
            };
            return refuse(m, own.flight, fault.retryable());
        }
        self.counters.passed.inc();
        self.reserved.insert(token, own);
        Verdict::Next(m)
    }

    fn confirmer(&self, key: &str, value: Bytes, cx: &Context<'_, Self>) -> Option<Confirmer> {
        Some(Confirmer {
            store: Arc::clone(self.store.as_ref()?),
            clock: Arc::clone(cx.clock()),
            config: Arc::clone(&self.config),
            counters: self.counters.clone(),
            link: Arc::clone(cx.link()),
            key: key.to_owned(),
            value,
        })
    }

    fn renew_after(&self) -> Duration {
        *self.config.reserve_for / 3
    }

    /// One timer for all: it goes off for the oldest.
    fn arm(&mut self, cx: &mut Context<'_, Self>) {
        let stored = self.reserved.values().filter(|own| own.is_stored());
        if self.renews_at.is_none()
            && let Some(oldest) = stored.map(|own| own.since).min()
        {
            let at = oldest + self.renew_after();
            self.renews_at = Some(at);
            cx.wake_at(at, ());
        }
    }

    /// Renews what is old.
    fn renew(&mut self, cx: &mut Context<'_, Self>) {
        let Some(store) = &self.store else {
            return;
        };
        let (now, after, keep) = (cx.now(), self.renew_after(), *self.config.reserve_for);
        let mut renewals = Vec::new();
        for own in self.reserved.values_mut() {
            if own.is_stored()
                && own.since + after <= now
                && let Some(value) = own.value.clone()
            {
                own.since = now;
                let key = own.flight.key().to_owned();
                renewals.push(store.replace(key, value.clone(), value, keep));
            }
        }
        let counters = self.counters.clone();
        cx.spawn(async move {
            for renewed in join_all(renewals).await {
                match renewed {
                    Ok(true) => {}
                    Ok(false) => counters.lost.inc(),
                    Err(_) => counters.store_failed.inc(),
                }
            }
        });
    }
}

/// Refuses the message, and the retries that waited for it.
fn refuse(m: Message, flight: Flight, fault: Fault) -> Verdict {
    flight.land(&Outcome::from_fault(fault.clone()));
    Verdict::Refuse(m, fault)
}

fn in_flight() -> Fault {
    Fault::gateway("dedup.in_flight")
        .retry_after(Duration::from_secs(1))
        .detail("a message with this key is under way")
}
