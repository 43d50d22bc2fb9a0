//! Whole nodes in virtual time: clients, backends and a cluster of nodes whose registry, directory, connections and clocks fail
//! as chance has it, and whose processes are killed, frozen and started again.
//!
//! ```text
//! world.rs + world/   what a run is made of: time, nodes, connections, clients, callers
//! story.rs            what happens in a run, by its seed
//! judge.rs            what has to hold, whatever happens
//! ```
//!
//! Each node runs in a runtime of its own, which stands still unless the world lets it run for another moment: so a node is
//! frozen by not running it, killed by dropping its runtime, and its clock is as fast as the world says. A run depends on its
//! seed alone.
//!
//! Each seed runs in a process of its own, as some of what chance decides is counted by processes.
//!
//! `cargo test --test simulation` runs some seeds, `make simulate SEEDS=2000` that many. `SEED=7` runs one and prints what
//! happens in it, with what the nodes log if `LOG=linkgate_core=debug` or the like is set; `FIRST=1000` begins there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails"
)]

mod chance;
mod judge;
mod story;
mod world;

use std::cell::Cell;
use std::process::{Command, Output};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// What came of a run.
struct Ran {
    /// What happened.
    trace: Vec<String>,
    /// What should not have.
    wrong: Vec<String>,
}

thread_local! {
    /// Panics of the run's thread.
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

fn count_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.set(PANICS.get() + 1);
        before(info);
    }));
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

fn log() {
    let Some(filter) = variable::<tracing_subscriber::EnvFilter>("LOG") else {
        return;
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    log.without_time().with_ansi(false).init();
}

/// Runs a seed here, and prints what happens.
fn run(seed: u64) {
    log();
    count_panics();
    fastrand::seed(seed);
    let mut ran = story::run(seed);
    if PANICS.get() > 0 {
        ran.wrong.push("something has panicked".to_owned());
    }
    println!("{}", ran.trace.join("\n"));
    if !ran.wrong.is_empty() {
        println!("WRONG with seed {seed}:\n{}", ran.wrong.join("\n"));
    }
    assert!(ran.wrong.is_empty(), "seed {seed} fails");
}

/// Runs a seed in another process.
fn run_apart(seed: u64) -> Output {
    let mut this = Command::new(std::env::current_exe().unwrap());
    let this = this
        .env("SEED", seed.to_string())
        .env("RUST_BACKTRACE", "0");
    let one = "whatever_happens_pushes_find_their_users";
    this.args([one, "--exact", "--nocapture"]).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn whatever_happens_pushes_find_their_users() {
    if let Some(seed) = variable("SEED") {
        return run(seed);
    }
    let first: u64 = variable("FIRST").unwrap_or(1);
    let seeds: u64 = variable("SEEDS").unwrap_or(24);
    let (next, failed) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return;
            }
            let output = run_apart(seed);
            if output.status.success() {
                continue;
            }
            let said = text(&output);
            let wrong = said.split_once("WRONG").map_or(&*said, |(_, wrong)| wrong);
            println!("{wrong}\n{}", String::from_utf8_lossy(&output.stderr));
            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.push(seed);
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort_unstable();
    assert!(
        failed.is_empty(),
        "{} of {seeds} seeds fail, `SEED=n` reruns one: {failed:?}",
        failed.len()
    );
}

#[test]
fn a_seed_run_twice_is_the_same_run() {
    if variable::<u64>("SEED").is_some() {
        return;
    }
    for seed in 1..=3 {
        let (once, again) = (text(&run_apart(seed)), text(&run_apart(seed)));
        let lines = |text: &str| -> Vec<String> {
            let lines = text.lines().map(str::to_owned);
            lines
                .filter(|line| !line.starts_with("test result"))
                .collect()
        };
        let (once, again) = (lines(&once), lines(&again));
        let differs = once.iter().zip(&again).position(|(a, b)| a != b);
        if let Some(at) = differs {
            let from = at.saturating_sub(10);
            panic!(
                "seed {seed} differs:\n{}\n\n{}",
                once[from..=at].join("\n"),
                again[from..=at].join("\n")
            );
        }
        assert_eq!(once.len(), again.len(), "seed {seed}");
    }
}
