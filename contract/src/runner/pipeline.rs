//! A business's filters at work.

use std::sync::Arc;

use crate::client::Ends;
use crate::growth::{Growths, Room};
use crate::link::{Identity, LinkInfo};
use crate::meter::{Counter, Meter};
use crate::receipt::Outcome;
use crate::runner::host::Host;
use crate::runner::plan::{Plan, Slot, ends};
use crate::runner::trunk::Trunk;

/// The bounds of a pipeline. All are per link unless they say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Unsettled business messages; beyond it new ones are refused with a retryable NACK.
    pub unsettled: usize,
    /// What they may weigh, in bytes; beyond it likewise.
    pub unsettled_bytes: usize,
    /// What may stand in line in all, in bytes; beyond it the link stops reading its socket.
    pub hard_bytes: usize,
    /// Business messages of one link in the trunk.
    pub in_trunk: usize,
    /// What one shard of the trunk works on, in bytes; as much again may stand before it.
    pub trunk_bytes: usize,
    /// Shards of the trunk.
    pub trunk_shards: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unsettled: 256,
            unsettled_bytes: 1 << 20,
            hard_bytes: 4 << 20,
            in_trunk: 64,
            trunk_bytes: 16 << 20,
            trunk_shards: 4,
        }
    }
}

/// What the steps make of messages on their way to a client: of bodies, then of whole frames.
fn growths(slots: &[Slot], decodes_at: Option<usize>) -> Growths {
    let codec = decodes_at.unwrap_or(0);
    Growths::of(|form| {
        let steps = slots.iter().enumerate().rev();
        steps.map(move |(at, slot)| slot.growth(form, at < codec))
    })
}

/// A running pipeline. When the last link has let go of it, its trunk finishes what it has and ends.
pub struct Pipeline {
    steps: Arc<Steps>,
    trunk: Option<Arc<Trunk>>,
}

struct Steps {
    biz_id: Arc<str>,
    slots: Vec<Slot>,
    own: usize,
    decodes_at: Option<usize>,
    growths: Growths,
    limits: Limits,
    host: Arc<Host>,
    meter: Arc<Meter>,
    accepted: Counter,
}

impl Pipeline {
    pub(crate) fn new(
        plan: Plan,
        biz_id: &str,
        limits: Limits,
        host: &Arc<Host>,
        predecessor: Option<&Self>,
    ) -> Self {
        let Plan {
            mut slots,
            own,
            decodes_at,
            ..
        } = plan;
        let predecessors = predecessor.map_or(&[][..], Self::slots);
        for slot in &mut slots {
            slot.count_on(predecessors);
        }
        let growths = growths(&slots, decodes_at);
        let trunk = (own < slots.len())
            .then(|| Arc::new(Trunk::new(limits.trunk_shards.max(1), limits.trunk_bytes)));
        let meter = predecessor.map(|old| Arc::clone(&old.steps.meter));
        let meter = meter.unwrap_or_default();
        let accepted = meter.event("accepted");
        let (biz_id, host) = (biz_id.into(), Arc::clone(host));
        Self {
            steps: Arc::new(Steps {
                biz_id,
                slots,
                own,
                decodes_at,
                growths,
                limits,
                host,
                meter,
                accepted,
            }),
            trunk,
        }
    }

    /// The same steps without the way into the trunk: what the trunk itself holds, so that it can end.
    pub(crate) fn without_trunk(&self) -> Self {
        Self {
            steps: Arc::clone(&self.steps),
            trunk: None,
        }
    }

    /// The business.
    pub fn biz_id(&self) -> &Arc<str> {
        &self.steps.biz_id
    }

    /// The steps, in upstream order.
    pub fn slots(&self) -> &[Slot] {
        &self.steps.slots
    }

    /// A client's ends of its filters, for the link of this identity.
    pub fn client(&self, identity: &Identity) -> Ends {
        ends(self.slots(), self.decodes_at(), identity)
    }

    /// The bounds.
    pub fn limits(&self) -> &Limits {
        &self.steps.limits
    }

    /// How large what is sent to this link may be, before the steps make frames of it.
    pub fn room(&self, link: &LinkInfo) -> Room {
        Room::new(link, self.steps.growths.in_form(link.form))
    }

    /// What became of business messages: `accepted` as an event, all others as faults by code.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.steps.meter
    }

    /// The parts of the node it works with.
    pub fn host(&self) -> &Arc<Host> {
        &self.steps.host
    }

    /// Gathers no more in its trunk, because a successor takes over or the node stops: what was gathered goes on at once,
    /// and so does what still comes. Links go on as before.
    pub fn retire(&self) {
        if let Some(trunk) = &self.trunk {
            trunk.retire();
        }
    }

    /// How many slots are the link's own; the others are trunk.
    pub(crate) fn own(&self) -> usize {
        self.steps.own
    }

    pub(crate) fn decodes_at(&self) -> Option<usize> {
        self.steps.decodes_at
    }

    pub(crate) fn trunk(&self) -> Option<&Trunk> {
        self.trunk.as_deref()
    }

    pub(crate) fn count(&self, outcome: &Outcome) {
        match outcome.fault() {
            None => self.steps.accepted.inc(),
            Some(fault) => self.steps.meter.fault(&fault.code),
        }
    }
}
