//! Random schedules.

use proptest::prelude::*;

use crate::common::Go;
use crate::shapes::SHAPES;

/// A pipeline to change to: which shape, and whether it is built anew, with the one before it retired.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) shape: usize,
    pub(crate) anew: bool,
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
    /// One link changes.
    Change(usize, Target),
    /// All links do, those that another has replaced too.
    Reload(Target),
    /// A second login; the first link closes at once, or stays for a while.
    Relogin(usize, bool),
    Leave(usize),
}

fn user() -> impl Strategy<Value = usize> {
    0_usize..2
}

fn target() -> impl Strategy<Value = Target> {
    (0..SHAPES, any::<bool>()).prop_map(|(shape, anew)| Target { shape, anew })
}

fn change() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (user(), target()).prop_map(|(u, target)| Step::Change(u, target)),
        1 => target().prop_map(Step::Reload),
    ]
}

fn any_but_changes() -> impl Strategy<Value = Step> {
    let go = prop::sample::select(vec![Go::On, Go::On, Go::On, Go::Refuse, Go::Again]);
    prop_oneof![
        8 => (user(), prop::bool::weighted(0.1)).prop_map(|(u, bad)| Step::Send(u, bad)),
        4 => (user(), prop::bool::weighted(0.1)).prop_map(|(u, bad)| Step::Push(u, bad)),
        1 => user().prop_map(Step::Beat),
        2 => user().prop_map(Step::Got),
        6 => (any::<usize>(), go).prop_map(|(pick, go)| Step::Go(pick, go)),
        5 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(pick, good)| Step::Settle(pick, good)),
        2 => (1_u64..4000).prop_map(Step::Advance),
        6 => Just(Step::Run),
        1 => (user(), any::<bool>()).prop_map(|(u, at_once)| Step::Relogin(u, at_once)),
        1 => user().prop_map(Step::Leave),
    ]
}

/// Changes among all else, now and then many in a row.
pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![12 => any_but_changes(), 1 => change()];
    prop::collection::vec(step, 1..60)
}

/// A change before every other step.
pub(crate) fn restless_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (change(), any_but_changes()).prop_map(|(change, step)| [change, step]);
    prop::collection::vec(step, 1..30).prop_map(|steps| steps.concat())
}

/// Steps whose results do not depend on when they come.
pub(crate) fn timeless_steps() -> impl Strategy<Value = Vec<Step>> {
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
