//! Carries out a case: a node of its own in a world of its own, in virtual time.

mod actions;
mod counted;
mod facts;
mod pushes;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use linkgate_filter::{Clock, Registry, Seeds};
use serde_json::Value;

pub use self::counted::Branch;
use self::counted::Counted;
use self::facts::Facts;
use super::language::{Case, CaseFile, Expectation, Kind, Step, With};
use super::matching::{differs, is_one_place, matches, told_of};
use super::world::World;
use super::world::log::{Entry, Seen, Stated, What};
use crate::config::{self, Config, source::Origin};
use crate::node::{Node, Outside};

/// What has come of a case.
pub struct Run {
    /// What is wrong; `None`: nothing.
    pub failure: Option<Failure>,
    /// All that has happened.
    pub entries: Vec<Entry>,
    /// How many of them there were at the end of each step.
    pub marks: Vec<usize>,
    /// What was counted.
    pub counted: Vec<Branch>,
    /// How much time has passed in it.
    pub passed: Duration,
}

/// What is wrong with a case.
#[derive(Debug)]
pub struct Failure {
    /// The step, counted from 0; `None`: none of them.
    pub step: Option<usize>,
    /// What is wrong, in one line or more.
    pub message: String,
}

/// A case at work.
struct Driver<'a> {
    case: &'a Case,
    file: &'a CaseFile,
    registry: Registry,
    world: World,
    facts: Facts,
    node: Option<Node>,
    counted: Counted,
    marks: Vec<usize>,
    /// Writes down what is seen instead of looking for it.
    blesses: bool,
}

/// Runs a case.
pub fn run(file: &CaseFile, case: &Case, registry: &Registry) -> Run {
    run_as(file, case, registry, false)
}

/// Runs a case that states nothing yet: whoever asks is answered yes, and all that is seen is as it should be.
pub fn observe(file: &CaseFile, case: &Case, registry: &Registry) -> Run {
    run_as(file, case, registry, true)
}

fn run_as(file: &CaseFile, case: &Case, registry: &Registry, blesses: bool) -> Run {
    let broken = |message: String| Run {
        failure: Some(Failure {
            step: None,
            message,
        }),
        entries: Vec::new(),
        marks: Vec::new(),
        counted: Vec::new(),
        passed: Duration::ZERO,
    };
    let (runtime, quiet) = match super::world::time::Quiet::runtime() {
        Ok(made) => made,
        Err(error) => return broken(format!("no runtime can be started: {error}")),
    };
    runtime.block_on(async {
        let world = World::new(quiet, &case.allow);
        let registry = registry.watched(&world.watch());
        let config = match load(&file.config, file, &registry) {
            Ok(config) => config,
            Err(message) => return broken(message),
        };
        let facts = Facts::of(&config);
        let mut driver = Driver {
            case,
            file,
            registry,
            node: None,
            counted: Counted::default(),
            marks: Vec::new(),
            facts,
            world,
            blesses,
        };
        let failure = Box::pin(driver.run(config)).await.err();
        let passed = driver.world.log.now();
        let entries = driver.world.log.entries(std::mem::take);
        let counted = driver.counted.branches(&told(&entries));
        Run {
            failure,
            entries,
            marks: driver.marks,
            counted,
            passed,
        }
    })
}

fn load(
    paths: &[std::path::PathBuf],
    file: &CaseFile,
    registry: &Registry,
) -> Result<Config, String> {
    let origin = Origin {
        variables: Some(file.variables.clone()),
        given: file.files.clone(),
        ..Origin::paths(paths)
    };
    let mut config =
        config::load_from(&origin, registry).map_err(|invalid| invalid.render(false))?;
    tokens::own_keys(&mut config);
    Ok(config)
}

impl Driver<'_> {
    async fn run(&mut self, config: Config) -> Result<(), Failure> {
        self.start(config).map_err(|message| Failure {
            step: None,
            message,
        })?;
        let mut acts = true;
        for (number, step) in self.case.steps.iter().enumerate() {
            let at = |message| Failure {
                step: Some(number),
                message,
            };
            let is_action = matches!(step.kind, Kind::Action(_));
            if is_action && !acts {
                self.all_stated().map_err(at)?;
            }
            acts = is_action;
            let done = self.step(number, step).await;
            self.marks
                .push(self.world.log.entries(|entries| entries.len()));
            done.map_err(at)?;
        }
        self.world.quiet.settled().await;
        let at_end = |message| Failure {
            step: None,
            message,
        };
        self.all_stated().map_err(at_end)?;
        self.all_faults_stated().map_err(at_end)
    }

    fn start(&mut self, config: Config) -> Result<(), String> {
        self.world.backends.learn(&config.backends);
        let clock: Arc<dyn Clock> = Arc::clone(&self.world.clock);
        let outside = Outside {
            clock,
            seeds: Seeds::fixed(1),
            network: self.world.network(),
            edges: Arc::new(self.world.edges.clone()),
        };
        let node = Node::start_in(config, axum::Router::new(), outside);
        let node = node.map_err(|error| format!("the node does not start: {error}"))?;
        self.counted
            .learn(&node.generation(), self.facts.takes_pushes());
        self.node = Some(node);
        Ok(())
    }

    async fn step(&mut self, number: usize, step: &Step) -> Result<(), String> {
        match &step.kind {
            Kind::Action(action) => {
                self.act(action).await?;
                self.world.quiet.settled().await;
                if self.blesses {
                    self.observed(number).await;
                }
                Ok(())
            }
            Kind::Expectation(expectation) => {
                self.world.quiet.settled().await;
                if expectation.times == 1 {
                    self.expect(number, expectation)?;
                    self.world.quiet.settled().await;
                    return Ok(());
                }
                for n in 1..=expectation.times {
                    let seen = self.expect(number, &expectation.nth(n));
                    seen.map_err(|why| format!("the {n}th of them: {why}"))?;
                    self.world.quiet.settled().await;
                }
                Ok(())
            }
            Kind::AnyOrder(expectations) => {
                self.world.quiet.settled().await;
                for expectation in expectations {
                    self.expect_any(number, expectation)?;
                }
                self.world.quiet.settled().await;
                Ok(())
            }
            Kind::Nothing => {
                self.world.quiet.settled().await;
                self.all_stated()
            }
            Kind::Faults(stated) => self.counted.faults_are(stated),
            Kind::Metrics(stated) => {
                let metrics = self.node.as_ref().map(|node| node.admin().metrics());
                let text = metrics.and_then(Result::ok).unwrap_or_default();
                self.counted.metrics_are(stated, &text)
            }
        }
    }

    /// Answers yes to all that the step has caused, until nothing more comes of it.
    async fn observed(&mut self, number: usize) {
        loop {
            let answered = self.world.log.entries(|entries| {
                let mut any = false;
                for seen in unstated(entries) {
                    seen.stated = Stated::By(number);
                    any = true;
                    if let Some(answer) = seen.answer.take() {
                        let _ = answer.send(With::Yes);
                    }
                }
                any
            });
            if !answered {
                return;
            }
            self.world.quiet.settled().await;
        }
    }

    /// The next thing at its place is what the step states.
    fn expect(&self, number: usize, expectation: &Expectation) -> Result<(), String> {
        let allow = &self.case.allow;
        let answered = self.world.log.entries(|entries| {
            let here = |seen: &&mut Seen| is_one_place(expectation, seen);
            for seen in unstated(entries).filter(here) {
                let Some(why) = differs(expectation, seen) else {
                    seen.stated = Stated::By(number);
                    return Ok(seen.answer.take());
                };
                if !is_allowed(allow, seen) {
                    return Err(why);
                }
            }
            Err("nothing of the kind has happened".to_owned())
        });
        self.answer(expectation, answered?);
        Ok(())
    }

    /// Something at its place is what the step states, whether others came before it or not.
    fn expect_any(&self, number: usize, expectation: &Expectation) -> Result<(), String> {
        let answered = self.world.log.entries(|entries| {
            let here = |seen: &&mut Seen| is_one_place(expectation, seen);
            let mut why = None;
            for seen in unstated(entries).filter(here) {
                match differs(expectation, seen) {
                    None => {
                        seen.stated = Stated::By(number);
                        return Ok(seen.answer.take());
                    }
                    Some(difference) => why = why.or(Some(difference)),
                }
            }
            let what = super::seen::shown(&expectation.what);
            let why = why.unwrap_or_else(|| "nothing of the kind has happened".to_owned());
            Err(format!("{what}: {why}"))
        });
        self.answer(expectation, answered?);
        Ok(())
    }

    fn answer(
        &self,
        expectation: &Expectation,
        waiting: Option<tokio::sync::oneshot::Sender<With>>,
    ) {
        let Some(waiting) = waiting else { return };
        let answer = expectation.answer.clone();
        if answer.after.is_zero() {
            // Whoever has given up waiting hears nothing.
            let _ = waiting.send(answer.with);
            return;
        }
        tokio::spawn(async move {
            tokio::time::sleep(answer.after).await;
            let _ = waiting.send(answer.with);
        });
    }

    /// Everything that has happened so far has been stated, or is allowed.
    fn all_stated(&self) -> Result<(), String> {
        self.world.log.entries(|entries| {
            let mut missing = Vec::new();
            for seen in unstated(entries) {
                if !is_allowed(&self.case.allow, seen) {
                    missing.push(told_of(seen));
                }
            }
            if missing.is_empty() {
                return Ok(());
            }
            Err(format!(
                "this has happened, and no step states it:\n  - {}",
                missing.join("\n  - ")
            ))
        })
    }

    /// Every fault that was counted is named somewhere in the case.
    fn all_faults_stated(&self) -> Result<(), String> {
        let mut named = BTreeSet::new();
        let steps = self.case.steps.iter();
        for step in steps {
            match &step.kind {
                Kind::Expectation(expectation) => texts(&expectation.what, &mut named),
                Kind::AnyOrder(all) => all.iter().for_each(|one| texts(&one.what, &mut named)),
                Kind::Faults(faults) => {
                    named.extend(faults.values().flat_map(|codes| codes.keys().cloned()));
                }
                Kind::Action(_) | Kind::Nothing | Kind::Metrics(_) => {}
            }
        }
        for allowed in &self.case.allow {
            texts(&allowed.what, &mut named);
        }
        if self.blesses {
            return Ok(());
        }
        match self.counted.unnamed_fault(&named) {
            None => Ok(()),
            Some((filter, code)) => Err(format!(
                "the fault `{code}` was counted at `{filter}`, and no step names it\n  state it: \
                 - faults: {{ {filter}: {{ {code}: 1 }} }}"
            )),
        }
    }
}

/// How often each code of a fault was told to somebody.
fn told(entries: &[Entry]) -> BTreeMap<String, u64> {
    fn count(value: &Value, told: &mut BTreeMap<String, u64>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| count(item, told)),
            Value::Object(fields) => {
                if let Some(code) = fields.get("code").and_then(Value::as_str) {
                    *told.entry(code.to_owned()).or_default() += 1;
                }
                fields.values().for_each(|value| count(value, told));
            }
            _ => {}
        }
    }
    let mut told = BTreeMap::new();
    for entry in entries {
        if let What::Seen(seen) = &entry.what {
            count(&seen.what, &mut told);
            // Reports on a topic are JSON in a body.
            let body = seen.what["body"].as_str();
            if let Some(body) = body.and_then(|body| serde_json::from_str(body).ok()) {
                count(&body, &mut told);
            }
        }
    }
    told
}

fn texts(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            into.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, into)),
        Value::Object(fields) => fields.values().for_each(|value| texts(value, into)),
        _ => {}
    }
}

/// What nothing has stated yet, in order.
fn unstated(entries: &mut [Entry]) -> impl Iterator<Item = &mut Seen> {
    let entries = entries
        .iter_mut()
        .filter_map(|entry| match &mut entry.what {
            What::Seen(seen) => Some(seen),
            What::Said(_) => None,
        });
    entries.filter(|seen| seen.stated == Stated::No)
}

/// Whether the case allows it; then it counts as such.
fn is_allowed(allow: &[Expectation], seen: &mut Seen) -> bool {
    let is_so = allow.iter().any(|allowed| matches(allowed, seen));
    if is_so {
        seen.stated = Stated::Allowed;
    }
    is_so
}
