//! Who holds how much of a bounded store.
//!
//! A business may hold twice what is free, and a user as much as its business may still take. So there is always room for
//! one more, however many fill the store, and nobody has to be known beforehand: alone, a user holds half of the store and
//! the users of a business two thirds of it; the more there are, the less each may hold.

use std::collections::HashMap;
use std::ops::{Add, AddAssign, SubAssign};
use std::sync::Arc;

use crate::link::Identity;

/// Keys, and what they weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

/// What a store holds, and for whom. Whoever holds nothing is not in it.
#[derive(Default)]
pub(super) struct Shares {
    held: Room,
    businesses: HashMap<Arc<str>, Business>,
}

#[derive(Default)]
struct Business {
    held: Room,
    users: HashMap<Arc<str>, Room>,
}

/// A user of a business.
#[derive(Clone)]
pub(super) struct Owner {
    biz_id: Arc<str>,
    user_id: Arc<str>,
}

/// Whose room does not suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Short {
    Store,
    Business,
    User,
}

impl Shares {
    /// What a business may hold, as a multiple of what is free.
    const OF_FREE: usize = 2;

    pub(super) fn held(&self) -> Room {
        self.held
    }

    /// Whether `owner` may hold `more` in a store of this size.
    pub(super) fn admit(&self, owner: &Owner, more: Room, size: Room) -> Result<(), Short> {
        let free = size.less(self.held);
        if !more.fits(free) {
            return Err(Short::Store);
        }
        let business = self.businesses.get(&owner.biz_id);
        let held = business.map_or(Room::default(), |business| business.held);
        let left = free.times(Self::OF_FREE).less(held);
        if !more.fits(left) {
            return Err(Short::Business);
        }
        let user = business.and_then(|business| business.users.get(&owner.user_id));
        let held = user.copied().unwrap_or_default();
        if !(held + more).fits(left) {
            return Err(Short::User);
        }
        Ok(())
    }

    pub(super) fn add(&mut self, owner: &Owner, room: Room) {
        let business = self
            .businesses
            .entry(Arc::clone(&owner.biz_id))
            .or_default();
        let user = business
            .users
            .entry(Arc::clone(&owner.user_id))
            .or_default();
        for held in [&mut self.held, &mut business.held, user] {
            *held += room;
        }
    }

    pub(super) fn free(&mut self, owner: &Owner, room: Room) {
        self.held -= room;
        let Some(business) = self.businesses.get_mut(&owner.biz_id) else {
            return;
        };
        business.held -= room;
        if let Some(user) = business.users.get_mut(&owner.user_id) {
            *user -= room;
            if user.entries == 0 {
                business.users.remove(&owner.user_id);
            }
        }
        if business.users.is_empty() {
            self.businesses.remove(&owner.biz_id);
        }
    }
}

impl From<&Identity> for Owner {
    fn from(identity: &Identity) -> Self {
        Self {
            biz_id: Arc::clone(&identity.biz_id),
            user_id: Arc::clone(&identity.user_id),
        }
    }
}

impl Room {
    fn fits(self, other: Self) -> bool {
        self.entries <= other.entries && self.bytes <= other.bytes
    }

    fn less(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_sub(other.entries),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    fn times(self, factor: usize) -> Self {
        Self {
            entries: self.entries.saturating_mul(factor),
            bytes: self.bytes.saturating_mul(factor),
        }
    }
}

impl Add for Room {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl AddAssign for Room {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.bytes += other.bytes;
    }
}

impl SubAssign for Room {
    fn sub_assign(&mut self, other: Self) {
        self.entries -= other.entries;
        self.bytes -= other.bytes;
    }
}
