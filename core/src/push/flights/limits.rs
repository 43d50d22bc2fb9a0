//! What may be under way, in all and for each business; and what is parked beside.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use linkgate_filter::Fault;
use parking_lot::RwLock;

use crate::push::message::Push;
use crate::push::settled::Print;

/// What may be under way.
#[derive(Clone, Debug, Default)]
pub(in crate::push) struct Bounds {
    pub(in crate::push) most: Load,
    /// Of a business.
    pub(in crate::push) most_of_biz: Load,
    /// The number of flights of businesses that have a bound of their own.
    pub(in crate::push) own: HashMap<Arc<str>, usize>,
}

/// What is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::push) struct Load {
    pub(in crate::push) flights: usize,
    pub(in crate::push) bytes: usize,
}

impl Load {
    /// One flight; its bytes are the push's.
    const FLIGHT: Self = Self {
        flights: 1,
        bytes: 0,
    };

    fn of_bytes(bytes: usize) -> Self {
        Self { flights: 0, bytes }
    }
}

/// Counts what is under way. Never more than may be, not for a moment.
#[derive(Debug, Default)]
struct Count {
    flights: AtomicUsize,
    bytes: AtomicUsize,
}

impl Count {
    /// Takes `more` in, unless that is more than `most` of what it adds to.
    fn take(&self, more: Load, most: Load) -> bool {
        if !take(&self.flights, more.flights, most.flights) {
            return false;
        }
        let has_room = take(&self.bytes, more.bytes, most.bytes);
        if !has_room {
            self.flights.fetch_sub(more.flights, Ordering::Relaxed);
        }
        has_room
    }

    fn give_back(&self, less: Load) {
        self.flights.fetch_sub(less.flights, Ordering::Relaxed);
        self.bytes.fetch_sub(less.bytes, Ordering::Relaxed);
    }

    fn load(&self) -> Load {
        Load {
            flights: self.flights.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

fn take(count: &AtomicUsize, more: usize, most: usize) -> bool {
    let fits = |held: usize| held.checked_add(more).filter(|sum| *sum <= most);
    more == 0
        || count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_ok()
}

/// What is under way on the node, and what may be.
#[derive(Debug, Default)]
pub(in crate::push) struct Limits {
    bounds: ArcSwap<Bounds>,
    all: Count,
    /// Still under way, but in nobody's way: whoever sent it asks again later.
    parked: Count,
    /// Of the businesses that have had something under way: those that were served.
    of_biz: RwLock<HashMap<Arc<str>, Arc<Count>>>,
}

impl Limits {
    pub(in crate::push) fn new(bounds: Bounds) -> Self {
        Self {
            bounds: ArcSwap::from_pointee(bounds),
            ..Self::default()
        }
    }

    /// Bounds what begins from now on; what is under way beyond that goes on.
    pub(in crate::push) fn set_bounds(&self, bounds: Bounds) {
        self.bounds.store(Arc::new(bounds));
        let is_used = |count: &Arc<Count>| Arc::strong_count(count) > 1;
        self.of_biz.write().retain(|_, count| is_used(count));
    }

    pub(in crate::push) fn load(&self) -> Load {
        self.all.load()
    }

    fn of_biz(&self, biz_id: &Arc<str>) -> Arc<Count> {
        if let Some(count) = self.of_biz.read().get(biz_id) {
            return Arc::clone(count);
        }
        let mut of_biz = self.of_biz.write();
        Arc::clone(of_biz.entry(Arc::clone(biz_id)).or_default())
    }

    fn take(&self, more: Load, biz_id: &Arc<str>, of_biz: &Count) -> Result<(), Fault> {
        let bounds = self.bounds.load();
        let own = bounds.own.get(biz_id).copied();
        let most_of_biz = Load {
            flights: own.unwrap_or(bounds.most_of_biz.flights),
            ..bounds.most_of_biz
        };
        if !of_biz.take(more, most_of_biz) {
            return Err(overloaded(true));
        }
        if !self.all.take(more, bounds.most) {
            of_biz.give_back(more);
            return Err(overloaded(false));
        }
        Ok(())
    }
}

fn overloaded(by_biz: bool) -> Fault {
    let fault = Fault::gateway("push.overloaded").retryable();
    if by_biz {
        fault.detail("too many or too large pushes of this business wait for acknowledgements")
    } else {
        fault.detail("too many or too large pushes wait for acknowledgements on this node")
    }
}

/// A part of the load, given back when it is dropped.
#[derive(Debug)]
struct Part {
    load: Load,
    limits: Arc<Limits>,
    of_biz: Arc<Count>,
    is_parked: AtomicBool,
}

impl Part {
    fn take(
        limits: &Arc<Limits>,
        load: Load,
        biz_id: &Arc<str>,
        of_biz: Arc<Count>,
    ) -> Result<Self, Fault> {
        limits.take(load, biz_id, &of_biz)?;
        Ok(Self {
            load,
            limits: Arc::clone(limits),
            of_biz,
            is_parked: AtomicBool::new(false),
        })
    }

    /// Counts for no limit but that of what is parked. `false`: as much is parked as may be.
    fn park(&self) -> bool {
        let limits = &self.limits;
        if self.is_parked.load(Ordering::Acquire) {
            return true;
        }
        if !limits.parked.take(self.load, limits.bounds.load().most) {
            return false;
        }
        if self.is_parked.swap(true, Ordering::AcqRel) {
            limits.parked.give_back(self.load);
        } else {
            limits.all.give_back(self.load);
            self.of_biz.give_back(self.load);
        }
        true
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if *self.is_parked.get_mut() {
            self.limits.parked.give_back(self.load);
        } else {
            self.limits.all.give_back(self.load);
            self.of_biz.give_back(self.load);
        }
    }
}

/// A push whose bytes are counted until nobody has it any more.
#[derive(Debug)]
pub struct Weighed {
    push: Push,
    pub(in crate::push) print: Print,
    bytes: Part,
}

impl Weighed {
    /// Bytes that one push is accounted with beside key and body, whatever its receivers.
    const SELF: usize = 256;

    /// # Errors
    /// The pushes under way have too many bytes.
    pub(in crate::push) fn new(
        push: Push,
        print: Print,
        limits: &Arc<Limits>,
    ) -> Result<Self, Fault> {
        let bytes = Load::of_bytes(Self::SELF + push.key.len() + push.body.len());
        let of_biz = limits.of_biz(&push.biz_id);
        let bytes = Part::take(limits, bytes, &push.biz_id, of_biz)?;
        Ok(Self { push, print, bytes })
    }

    /// Counts a flight of it.
    ///
    /// # Errors
    /// There are too many.
    pub(super) fn flight(&self) -> Result<InFlight, Fault> {
        let Part { limits, of_biz, .. } = &self.bytes;
        let part = Part::take(limits, Load::FLIGHT, &self.biz_id, Arc::clone(of_biz));
        part.map(InFlight)
    }

    /// As much as the limits allow may be parked beside what is under way.
    pub(super) fn park(&self) {
        self.bytes.park();
    }
}

impl Deref for Weighed {
    type Target = Push;

    fn deref(&self) -> &Push {
        &self.push
    }
}

/// A flight that is counted.
#[derive(Debug)]
pub(super) struct InFlight(Part);

impl InFlight {
    /// `false`: as many are parked as may be.
    pub(super) fn park(&self) -> bool {
        self.0.park()
    }
}
