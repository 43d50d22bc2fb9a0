//! Pushes under way to receivers: one flight for each (business, user, device, key), so that a second call with the same key
//! joins it.
//!
//! ```text
//! flight.rs   one push on its way to one receiver: a state machine that whoever settles it moves on
//! table.rs    all flights, in shards: which is under that name, whose time is over, which names were used lately
//! limits.rs   how many and how large they may be, in all and for each business
//! ```
//!
//! A flight has no task. A link's word moves it on, and so does the end of its time, which one task for each shard waits for.

mod flight;
mod limits;
mod table;

pub(super) use self::flight::{Flight, Known};
pub(super) use self::limits::{Bounds, Limits, Load, Weighed};
pub(super) use self::table::Table;
