//! Random pipelines and schedules.

use proptest::prelude::*;

use crate::common::Go;

/// A filter, by its habit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Note,
    WaitUp,
    WaitDown,
    WaitAll,
    Track,
    Confirm,
    Hold,
    Pick,
    Keep,
}

/// A pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Before the codec: work on frames.
    frames: Vec<Kind>,
    /// After it.
    own: Vec<Kind>,
    /// Behind a `join` of so many messages.
    trunk: Option<(usize, Vec<Kind>)>,
}

impl Shape {
    /// Whether pushes are kept until the client has got them.
    pub(crate) fn keeps(&self) -> bool {
        self.own.iter().any(|kind| matches!(kind, Kind::Keep))
    }

    /// Whether an answer may have to wait on its way to the client.
    pub(crate) fn waits_with_answers(&self) -> bool {
        self.frames
            .iter()
            .any(|kind| matches!(kind, Kind::WaitDown))
    }

    pub(crate) fn yaml(&self) -> String {
        let all = |at: &'static str, kinds: &[Kind]| -> Vec<String> {
            let numbered = kinds.iter().enumerate();
            numbered
                .map(|(n, kind)| kind.yaml(&format!("{at}{n}")))
                .collect()
        };
        let mut lines = all("frame", &self.frames);
        lines.push("{ use: codec }".to_owned());
        lines.push("{ id: ack, use: track, config: { answer: true } }".to_owned());
        lines.extend(all("own", &self.own));
        if let Some((size, trunk)) = &self.trunk {
            lines.push(format!("{{ use: join, config: {{ size: {size} }} }}"));
            lines.extend(all("trunk", trunk));
        }
        lines.push("{ use: test_end }".to_owned());
        format!("[{}]", lines.join(", "))
    }
}

impl Kind {
    fn yaml(self, id: &str) -> String {
        let (name, config) = match self {
            Self::Note => ("note", ""),
            Self::WaitUp => ("wait", "up: true"),
            Self::WaitDown => ("wait", "down: true"),
            Self::WaitAll => ("wait", "up: true, down: true, others: true"),
            Self::Track => ("track", ""),
            Self::Confirm => ("track", "confirm: true"),
            Self::Hold => ("hold", ""),
            Self::Pick => ("pick", ""),
            // One address in every pipeline, so that pushes move with the session.
            Self::Keep => return "{ id: keep, use: keep }".to_owned(),
        };
        format!("{{ id: {id}, use: {name}, config: {{ {config} }} }}")
    }
}

/// Something that happens; the first number says to which of the two users.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Send(usize, bool),
    Push(usize, bool),
    Beat(usize),
    Got(usize),
    Go(usize, Go),
    GoAll,
    Settle(usize, bool),
    SettleAll,
    Advance(u64),
    Run,
    /// To an equal pipeline, or to the other.
    Change(usize, bool),
    Relogin(usize),
    Leave(usize),
}

/// A pipeline, or two that a link can change between: either both keep pushes, or none does.
pub(crate) fn shapes() -> impl Strategy<Value = [Shape; 2]> {
    any::<bool>().prop_flat_map(|keep| [shape(keep), shape(keep)])
}

fn shape(keep: bool) -> impl Strategy<Value = Shape> {
    use Kind::{Confirm, Hold, Note, Pick, Track, WaitAll, WaitDown, WaitUp};
    let frame = prop::sample::select(vec![Note, WaitUp, WaitDown]);
    let own = prop::sample::select(vec![
        Note, WaitUp, WaitDown, WaitAll, Track, Confirm, Hold, Pick,
    ]);
    let shared = prop::sample::select(vec![Note, WaitUp, Confirm]);
    let trunk = (1_usize..4, prop::collection::vec(shared, 0..3));
    let parts = (
        prop::collection::vec(frame, 0..2),
        prop::collection::vec(own, 0..5),
        prop::option::of(trunk),
        any::<prop::sample::Index>(),
    );
    parts.prop_map(move |(frames, mut own, trunk, at)| {
        if keep {
            own.insert(at.index(own.len() + 1), Kind::Keep);
        }
        Shape { frames, own, trunk }
    })
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let user = || 0_usize..2;
    let go = prop::sample::select(vec![Go::On, Go::On, Go::On, Go::Refuse, Go::Again]);
    let step = prop_oneof![
        8 => (user(), prop::bool::weighted(0.1)).prop_map(|(u, bad)| Step::Send(u, bad)),
        4 => (user(), prop::bool::weighted(0.1)).prop_map(|(u, bad)| Step::Push(u, bad)),
        1 => user().prop_map(Step::Beat),
        2 => user().prop_map(Step::Got),
        6 => (any::<usize>(), go).prop_map(|(pick, go)| Step::Go(pick, go)),
        5 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(pick, good)| Step::Settle(pick, good)),
        2 => (1_u64..4000).prop_map(Step::Advance),
        6 => Just(Step::Run),
        2 => (user(), any::<bool>()).prop_map(|(u, other)| Step::Change(u, other)),
        1 => user().prop_map(Step::Relogin),
        1 => user().prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 1..60)
}

/// Steps whose results do not depend on when they come.
pub(crate) fn timeless_steps() -> impl Strategy<Value = Vec<Step>> {
    let user = || 0_usize..2;
    let step = prop_oneof![
        8 => user().prop_map(|u| Step::Send(u, false)),
        1 => user().prop_map(|u| Step::Send(u, true)),
        4 => user().prop_map(|u| Step::Push(u, false)),
        1 => user().prop_map(Step::Beat),
        3 => Just(Step::GoAll),
        3 => Just(Step::SettleAll),
        1 => (1_u64..2000).prop_map(Step::Advance),
        5 => Just(Step::Run),
    ];
    prop::collection::vec(step, 1..50)
}
