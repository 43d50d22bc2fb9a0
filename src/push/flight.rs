//! Pushes under way, bounded in number and bytes: one flight for each (business, user, device, key), so that a second call
//! with the same key joins it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use linkgate_filter::{Fault, Outcome, Settler};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::message::Push;
use super::outcome::ReceiverOutcome;
use super::settled::{Memory, Print, Prints, Settled};

/// What tells flights apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlightKey {
    pub(super) biz_id: Arc<str>,
    pub(super) user_id: Arc<str>,
    pub(super) device_id: Option<Arc<str>>,
    pub(super) key: Arc<str>,
}

impl FlightKey {
    pub(super) fn of(push: &Push, user_id: &str) -> Self {
        Self {
            biz_id: Arc::clone(&push.biz_id),
            user_id: user_id.into(),
            device_id: push.device_id.clone(),
            key: Arc::clone(&push.key),
        }
    }
}

/// A push under way to one receiver. Hears of its outcomes on links, each under the number it was sent with.
pub(super) struct Flight {
    key: FlightKey,
    name: Print,
    pub(super) push: Arc<Admitted>,
    news: Mutex<Vec<(u64, Outcome)>>,
    arrived: Notify,
    outcome: watch::Sender<Option<ReceiverOutcome>>,
    /// It does not count for the limits: whoever sent it has parked it.
    parked: AtomicBool,
    given_up: Notify,
}

/// Waits for the outcome of a flight.
pub(super) type Landing = watch::Receiver<Option<ReceiverOutcome>>;

impl Flight {
    pub(super) fn user_id(&self) -> &str {
        &self.key.user_id
    }

    /// Keeps room for the outcomes of `links` more links, so that settling never waits for memory.
    pub(super) fn reserve(&self, links: usize) {
        self.news.lock().reserve(links);
    }

    /// What links have said since the last call.
    pub(super) fn news(&self) -> Vec<(u64, Outcome)> {
        std::mem::take(&mut self.news.lock())
    }

    /// Ends once there is news.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Ends when nobody may wait for it any longer.
    pub(super) async fn given_up(&self) {
        self.given_up.notified().await;
    }

    /// Tells everybody who waits.
    pub(super) fn land(&self, outcome: ReceiverOutcome) {
        self.outcome.send_replace(Some(outcome));
    }
}

impl Settler for Flight {
    fn settle(&self, number: u64, outcome: Outcome) {
        self.news.lock().push((number, outcome));
        self.arrived.notify_one();
    }
}

/// A push whose bytes are counted until nobody has it any more.
pub(super) struct Admitted {
    push: Push,
    print: Print,
    flights: Arc<Flights>,
    /// Its bytes count among those that are parked.
    parked: AtomicBool,
}

impl Admitted {
    /// Bytes that one push is accounted with beside key and body, whatever its receivers.
    const SELF: usize = 256;

    fn weight(push: &Push) -> usize {
        Self::SELF + push.key.len() + push.body.len()
    }
}

impl Deref for Admitted {
    type Target = Push;

    fn deref(&self) -> &Push {
        &self.push
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let less = Load {
            flights: 0,
            bytes: Self::weight(&self.push),
        };
        let mut table = self.flights.table.lock();
        if *self.parked.get_mut() {
            table.parked = table.parked.minus(less);
        } else {
            table.unload(&self.push.biz_id, less);
        }
    }
}

/// All flights of the node, bounded in all and for each business.
pub(super) struct Flights {
    prints: Prints,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    bounds: Bounds,
    flights: HashMap<FlightKey, Arc<Flight>>,
    load: Load,
    /// What is parked: still under way, but in nobody's way.
    parked: Load,
    of_biz: HashMap<Arc<str>, Load>,
    settled: Settled,
}

/// What may be under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    pub(super) most: Load,
    /// Of a business.
    pub(super) most_of_biz: Load,
    /// The number of flights of businesses that have a bound of their own.
    pub(super) own: HashMap<Arc<str>, usize>,
    /// What is remembered of those that have settled.
    pub(super) memory: Memory,
}

/// What is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) flights: usize,
    pub(super) bytes: usize,
}

impl Load {
    fn plus(self, more: Self) -> Self {
        Self {
            flights: self.flights + more.flights,
            bytes: self.bytes + more.bytes,
        }
    }

    fn minus(self, less: Self) -> Self {
        Self {
            flights: self.flights - less.flights,
            bytes: self.bytes - less.bytes,
        }
    }

    /// Whether `more` goes beyond `most` in what it adds to.
    fn is_full(self, more: Self, most: Self) -> bool {
        (more.flights > 0 && self.flights + more.flights > most.flights)
            || (more.bytes > 0 && self.bytes + more.bytes > most.bytes)
    }
}

impl Table {
    /// Takes `more` in, unless there is no room for it.
    fn load(&mut self, biz_id: &Arc<str>, more: Load) -> Result<(), Fault> {
        let of_biz = self.of_biz.get(biz_id).copied().unwrap_or_default();
        let bounds = &self.bounds;
        let own = bounds.own.get(biz_id).copied();
        let most_of_biz = Load {
            flights: own.unwrap_or(bounds.most_of_biz.flights),
            ..bounds.most_of_biz
        };
        let by_biz = of_biz.is_full(more, most_of_biz);
        if by_biz || self.load.is_full(more, bounds.most) {
            return Err(overloaded(by_biz));
        }
        self.load = self.load.plus(more);
        self.of_biz.insert(Arc::clone(biz_id), of_biz.plus(more));
        Ok(())
    }

    fn unload(&mut self, biz_id: &Arc<str>, less: Load) {
        self.load = self.load.minus(less);
        if let Entry::Occupied(mut of_biz) = self.of_biz.entry(Arc::clone(biz_id)) {
            let left = of_biz.get().minus(less);
            if left == Load::default() {
                of_biz.remove();
            } else {
                of_biz.insert(left);
            }
        }
    }
}

/// The answer to who wants to begin a flight.
pub(super) enum Begin {
    /// It is begun.
    Begun(Begun),
    /// It was under way.
    Joined(Landing),
    /// It cannot begin.
    Refused(Fault),
}

/// A flight that has begun; it leaves the table when this is dropped.
pub(super) struct Begun {
    pub(super) flight: Arc<Flight>,
    flights: Arc<Flights>,
}

impl Flights {
    pub(super) fn new(bounds: Bounds) -> Self {
        let table = Table {
            bounds,
            ..Table::default()
        };
        Self {
            prints: Prints::default(),
            table: Mutex::new(table),
        }
    }

    /// Bounds what begins from now on; what is under way beyond that goes on.
    pub(super) fn set_bounds(&self, bounds: Bounds) {
        self.table.lock().bounds = bounds;
    }

    pub(super) fn load(&self) -> Load {
        self.table.lock().load
    }

    /// Counts the push's bytes.
    pub(super) fn admit(self: &Arc<Self>, push: Push) -> Result<Arc<Admitted>, Fault> {
        let more = Load {
            flights: 0,
            bytes: Admitted::weight(&push),
        };
        self.table.lock().load(&push.biz_id, more)?;
        let flights = Arc::clone(self);
        let parked = AtomicBool::new(false);
        let print = self.prints.of(&push.body);
        Ok(Arc::new(Admitted {
            push,
            print,
            flights,
            parked,
        }))
    }

    pub(super) fn begin(
        self: &Arc<Self>,
        key: FlightKey,
        push: &Arc<Admitted>,
        now: Instant,
    ) -> Begin {
        let name = self.prints.of(&key);
        let mut table = self.table.lock();
        if let Some(flight) = table.flights.get(&key) {
            return join(flight, push);
        }
        let memory = table.bounds.memory;
        if table.settled.is_reused(name, push.print, now, memory) {
            let fault = Fault::backend(KEY_REUSED);
            let what = "another push with this key has gone to this receiver lately";
            return Begin::Refused(fault.detail(what));
        }
        if let Err(fault) = table.load(&key.biz_id, Self::ONE) {
            return Begin::Refused(fault);
        }
        let flight = Arc::new(Flight {
            key: key.clone(),
            name,
            push: Arc::clone(push),
            news: Mutex::default(),
            arrived: Notify::new(),
            outcome: watch::Sender::new(None),
            parked: AtomicBool::new(false),
            given_up: Notify::new(),
        });
        table.flights.insert(key, Arc::clone(&flight));
        drop(table);
        Begin::Begun(Begun {
            flight,
            flights: Arc::clone(self),
        })
    }

    /// Takes a flight out of the limits, as whoever sent it will ask again later. As much as the limits allow may be
    /// parked beside; beyond it the flight is given up.
    pub(super) fn park(&self, key: &FlightKey) {
        let mut table = self.table.lock();
        let Some(flight) = table.flights.get(key).map(Arc::clone) else {
            return;
        };
        if table.parked.is_full(Self::ONE, table.bounds.most) {
            flight.given_up.notify_one();
            return;
        }
        if !flight.parked.swap(true, Ordering::Relaxed) {
            table.unload(&key.biz_id, Self::ONE);
            table.parked = table.parked.plus(Self::ONE);
        }
        let bytes = Load {
            flights: 0,
            bytes: Admitted::weight(&flight.push),
        };
        if !table.parked.is_full(bytes, table.bounds.most)
            && !flight.push.parked.swap(true, Ordering::Relaxed)
        {
            table.unload(&key.biz_id, bytes);
            table.parked = table.parked.plus(bytes);
        }
    }

    const ONE: Load = Load {
        flights: 1,
        bytes: 0,
    };
}

const KEY_REUSED: &str = "push.key_reused";

/// A key names one push: the outcome of another body would mislead the caller.
fn join(flight: &Flight, push: &Admitted) -> Begin {
    if flight.push.print == push.print {
        return Begin::Joined(flight.outcome.subscribe());
    }
    let fault = Fault::backend(KEY_REUSED);
    Begin::Refused(fault.detail("another push with this key is under way to this receiver"))
}

fn overloaded(by_biz: bool) -> Fault {
    let fault = Fault::gateway("push.overloaded").retryable();
    if by_biz {
        fault.detail("too many or too large pushes of this business wait for acknowledgements")
    } else {
        fault.detail("too many or too large pushes wait for acknowledgements on this node")
    }
}

impl Begun {
    /// The push may have reached its receiver: its key is not another's for a while.
    pub(super) fn keep_key(&self, now: Instant) {
        let mut table = self.flights.table.lock();
        let (memory, flight) = (table.bounds.memory, &self.flight);
        let body = flight.push.print;
        table.settled.note(flight.name, body, now, memory);
    }

    /// Waits with the others.
    pub(super) fn landing(&self) -> Landing {
        self.flight.outcome.subscribe()
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut table = self.flights.table.lock();
        table.flights.remove(&self.flight.key);
        if self.flight.parked.load(Ordering::Relaxed) {
            table.parked = table.parked.minus(Flights::ONE);
        } else {
            table.unload(&self.flight.key.biz_id, Flights::ONE);
        }
    }
}
