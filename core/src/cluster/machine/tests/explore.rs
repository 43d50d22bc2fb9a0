//! Every order of steps, within bounds.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::world::{Budget, Choice, World};
use crate::cluster::machine::Need;

/// No way is as long.
const LONGEST: usize = 400;

/// Goes through every order of steps from this world on; after each that leads somewhere new, everything comes to rest and
/// what has to be so is looked at.
fn explore(start: World, budget: Budget) -> usize {
    let mut seen = HashSet::new();
    let mut world = start;
    world.budget = budget;
    let mut trail = Vec::new();
    walk(&world, &mut trail, &mut seen);
    seen.len()
}

fn walk(world: &World, trail: &mut Vec<Choice>, seen: &mut HashSet<u64>) {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    if !seen.insert(hasher.finish()) {
        return;
    }
    assert!(trail.len() < LONGEST, "it goes on for ever: {trail:#?}");
    let choices = world.choices();
    if world.is_idle() {
        let mut end = world.clone();
        attempt(trail, || {
            end.rest();
            end.check_rest();
        });
    }
    for choice in choices {
        let mut next = world.clone();
        trail.push(choice.clone());
        attempt(trail, || next.choose(&choice));
        walk(&next, trail, seen);
        trail.pop();
    }
}

fn attempt(trail: &[Choice], step: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(step)) {
        let what = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        panic!("{what}\nafter {trail:#?}");
    }
}

/// Three nodes at work.
fn three() -> World {
    let mut world = World::new(3, true);
    world.pass(Duration::from_secs(3));
    world
}

#[test]
fn nodes_at_work_find_each_others_links() {
    let mut world = three();
    world.login(1, "phone");
    world.settle();
    world.look(0, Need::Certain);
    world.settle();
    world.rest();
    world.check_rest();
}

/// How much further to go than each time the tests are run: `EXPLORE=1` takes minutes, 2 takes hours (`make explore`).
fn further() -> u32 {
    let further = std::env::var("EXPLORE").ok();
    further
        .and_then(|further| further.parse().ok())
        .unwrap_or(0)
}

/// How often something else may arrive than what has waited longest.
fn detours() -> u32 {
    further()
}

/// A client comes to one node, while another one looks for it.
fn login_and_look() -> Budget {
    Budget {
        detours: detours(),
        looks: vec![(0, Need::CertainIfNone)],
        logins: vec![(1, "phone")],
        waits: 2,
        ..Budget::default()
    }
}

fn one_store_at_a_time(name: &str, budget: Budget) {
    println!("{name}: {} states", explore(three(), budget));
}

#[test]
fn a_failover_hides_no_link() {
    one_store_at_a_time(
        "failover",
        Budget {
            failovers: 1,
            ..login_and_look()
        },
    );
}

#[test]
fn an_emptied_store_hides_no_link() {
    one_store_at_a_time(
        "flush",
        Budget {
            flushes: 1,
            ..login_and_look()
        },
    );
}

#[test]
fn a_store_that_is_not_the_primary_any_more_hides_no_link() {
    one_store_at_a_time(
        "split",
        Budget {
            splits: 1,
            ..login_and_look()
        },
    );
}

#[test]
fn a_store_that_does_not_answer_hides_no_link() {
    one_store_at_a_time(
        "store cut",
        Budget {
            store_cuts: 1,
            waits: 3,
            ..login_and_look()
        },
    );
}

#[test]
fn a_registry_that_does_not_answer_hides_no_link() {
    one_store_at_a_time(
        "registry cut",
        Budget {
            registry_cuts: 1,
            ..login_and_look()
        },
    );
}

#[test]
fn lost_answers_hide_no_link() {
    one_store_at_a_time(
        "lost",
        Budget {
            lost: 1,
            ..login_and_look()
        },
    );
}

#[test]
fn what_is_done_late_or_twice_hides_no_link() {
    one_store_at_a_time(
        "late",
        Budget {
            late: 1,
            logouts: 1,
            ..login_and_look()
        },
    );
    one_store_at_a_time(
        "doubled",
        Budget {
            doubled: 1,
            logouts: 1,
            ..login_and_look()
        },
    );
}

/// One device comes to two nodes.
fn two_logins() -> Budget {
    Budget {
        detours: detours(),
        logins: vec![(1, "phone"), (2, "phone")],
        waits: 2,
        ..Budget::default()
    }
}

#[test]
fn of_two_links_of_a_device_one_is_left() {
    one_store_at_a_time(
        "lost fences",
        Budget {
            lost: 2,
            ..two_logins()
        },
    );
    one_store_at_a_time(
        "doubled",
        Budget {
            doubled: 1,
            late: 1,
            ..two_logins()
        },
    );
    one_store_at_a_time(
        "failover",
        Budget {
            failovers: 1,
            ..two_logins()
        },
    );
    one_store_at_a_time(
        "cut",
        Budget {
            store_cuts: 1,
            waits: 3,
            ..two_logins()
        },
    );
}

#[test]
fn two_devices_stand_side_by_side() {
    let budget = Budget {
        logins: vec![(1, "phone"), (2, "desk")],
        looks: vec![(0, Need::Certain)],
        failovers: 1,
        ..two_logins()
    };
    one_store_at_a_time("two devices", budget);
}

/// A node with a link, and one that looks for it later.
fn at_work() -> World {
    let mut world = three();
    world.login(1, "phone");
    world.pass(Duration::from_secs(1));
    world
}

#[test]
fn a_node_that_wakes_has_not_the_newer_link() {
    let budget = Budget {
        freezes: 1,
        logins: vec![(2, "phone")],
        looks: vec![(0, Need::CertainIfNone)],
        waits: 5 + 2 * further(),
        ..Budget::default()
    };
    println!("freeze: {} states", explore(at_work(), budget));
}

#[test]
fn a_dead_nodes_links_are_gone_in_the_end() {
    let budget = Budget {
        kills: 1,
        logins: vec![(2, "phone")],
        looks: vec![(0, Need::CertainIfNone)],
        waits: 5 + 2 * further(),
        ..Budget::default()
    };
    println!("kill: {} states", explore(at_work(), budget));
}

#[test]
fn a_node_without_store_and_registry_hides_no_link_while_its_lease_may_stand() {
    let budget = Budget {
        store_cuts: 1,
        registry_cuts: 1,
        waits: 2 + further(),
        ..login_and_look()
    };
    println!("both cut: {} states", explore(three(), budget));
}
