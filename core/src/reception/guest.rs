//! One connection, as a stranger and as a caller.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::metrics::Reason;
use super::seats::Activity;
use super::{Idle, Reception, client};

/// An open connection's place. Whoever serves the connection keeps it for as long.
pub struct Seat {
    guest: Guest,
    _permit: OwnedSemaphorePermit,
}

/// Whose connection it is, for whatever is asked over it. Clones are the same guest.
#[derive(Clone)]
pub struct Guest(Arc<Inner>);

struct Inner {
    reception: Arc<Reception>,
    peer: SocketAddr,
    number: u64,
    leave: CancellationToken,
    activity: Arc<Activity>,
    has_asked: AtomicBool,
    is_known: AtomicBool,
    /// Answers under way.
    answers: AtomicUsize,
    unfinished: AtomicUsize,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// For another stranger.
    MakesRoom,
    /// It asked nothing in time.
    Silent,
}

/// There is no room for one more caller.
#[derive(Debug)]
pub struct Full;

impl Seat {
    pub(super) fn take(
        reception: &Arc<Reception>,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let leave = CancellationToken::new();
        let mut seats = reception.seats.lock();
        let (number, made_room) = seats.enter(client(peer.ip()), &leave);
        reception.counters.open(seats.count());
        drop(seats);
        if made_room {
            reception.refused(Reason::Crowded, peer, None);
        }
        let deadline = Instant::now() + *reception.limits.handshake;
        Self {
            guest: Guest(Arc::new(Inner {
                reception: Arc::clone(reception),
                peer,
                number,
                leave,
                activity: Arc::new(Activity::until(deadline)),
                has_asked: AtomicBool::new(false),
                is_known: AtomicBool::new(false),
                answers: AtomicUsize::new(0),
                unfinished: AtomicUsize::new(0),
            })),
            _permit: permit,
        }
    }

    /// Whose it is.
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Resolves when the connection has to be closed.
    pub async fn leaves(&self) -> Leaves {
        let inner = &self.guest.0;
        let mut deadline = inner.activity.deadline.subscribe();
        loop {
            let at = *deadline.borrow_and_update();
            tokio::select! {
                () = inner.leave.cancelled() => return Leaves::MakesRoom,
                // The sender lives as long as the seat.
                _ = deadline.changed() => {}
                () = passed(at) => {
                    if !inner.has_asked.load(Ordering::Relaxed) {
                        inner.reception.refused(Reason::Silent, inner.peer, None);
                    }
                    return Leaves::Silent;
                }
            }
        }
    }
}

/// Resolves when it is that late; never without a time.
pub(crate) async fn passed(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let inner = &self.guest.0;
        let mut seats = inner.reception.seats.lock();
        seats.leave(inner.number);
        inner.reception.counters.open(seats.count());
    }
}

impl Guest {
    /// Calls of a stranger that may be open at once.
    const CALLS_OF_STRANGER: usize = 64;
    /// Answers to a stranger that may be under way at once.
    const ANSWERS_TO_STRANGER: usize = 8;

    /// Where it comes from.
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// Something is asked, until what it gives is dropped. That does not keep a stranger's connection open.
    pub fn asks(&self) -> Busy {
        let inner = &self.0;
        inner.has_asked.store(true, Ordering::Relaxed);
        inner.activity.busy.fetch_add(1, Ordering::AcqRel);
        self.wait();
        Busy(self.clone())
    }

    /// It has said who it is: from now on it counts among the callers.
    ///
    /// # Errors
    /// So many are there, or so many of its address.
    pub fn known(&self) -> Result<(), Full> {
        let inner = &self.0;
        if inner.is_known.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut seats = inner.reception.seats.lock();
        let is_known = seats.make_known(inner.number, &inner.activity);
        inner.reception.counters.open(seats.count());
        drop(seats);
        if !is_known {
            inner.reception.refused(Reason::Full, inner.peer, None);
            return Err(Full);
        }
        inner.is_known.store(true, Ordering::Release);
        self.wait();
        Ok(())
    }

    /// Whether a stranger asks so much at once that it is asked to try again. Whoever is known has said so with the first of
    /// its calls.
    pub fn asks_too_much(&self) -> bool {
        let inner = &self.0;
        !inner.is_known.load(Ordering::Acquire)
            && inner.activity.busy.load(Ordering::Acquire) > Self::CALLS_OF_STRANGER
    }

    /// An answer is under way to it until what is given is dropped. `None`: a stranger has as many as it may.
    pub fn answer(&self) -> Option<Answering> {
        let inner = &self.0;
        let answering = Answering(self.clone());
        let under_way = inner.answers.fetch_add(1, Ordering::AcqRel);
        let may = inner.is_known.load(Ordering::Acquire) || under_way < Self::ANSWERS_TO_STRANGER;
        may.then_some(answering)
    }

    /// Sets the time anew.
    fn wait(&self) {
        let inner = &self.0;
        let is_busy = inner.activity.busy.load(Ordering::Acquire) > 0;
        let may_stay = inner.is_known.load(Ordering::Acquire)
            && (inner.reception.idle == Idle::Stays || is_busy);
        let deadline = (!may_stay).then(|| Instant::now() + *inner.reception.limits.idle);
        inner.activity.deadline.send_replace(deadline);
    }

    /// How long a request may take to come whole.
    pub fn patience(&self) -> Duration {
        *self.0.reception.limits.request
    }

    /// For the bytes of one request that has not come whole.
    pub fn hold(&self) -> Held {
        Held {
            guest: self.clone(),
            bytes: 0,
        }
    }

    /// Counts something of this guest's that was refused, and logs it with what is known of it.
    pub(crate) fn refused(&self, reason: Reason, error: &dyn Display) {
        self.0.reception.refused(reason, self.0.peer, Some(error));
    }
}

/// Something that is asked.
pub struct Busy(Guest);

impl Drop for Busy {
    fn drop(&mut self) {
        let activity = &self.0.0.activity;
        activity.rests();
        activity.busy.fetch_sub(1, Ordering::AcqRel);
        self.0.wait();
    }
}

/// An answer that is under way.
pub struct Answering(Guest);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.answers.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The bytes of one request that has not come whole.
pub struct Held {
    guest: Guest,
    bytes: usize,
}

impl Held {
    /// What all unfinished requests of one stranger may weigh.
    const OF_STRANGER: usize = 64 * 1024;

    /// So much more has come.
    ///
    /// # Errors
    /// That is more than there is room for.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let inner = &self.guest.0;
        let most = inner.reception.limits.unfinished.as_usize();
        let share = if inner.is_known.load(Ordering::Acquire) {
            most / 2
        } else {
            Self::OF_STRANGER.min(most / 2)
        };
        let all = &inner.reception.unfinished;
        let own = inner.unfinished.fetch_add(bytes, Ordering::AcqRel) + bytes;
        let total = all.fetch_add(bytes, Ordering::AcqRel) + bytes;
        self.bytes += bytes;
        inner.reception.counters.unfinished(total);
        if own > share || total > most {
            inner
                .reception
                .refused(Reason::Unfinished, inner.peer, None);
            self.clear();
            return Err(Full);
        }
        Ok(())
    }

    /// It is whole, or given up.
    pub fn clear(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let inner = &self.guest.0;
        inner.unfinished.fetch_sub(bytes, Ordering::AcqRel);
        let total = inner
            .reception
            .unfinished
            .fetch_sub(bytes, Ordering::AcqRel)
            - bytes;
        inner.reception.counters.unfinished(total);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.clear();
        }
    }
}
