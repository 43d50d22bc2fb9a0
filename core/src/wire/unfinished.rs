//! The room that links share for messages which have begun to arrive and are not finished: so much for all of them, and so
//! much for one client address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;

/// Room is taken in steps of this, and at least one by a message in pieces.
const STEP: usize = 4096;

/// Room for unfinished messages. It has an entry for each address that holds some, so it is bounded by what it gives out.
#[derive(Debug)]
pub struct Unfinished(Mutex<Table>);

#[derive(Debug)]
struct Table {
    max: usize,
    max_of_one: usize,
    held: usize,
    by_client: HashMap<IpAddr, usize>,
    gauge: Gauge,
}

/// There is no room for more of an unfinished message.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("too much of unfinished messages is held already")]
pub struct NoRoom;

impl Unfinished {
    /// Room for `max` bytes, of which one client may hold `max_of_one`. `gauge` shows what is held.
    pub fn new(max: usize, max_of_one: usize, gauge: Gauge) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Table {
            max,
            max_of_one,
            held: 0,
            by_client: HashMap::new(),
            gauge,
        })))
    }

    /// Changes the limits for what comes; what is held beyond them stays.
    pub fn set_limits(&self, max: usize, max_of_one: usize) {
        let mut table = self.0.lock();
        (table.max, table.max_of_one) = (max, max_of_one);
    }

    /// A link's share, which holds nothing yet. `None`: nobody knows whose it is.
    pub fn share(self: &Arc<Self>, client: Option<IpAddr>) -> Share {
        Share(Some(Held {
            of: Arc::clone(self),
            client,
            bytes: 0,
        }))
    }
}

impl Table {
    /// Has `held` bytes of a client's become `wanted`, if there is room.
    fn change(&mut self, client: Option<IpAddr>, held: usize, wanted: usize) -> Result<(), NoRoom> {
        let total = self.held - held + wanted;
        let of_client = |client| self.by_client.get(&client).copied().unwrap_or_default();
        let of_one = client.map(|client| (client, of_client(client) - held + wanted));
        let is_too_much =
            total > self.max || of_one.is_some_and(|(_, bytes)| bytes > self.max_of_one);
        if wanted > held && is_too_much {
            return Err(NoRoom);
        }
        match of_one {
            Some((client, 0)) => drop(self.by_client.remove(&client)),
            Some((client, bytes)) => drop(self.by_client.insert(client, bytes)),
            None => {}
        }
        self.held = total;
        self.gauge.set(i64::try_from(total).unwrap_or(i64::MAX));
        Ok(())
    }
}

/// What one link's unfinished message holds of the room. Given back when it is dropped.
#[derive(Debug)]
pub struct Share(Option<Held>);

#[derive(Debug)]
struct Held {
    of: Arc<Unfinished>,
    client: Option<IpAddr>,
    bytes: usize,
}

impl Share {
    /// One that may hold anything.
    pub fn unlimited() -> Self {
        Self(None)
    }

    /// Holds this much from here on, or as much as before if there is no room.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), NoRoom> {
        match &mut self.0 {
            Some(held) => held.hold(bytes.next_multiple_of(STEP)),
            None => Ok(()),
        }
    }
}

impl Held {
    fn hold(&mut self, bytes: usize) -> Result<(), NoRoom> {
        if bytes == self.bytes {
            return Ok(());
        }
        self.of.0.lock().change(self.client, self.bytes, bytes)?;
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Giving back always succeeds.
        let _ = self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const BOB: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));

    fn room() -> (Arc<Unfinished>, Gauge) {
        let gauge = Gauge::default();
        (Unfinished::new(4 * STEP, 2 * STEP, gauge.clone()), gauge)
    }

    #[test]
    fn one_client_holds_no_more_than_its_part_and_others_find_room() {
        let (room, gauge) = room();
        let (mut first, mut second) = (room.share(ANN), room.share(ANN));
        assert!(first.hold(STEP + 1).is_ok());
        assert!(second.hold(1).is_err());
        assert!(first.hold(2 * STEP + 1).is_err());
        let mut other = room.share(BOB);
        assert!(other.hold(2 * STEP).is_ok());
        assert_eq!(gauge.get(), 4 * STEP as i64);
        assert!(first.hold(STEP).is_ok());
        assert!(second.hold(1).is_ok());
    }

    #[test]
    fn all_of_them_hold_no_more_than_there_is() {
        let (room, _) = room();
        let mut unnamed = room.share(None);
        assert!(unnamed.hold(4 * STEP).is_ok());
        assert!(room.share(ANN).hold(1).is_err());
        drop(unnamed);
        assert!(room.share(ANN).hold(1).is_ok());
    }

    #[test]
    fn nothing_is_left_of_those_that_are_gone() {
        let (room, gauge) = room();
        let mut share = room.share(ANN);
        assert!(share.hold(1).is_ok());
        assert!(share.hold(0).is_ok());
        assert!(room.0.lock().by_client.is_empty());
        assert!(share.hold(1).is_ok());
        drop(share);
        assert_eq!(gauge.get(), 0);
        assert!(room.0.lock().by_client.is_empty());
    }

    #[test]
    fn what_is_held_beyond_a_lower_limit_stays_and_can_only_shrink() {
        let (room, _) = room();
        let mut share = room.share(ANN);
        assert!(share.hold(2 * STEP).is_ok());
        room.set_limits(STEP, STEP);
        assert!(share.hold(2 * STEP + 1).is_err());
        assert!(share.hold(1).is_ok());
    }
}
