//! A stream that another node has opened: what it has forwarded here, and what it is answered.
//!
//! What may not enter: connections, and what becomes of a push here.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use linkgate_filter::{Clock, Fault};
use linkgate_proto::v1;
use linkgate_proto::v1::peer_request::Said as Asked;
use linkgate_proto::v1::peer_response::Said;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::frames::{BATCH, Speaks, put};
use super::sending::{DELIVERY, LONGEST_REASON, SILENT};
use super::wire::{self, Breach, MOST_ENDED};
use crate::cluster::machine::FromPeer;
use crate::edges::directory::{Claim, ClaimId, Incarnation, User};
use crate::push::{Push, ReceiverOutcome, Status};

/// A push that another node has forwarded here for one user.
#[derive(Clone, Debug)]
pub struct Forwarded {
    /// The push; shared by its deliveries from that node. `expires_at` is by this node's clock.
    pub push: Arc<Push>,
    /// For whom.
    pub user: User,
    /// The links of this node by which the user was found. The claim of one that is not there has to be taken out.
    pub claims: Vec<ClaimId>,
}

/// Takes what became of a forwarded push. One that is dropped says that nobody knows.
#[derive(Debug)]
pub struct Answer {
    stream: Weak<Serving>,
    number: u64,
    is_settled: bool,
}

/// Called when a delivery is parked.
type Parked = Box<dyn FnOnce() + Send>;

impl Answer {
    /// Tells the node that has forwarded the push. If the stream has ended meanwhile, nobody is told.
    pub fn settle(mut self, outcome: ReceiverOutcome) {
        self.tell(outcome);
    }

    /// Calls this when nobody waits for the delivery any more, maybe at once; never after it has settled.
    pub fn when_parked(&self, then: impl FnOnce() + Send + 'static) {
        let stream = self.stream.upgrade();
        let parked = stream.and_then(|stream| stream.await_parked(self.number, Box::new(then)));
        if let Some(then) = parked {
            then();
        }
    }

    fn tell(&mut self, outcome: ReceiverOutcome) {
        if !std::mem::replace(&mut self.is_settled, true)
            && let Some(stream) = self.stream.upgrade()
        {
            stream.settle(self.number, outcome);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let fault = Fault::gateway(SILENT).effect_unknown().retryable();
        self.tell(ReceiverOutcome {
            status: Status::Rejected,
            reason: Some(fault.detail("the node that has the user's link gave the push up")),
        });
    }
}

/// What was heard.
pub(super) enum Heard {
    Said(FromPeer),
    Deliver(Forwarded, Answer),
    Parked(Parked),
    Nothing,
}

/// A stream that another node has opened.
pub(super) struct Serving {
    pub(super) from: Incarnation,
    /// Ends the stream.
    pub(super) stop: CancellationToken,
    state: Mutex<State>,
    more: Notify,
    clock: Arc<dyn Clock>,
    largest_body: usize,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Said>,
    bodies: HashMap<u64, Body>,
    deliveries: HashMap<u64, UnderWay>,
    last_body: u64,
    last_delivery: u64,
    /// What bodies and deliveries count for.
    held: u64,
    /// The most that it was ever given to hold.
    granted: u64,
}

struct Body {
    push: Arc<Push>,
    under_way: usize,
}

struct UnderWay {
    body: u64,
    parked: Parking,
}

enum Parking {
    No,
    Call(Parked),
    Yes,
}

impl Serving {
    /// Answers that wait to be written. A node that does not take them loses the stream.
    const MOST_SAID: usize = 64 * 1024;
    /// Times beyond it are as good as none.
    const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

    pub(super) fn new(
        from: Incarnation,
        stop: CancellationToken,
        clock: &Arc<dyn Clock>,
        largest_body: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            from,
            stop,
            state: Mutex::default(),
            more: Notify::new(),
            clock: Arc::clone(clock),
            largest_body,
        })
    }

    pub(super) fn grant(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.granted = state.granted.max(bytes);
        self.say(&mut state, Said::Credit(v1::Credit { bytes }));
    }

    /// What bodies and deliveries under way count for.
    #[cfg(test)]
    pub(super) fn held(&self) -> u64 {
        self.state.lock().held
    }

    pub(super) fn ended(&self, lives: &[Incarnation]) {
        let mut state = self.state.lock();
        for lives in lives.chunks(MOST_ENDED) {
            let incarnations = wire::to_ended(lives);
            self.say(&mut state, Said::Ended(v1::EndedLives { incarnations }));
        }
    }

    pub(super) fn fenced(&self, claim: ClaimId) {
        let claim = Some(wire::to_claim_id(claim));
        self.say(&mut self.state.lock(), Said::Fenced(v1::Fenced { claim }));
    }

    pub(super) fn tell(&self, number: u64, claims: &[Claim]) {
        let claims = wire::to_told(claims);
        let told = Said::Told(v1::Told { number, claims });
        self.say(&mut self.state.lock(), told);
    }

    fn say(&self, state: &mut State, said: Said) {
        if state.queue.len() < Self::MOST_SAID {
            state.queue.push_back(said);
            self.more.notify_one();
        } else {
            self.stop.cancel();
        }
    }

    /// Takes what the other node says.
    pub(super) fn hear(self: &Arc<Self>, frame: v1::PeerRequest) -> Result<Heard, Breach> {
        Ok(match frame.said {
            // Of a newer version.
            None => Heard::Nothing,
            Some(Asked::Hello(_)) => return Err(Breach("a second `hello`")),
            Some(Asked::Ended(ended)) => {
                Heard::Said(FromPeer::Ended(wire::ended(ended.incarnations)?))
            }
            Some(Asked::Fence(fence)) => {
                let (user, claim) = (wire::user(fence.user)?, wire::claim_id(fence.claim)?);
                Heard::Said(FromPeer::Fence(self.from, user, claim))
            }
            Some(Asked::Ask(ask)) => {
                Heard::Said(FromPeer::Ask(self.from, ask.number, wire::user(ask.user)?))
            }
            Some(Asked::Body(body)) => self.body(&body).map(|()| Heard::Nothing)?,
            Some(Asked::Deliver(deliver)) => self.deliver(deliver)?,
            Some(Asked::Forget(forget)) => self.forget(forget.body).map(|()| Heard::Nothing)?,
            Some(Asked::Park(park)) => match self.park(park.delivery) {
                Some(parked) => Heard::Parked(parked),
                None => Heard::Nothing,
            },
        })
    }

    fn body(&self, body: &v1::PeerBody) -> Result<(), Breach> {
        let mut state = self.state.lock();
        if body.number <= state.last_body {
            return Err(Breach(
                "the number of a body is not greater than the last one",
            ));
        }
        if body.body.len() > self.largest_body {
            return Err(Breach("a body is larger than `max_body`"));
        }
        let cost = body.body.len() as u64;
        if state.held > 0 && state.held + cost > state.granted {
            return Err(Breach("a body is beyond the credit"));
        }
        let expires_at = body.expires_in_ms.map(Duration::from_millis);
        let expires_at = expires_at.filter(|left| *left < Self::LONGEST);
        let push = Push {
            key: wire::name(&body.key)?.into(),
            biz_id: wire::name(&body.biz_id)?.into(),
            // A slice would keep all that came with it.
            body: Bytes::copy_from_slice(&body.body),
            device_id: body
                .device_id
                .as_deref()
                .map(wire::name)
                .transpose()?
                .map(Into::into),
            expires_at: expires_at.and_then(|left| self.clock.wall().checked_add(left)),
            ack: body.ack,
            all: body.all,
        };
        state.last_body = body.number;
        state.held += cost;
        let push = Arc::new(push);
        state
            .bodies
            .insert(body.number, Body { push, under_way: 0 });
        Ok(())
    }

    fn deliver(self: &Arc<Self>, deliver: v1::Deliver) -> Result<Heard, Breach> {
        let claims = wire::claim_ids(deliver.claims)?;
        let user_id = wire::name(&deliver.user_id)?.into();
        let mut state = self.state.lock();
        if deliver.number <= state.last_delivery {
            return Err(Breach(
                "the number of a delivery is not greater than the last one",
            ));
        }
        if !state.deliveries.is_empty() && state.held + DELIVERY > state.granted {
            return Err(Breach("a delivery is beyond the credit"));
        }
        let body = state.bodies.get_mut(&deliver.body);
        let body = body.ok_or(Breach("a delivery without a body"))?;
        body.under_way += 1;
        let push = Arc::clone(&body.push);
        state.last_delivery = deliver.number;
        state.held += DELIVERY;
        let parked = match deliver.parked {
            true => Parking::Yes,
            false => Parking::No,
        };
        let body = deliver.body;
        let under_way = UnderWay { body, parked };
        state.deliveries.insert(deliver.number, under_way);
        let forwarded = Forwarded {
            user: (Arc::clone(&push.biz_id), user_id),
            push,
            claims,
        };
        let answer = Answer {
            stream: Arc::downgrade(self),
            number: deliver.number,
            is_settled: false,
        };
        Ok(Heard::Deliver(forwarded, answer))
    }

    fn forget(&self, number: u64) -> Result<(), Breach> {
        let mut state = self.state.lock();
        match state.bodies.remove(&number) {
            None => Err(Breach("a body is forgotten that is not there")),
            Some(body) if body.under_way > 0 => Err(Breach("a body is forgotten under way")),
            Some(body) => {
                state.held -= body.push.body.len() as u64;
                Ok(())
            }
        }
    }

    fn park(&self, number: u64) -> Option<Parked> {
        let mut state = self.state.lock();
        // It may have settled meanwhile.
        let under_way = state.deliveries.get_mut(&number)?;
        match std::mem::replace(&mut under_way.parked, Parking::Yes) {
            Parking::Call(parked) => Some(parked),
            Parking::No | Parking::Yes => None,
        }
    }

    /// Has this called when the delivery is parked. Gives it back if it is.
    fn await_parked(&self, number: u64, then: Parked) -> Option<Parked> {
        let mut state = self.state.lock();
        let under_way = state.deliveries.get_mut(&number)?;
        if matches!(under_way.parked, Parking::Yes) {
            return Some(then);
        }
        under_way.parked = Parking::Call(then);
        None
    }

    fn settle(&self, number: u64, outcome: ReceiverOutcome) {
        let mut state = self.state.lock();
        let Some(under_way) = state.deliveries.remove(&number) else {
            return;
        };
        state.held -= DELIVERY;
        if let Some(body) = state.bodies.get_mut(&under_way.body) {
            body.under_way -= 1;
        }
        let outcome = to_outcome(number, outcome);
        self.say(&mut state, Said::Outcome(outcome));
    }
}

impl Speaks for Serving {
    fn fill(&self, batch: &mut BytesMut) -> bool {
        let mut state = self.state.lock();
        while batch.len() < BATCH
            && let Some(said) = state.queue.pop_front()
        {
            put(&v1::PeerResponse { said: Some(said) }, batch);
        }
        !batch.is_empty()
    }

    fn more(&self) -> &Notify {
        &self.more
    }
}

fn to_outcome(delivery: u64, outcome: ReceiverOutcome) -> v1::DeliveryOutcome {
    use v1::receiver_outcome::Status as Wire;
    let status = match outcome.status {
        Status::Delivered => Wire::Delivered,
        Status::Sent => Wire::Sent,
        Status::Offline => Wire::Offline,
        Status::Expired => Wire::Expired,
        Status::Rejected => Wire::Rejected,
    };
    let reason = outcome.reason.map(|fault| {
        let mut fault = v1::Fault::from(fault);
        let most = LONGEST_REASON - fault.code.len().min(LONGEST_REASON);
        let mut ends = (0..=most.min(fault.detail.len())).rev();
        let end = ends.find(|end| fault.detail.is_char_boundary(*end));
        fault.detail.truncate(end.unwrap_or(0));
        fault
    });
    v1::DeliveryOutcome {
        delivery,
        status: status.into(),
        reason,
    }
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Serving({})", self.from)
    }
}
