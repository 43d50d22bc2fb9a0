//! Filters that panic: what is said of it, and who hears it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::link::LinkInfo;

/// What a panic was begun with. It may hold a client's data, and may panic when it is dropped.
pub type Payload = Box<dyn Any + Send>;

/// A filter has panicked.
pub struct Panicked<'a> {
    /// The entry's `id`.
    pub filter: &'a str,
    /// The filter's name.
    pub uses: &'a str,
    /// The link; in a trunk a stand-in that has the business alone.
    pub link: &'a LinkInfo,
    /// The key of the message that it was at, where that is known.
    pub key: &'a str,
}

type Hear = dyn Fn(&Panicked<'_>, Payload) + Send + Sync;

/// Who hears that a filter has panicked.
#[derive(Clone)]
pub struct OnPanic(Arc<Hear>);

impl OnPanic {
    /// Calls `hear`, which may unwind with the payload: tests do.
    pub fn new(hear: impl Fn(&Panicked<'_>, Payload) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    pub(crate) fn tell(&self, panicked: &Panicked<'_>, payload: Payload) {
        (self.0)(panicked, payload);
    }
}

impl fmt::Debug for OnPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnPanic")
    }
}
