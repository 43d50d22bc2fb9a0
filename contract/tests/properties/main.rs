//! Random pipelines under random schedules: what must hold whatever happens.
//!
//! `PROPTEST_CASES=100000 cargo test -p linkgate-filter --test properties` looks longer.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod shapes;
mod steps;
mod world;

use std::time::Duration;

use linkgate_filter::runner::Limits;
use proptest::prelude::*;

use crate::shapes::Shape;
use crate::steps::{Step, Target};
use crate::world::{Output, World};

const AMPLE: Duration = Duration::from_secs(3600);

fn play(shapes: Vec<Shape>, steps: Vec<Step>, limits: Limits, patience: Duration) -> Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(shapes, limits, patience);
        for step in steps {
            world.step(step).await;
        }
        world.end().await
    })
}

fn narrow() -> Limits {
    Limits {
        unsettled: 6,
        in_trunk: 2,
        trunk_bytes: 600,
        trunk_shards: 2,
        ..Limits::default()
    }
}

fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(usual),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(
        shapes in shapes::shapes(), steps in steps::steps(), tight in any::<bool>(),
    ) {
        let limits = if tight { narrow() } else { Limits::default() };
        play(shapes, steps, limits, AMPLE);
    }

    #[test]
    fn nothing_is_lost_or_doubled_where_changes_run_into_their_deadline(
        shapes in shapes::shapes(), steps in steps::steps(), patience in 0_u64..6000,
    ) {
        play(shapes, steps, Limits::default(), Duration::from_millis(patience));
    }

    #[test]
    fn nothing_is_lost_or_doubled_where_every_step_meets_a_change(
        shapes in shapes::shapes(), steps in steps::restless_steps(), tight in any::<bool>(),
        patience in prop::option::of(0_u64..6000),
    ) {
        let limits = if tight { narrow() } else { Limits::default() };
        play(shapes, steps, limits, patience.map_or(AMPLE, Duration::from_millis));
    }

    #[test]
    fn a_change_to_an_equal_pipeline_changes_no_output(
        shapes in shapes::shapes(),
        steps in steps::timeless_steps(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..2), 1..4),
    ) {
        let mut changed = steps.clone();
        let again = Target { shape: 0, anew: true };
        for (at, user) in changes {
            changed.insert(at.index(changed.len() + 1), Step::Change(user, again));
        }
        let without = play(shapes.clone(), steps, Limits::default(), AMPLE);
        let with = play(shapes, changed, Limits::default(), AMPLE);
        prop_assert_eq!(without, with);
    }
}
