//! What all links of a business share, and the door that bounds their calls.

use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::{Fault, RetryAccount};
use linkgate_grpc::Directory;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// What all links of a business share. Outlives a change of the pipeline.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) directory: Arc<Directory>,
    pub(crate) budget: Arc<RetryAccount>,
    /// The bound that the places were made for, and the places.
    places: Mutex<Option<(usize, Arc<Semaphore>)>>,
}

impl Shared {
    /// The places of all calls in flight together.
    pub(crate) fn places(&self, max_in_flight: usize) -> Arc<Semaphore> {
        let mut held = self.places.lock();
        match &*held {
            Some((bound, places)) if *bound == max_in_flight => Arc::clone(places),
            _ => {
                let places = Arc::new(Semaphore::new(max_in_flight));
                *held = Some((max_in_flight, Arc::clone(&places)));
                places
            }
        }
    }
}

/// The way to a call: a place among the chain's own calls, then one among all.
pub(crate) struct Door {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

/// The leave to make a call, held until it has ended.
pub struct Place {
    /// `None`: a place among all is enough.
    _own: Option<OwnedSemaphorePermit>,
    _all: OwnedSemaphorePermit,
}

impl Door {
    pub(crate) fn new(own: usize, all: Arc<Semaphore>) -> Self {
        let own = Arc::new(Semaphore::new(own));
        Self { own, all }
    }

    /// A place, if there is one now. `joined` messages need one among all alone: whoever has joined them bounds them, and
    /// keeps their order.
    pub(crate) fn try_enter(&self, joined: bool) -> Option<Place> {
        let own = match self.own(joined) {
            Some(own) => Some(own.try_acquire_owned().ok()?),
            None => None,
        };
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Place {
            _own: own,
            _all: all,
        })
    }

    /// Waits for a place: as long as the chain's own calls take, and then `patience` for one among all.
    pub(crate) fn enter(
        &self,
        joined: bool,
        patience: Duration,
    ) -> impl Future<Output = Result<Place, Fault>> + Send + use<> {
        let (own, all) = (self.own(joined), Arc::clone(&self.all));
        async move {
            let own = match own {
                Some(own) => Some(own.acquire_owned().await.map_err(|_| overloaded())?),
                None => None,
            };
            match timeout(patience, all.acquire_owned()).await {
                Ok(Ok(all)) => Ok(Place {
                    _own: own,
                    _all: all,
                }),
                _ => Err(overloaded()),
            }
        }
    }

    fn own(&self, joined: bool) -> Option<Arc<Semaphore>> {
        (!joined).then(|| Arc::clone(&self.own))
    }
}

/// There was no place for a call in time.
pub(crate) fn overloaded() -> Fault {
    Fault::gateway("grpc.overloaded")
        .retryable()
        .detail("too many calls are in flight to the backend")
}
