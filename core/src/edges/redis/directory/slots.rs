//! The slots of a Redis Cluster, and which of its nodes serves which.

use std::sync::Arc;

use redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, Value};

use super::entry::key;
use crate::edges::directory::{Shard, Topology, User};

/// How many slots a Cluster has.
const SLOTS: u16 = 16384;

/// Slots: the first and the last of each range, in order. Ranges do not touch.
pub(super) type Ranges = Vec<(u16, u16)>;

/// A host and a port.
pub(super) type Address = (String, u16);

/// What one node serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Served {
    /// The node's id in the Cluster.
    pub(super) id: String,
    pub(super) address: Address,
    pub(super) ranges: Ranges,
}

/// Who serves what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    /// By the lowest slot: shards have these numbers.
    pub(super) primaries: Vec<Served>,
    /// All nodes, replicas too.
    pub(super) nodes: Vec<Address>,
}

impl Map {
    /// Reads the answer to `CLUSTER SLOTS` of the node at `asked`.
    pub(super) fn read(answer: &Value, asked: &Address) -> RedisResult<Self> {
        let mut map = Self::default();
        for range in list(answer)? {
            let [first, last, nodes @ ..] = list(range)? else {
                return Err(unreadable());
            };
            let (first, last) = (number(first)?, number(last)?);
            if first > last || last >= SLOTS {
                return Err(unreadable());
            }
            for (place, node) in nodes.iter().enumerate() {
                let (id, address) = self::node(node, asked)?;
                if place == 0 {
                    map.add(id, &address, (first, last));
                }
                if !map.nodes.contains(&address) {
                    map.nodes.push(address);
                }
            }
        }
        for served in &mut map.primaries {
            served.ranges = merged(std::mem::take(&mut served.ranges));
        }
        map.primaries
            .sort_unstable_by_key(|served| served.ranges[0]);
        map.nodes.sort_unstable();
        Ok(map)
    }

    fn add(&mut self, id: String, address: &Address, range: (u16, u16)) {
        match self.primaries.iter_mut().find(|served| served.id == id) {
            Some(served) => served.ranges.push(range),
            None => self.primaries.push(Served {
                id,
                address: address.clone(),
                ranges: vec![range],
            }),
        }
    }

    /// What the node of this id serves.
    pub(super) fn of(&self, id: &str) -> &[(u16, u16)] {
        let served = self.primaries.iter().find(|served| served.id == id);
        served.map_or(&[], |served| &served.ranges)
    }

    /// Users by the slots of their keys. Where nobody serves a slot there is one more shard, which nobody answers for.
    pub(super) fn spread(&self, prefix: &'static str) -> Spread {
        let nobody = self.primaries.len() as u16;
        let mut by_slot = vec![nobody; usize::from(SLOTS)];
        for (shard, served) in (0..).zip(&self.primaries) {
            for (first, last) in &served.ranges {
                by_slot[usize::from(*first)..=usize::from(*last)].fill(shard);
            }
        }
        Spread {
            prefix,
            shards: nobody + u16::from(by_slot.contains(&nobody)),
            by_slot: by_slot.into(),
        }
    }
}

/// Which shard has which slot.
pub(super) struct Spread {
    prefix: &'static str,
    shards: u16,
    by_slot: Arc<[u16]>,
}

impl Topology for Spread {
    fn shards(&self) -> u16 {
        self.shards
    }

    fn shard(&self, user: &User) -> Shard {
        let slot = slot(&key(self.prefix, user));
        Shard(self.by_slot[usize::from(slot)])
    }
}

/// All users in one shard.
pub(super) struct Whole;

impl Topology for Whole {
    fn shards(&self) -> u16 {
        1
    }

    fn shard(&self, _: &User) -> Shard {
        Shard(0)
    }
}

/// The first key of a row, numbered behind `stem`, whose slot is one of these: all nodes find the same one.
pub(super) fn key_within(stem: &str, ranges: &[(u16, u16)]) -> Option<String> {
    // On average one of 16384 keys is of a slot: so many have one of each.
    let keys = (0..u32::from(SLOTS) * 32).map(|number| format!("{stem}:{number}"));
    let is_within = |key: &String| {
        let slot = slot(key);
        let holds = |(first, last): &(u16, u16)| (*first..=*last).contains(&slot);
        ranges.iter().any(holds)
    };
    keys.into_iter().find(is_within)
}

/// The slot of a key without braces: CRC16 (XMODEM) of the key.
pub(super) fn slot(key: &str) -> u16 {
    debug_assert!(
        !key.contains('{'),
        "of a key with braces only a part counts"
    );
    let step = |sum: u16, byte: u8| {
        (0..8).fold(sum ^ (u16::from(byte) << 8), |sum, _| {
            let carry = if sum & 0x8000 == 0 { 0 } else { 0x1021 };
            (sum << 1) ^ carry
        })
    };
    key.bytes().fold(0, step) % SLOTS
}

fn merged(mut ranges: Ranges) -> Ranges {
    ranges.sort_unstable();
    let mut merged: Ranges = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if before.1 + 1 >= first => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// The id and the address of a node. One that does not know its own host is where it was asked.
fn node(node: &Value, asked: &Address) -> RedisResult<(String, Address)> {
    let [host, port, id, ..] = list(node)? else {
        return Err(unreadable());
    };
    let host = Option::<String>::from_redis_value(host.clone())?;
    let host = host.filter(|host| !host.is_empty() && host != "?");
    let host = host.unwrap_or_else(|| asked.0.clone());
    Ok((String::from_redis_value(id.clone())?, (host, number(port)?)))
}

fn list(value: &Value) -> RedisResult<&[Value]> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(unreadable()),
    }
}

fn number(value: &Value) -> RedisResult<u16> {
    match value {
        Value::Int(number) => u16::try_from(*number).map_err(|_| unreadable()),
        _ => Err(unreadable()),
    }
}

fn unreadable() -> RedisError {
    let what = "the answer to `CLUSTER SLOTS` cannot be read";
    RedisError::from((ErrorKind::UnexpectedReturnType, what))
}

#[cfg(test)]
mod tests {
    use redis::cluster_routing::Slot;

    use super::*;

    fn answer(ranges: &[(u16, u16, &str)]) -> Value {
        let text = |text: &str| Value::BulkString(text.into());
        let range = |(first, last, id): &(u16, u16, &str)| {
            let host = if *id == "a" {
                Value::Nil
            } else {
                text("10.0.0.2")
            };
            let node = Value::Array(vec![host, Value::Int(7000), text(id), Value::Array(vec![])]);
            Value::Array(vec![
                Value::Int((*first).into()),
                Value::Int((*last).into()),
                node,
            ])
        };
        Value::Array(ranges.iter().map(range).collect())
    }

    fn read(ranges: &[(u16, u16, &str)]) -> Map {
        Map::read(&answer(ranges), &("seed".to_owned(), 1)).unwrap()
    }

    #[test]
    fn slots_are_those_that_redis_takes() {
        for key in [
            "",
            "a",
            "linkgate:user:chat:ann",
            "linkgate:life:16383",
            "ü€",
        ] {
            assert_eq!(Slot::new(slot(key)), Some(Slot::for_key(key)), "{key}");
        }
    }

    #[test]
    fn shards_are_numbered_by_their_lowest_slots() {
        let map = read(&[
            (8192, 16383, "a"),
            (100, 200, "b"),
            (0, 99, "b"),
            (201, 8191, "c"),
        ]);
        let of = |id| map.primaries.iter().position(|served| served.id == id);
        assert_eq!([of("b"), of("c"), of("a")], [Some(0), Some(1), Some(2)]);
        assert_eq!(map.of("b"), [(0, 200)]);
        assert_eq!(map.primaries[2].address, ("seed".to_owned(), 7000));
        let spread = map.spread("linkgate");
        assert_eq!(spread.shards(), 3);
        let ann = ("chat".into(), "ann".into());
        let slot = slot("linkgate:user:chat:ann");
        let shard = [0, 201, 8192].iter().rposition(|least| slot >= *least);
        assert_eq!(Some(usize::from(spread.shard(&ann).0)), shard);
    }

    #[test]
    fn slots_that_nobody_serves_are_a_shard_that_nobody_answers_for() {
        let spread = read(&[(0, 0, "a"), (2, 16383, "b")]).spread("linkgate");
        assert_eq!(spread.shards(), 3);
        assert_eq!(spread.by_slot[1], 2);
    }

    #[test]
    fn what_is_no_map_is_refused() {
        for ranges in [(5, 4, "a"), (0, 16384, "a")] {
            Map::read(&answer(&[ranges]), &("seed".to_owned(), 1)).unwrap_err();
        }
        Map::read(&Value::Okay, &("seed".to_owned(), 1)).unwrap_err();
    }

    #[test]
    fn each_set_of_slots_has_a_key() {
        for ranges in [
            vec![(0, 0)],
            vec![(16383, 16383)],
            vec![(7, 9), (5000, 16383)],
        ] {
            let key = key_within("linkgate:life", &ranges).unwrap();
            let slot = slot(&key);
            assert!(
                ranges
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&slot))
            );
        }
    }
}
