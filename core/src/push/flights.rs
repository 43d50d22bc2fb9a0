//! Pushes under way to receivers: one flight for each (business, user, device, key), so that a second call with the same key
//! joins it.
//!
//! ```text
//! flight.rs   one push on its way to one receiver, which whoever settles it moves on
//! course.rs   how far it is, and what is to be done next: a state machine
//! table.rs    all flights, in shards: which is under that name, whose time is over, which names were used lately
//! limits.rs   how many and how large they may be, in all and for each business
//! ```
//!
//! A flight has no task. A link's word moves it on, or that of a search, and so does the end of its time, which one task for
//! each shard waits for.

mod course;
mod flight;
mod limits;
mod table;

pub(super) use self::course::Listener;
pub use self::course::Reach;
pub(super) use self::flight::{Flight, Known};
pub use self::limits::Weighed;
pub(super) use self::limits::{Bounds, Limits, Load};
pub(super) use self::table::Table;
