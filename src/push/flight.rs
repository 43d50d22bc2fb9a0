//! Pushes under way: one flight for each (business, user, device, key), so that a second call with the same key joins it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use linkgate_filter::{Fault, Outcome, Settler};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::outcome::ReceiverOutcome;
use super::router::Push;

/// What tells flights apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlightKey {
    pub(super) biz_id: Arc<str>,
    pub(super) user_id: Arc<str>,
    pub(super) device_id: Option<Arc<str>>,
    pub(super) key: Arc<str>,
}

/// A push under way to one receiver. Hears of its outcomes on links, each under the number it was sent with.
pub(super) struct Flight {
    key: FlightKey,
    pub(super) push: Arc<Push>,
    news: Mutex<Vec<(u64, Outcome)>>,
    arrived: Notify,
    outcome: watch::Sender<Option<ReceiverOutcome>>,
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

/// All flights of the node, bounded in all and for each business.
pub(super) struct Flights {
    table: Mutex<Table>,
    most: usize,
    most_of_biz: usize,
}

#[derive(Default)]
struct Table {
    flights: HashMap<FlightKey, Arc<Flight>>,
    of_biz: HashMap<Arc<str>, usize>,
    /// Bounds that businesses have of their own.
    limits: HashMap<Arc<str>, usize>,
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
    pub(super) fn new(most: usize, most_of_biz: usize) -> Self {
        let table = Mutex::default();
        Self {
            table,
            most,
            most_of_biz,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.lock().flights.len()
    }

    /// Bounds the flights of one business; `None`: as all.
    pub(super) fn limit(&self, biz_id: &str, most: Option<usize>) {
        let limits = &mut self.table.lock().limits;
        match most {
            Some(most) => limits.insert(biz_id.into(), most),
            None => limits.remove(biz_id),
        };
    }

    pub(super) fn begin(self: &Arc<Self>, key: FlightKey, push: &Arc<Push>) -> Begin {
        let mut table = self.table.lock();
        let Table {
            flights,
            of_biz,
            limits,
        } = &mut *table;
        let in_flight = flights.len();
        let place = match flights.entry(key) {
            Entry::Occupied(flight) => return join(flight.get(), push),
            Entry::Vacant(place) => place,
        };
        let biz_id = Arc::clone(&place.key().biz_id);
        let most = limits.get(&biz_id).copied().unwrap_or(self.most_of_biz);
        let of_this = of_biz.get(&biz_id).copied().unwrap_or_default();
        if of_this >= most || in_flight >= self.most {
            return Begin::Refused(overloaded(of_this >= most));
        }
        of_biz.insert(biz_id, of_this + 1);
        let flight = Arc::new(Flight {
            key: place.key().clone(),
            push: Arc::clone(push),
            news: Mutex::default(),
            arrived: Notify::new(),
            outcome: watch::Sender::new(None),
        });
        place.insert(Arc::clone(&flight));
        Begin::Begun(Begun {
            flight,
            flights: Arc::clone(self),
        })
    }
}

/// A key names one push: the outcome of another body would mislead the caller.
fn join(flight: &Flight, push: &Push) -> Begin {
    if flight.push.body == push.body {
        return Begin::Joined(flight.outcome.subscribe());
    }
    let fault = Fault::backend("push.key_reused");
    Begin::Refused(fault.detail("another push with this key is under way to this receiver"))
}

fn overloaded(by_biz: bool) -> Fault {
    let fault = Fault::gateway("push.overloaded").retryable();
    if by_biz {
        fault.detail("too many pushes of this business wait for acknowledgements")
    } else {
        fault.detail("too many pushes wait for acknowledgements on this node")
    }
}

impl Begun {
    /// Waits with the others.
    pub(super) fn landing(&self) -> Landing {
        self.flight.outcome.subscribe()
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut table = self.flights.table.lock();
        let key = &self.flight.key;
        table.flights.remove(key);
        if let Some(count) = table.of_biz.get_mut(&key.biz_id) {
            *count -= 1;
            if *count == 0 {
                table.of_biz.remove(&key.biz_id);
            }
        }
    }
}
