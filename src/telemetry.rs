//! How the program speaks of itself: what logs and metrics share.
//! No room's own lines or metrics live here; those stay beside what they tell of.

pub mod limit;
