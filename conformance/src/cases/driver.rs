//! Carries out a case: a node of its own in a world of its own, in virtual time.

mod actions;
mod counted;
mod expectations;
mod facts;
mod pushes;
mod tokens;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use linkgate_core::config::{self, Config, source::Origin};
use linkgate_core::node::{Node, Outside};
use linkgate_core::program::Program;
use linkgate_filter::runner::Seeds;
use linkgate_filter::{Clock, Registry};
use serde_json::Value;

pub use self::counted::Branch;
use self::counted::Counted;
use self::facts::Facts;
use super::happened::{Entry, What};
use super::language::{Action, Case, CaseFile, Kind, Place, Step};
use super::world::time::Quiet;
use super::world::{There, World};

/// What has come of a case.
#[derive(Default)]
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

impl Run {
    /// One that has not begun.
    pub(super) fn broken(message: String) -> Self {
        Self {
            failure: Some(Failure {
                step: None,
                message,
            }),
            ..Self::default()
        }
    }
}

/// A case at work.
struct Driver<'a> {
    case: &'a Case,
    file: &'a CaseFile,
    registry: Registry,
    world: World,
    facts: Facts,
    node: Option<Node>,
    /// What a gateway that runs elsewhere is configured with.
    there: Option<Config>,
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
    let (runtime, quiet) = match Quiet::runtime() {
        Ok(made) => made,
        Err(error) => return Run::broken(format!("no runtime can be started: {error}")),
    };
    runtime.block_on(async {
        let world = World::scripted(quiet, &case.allow);
        let registry = registry.watched(&world.watch());
        let config = match load(&file.config, file, &registry) {
            Ok(config) => config,
            Err(message) => return Run::broken(message),
        };
        let mut driver = Driver {
            facts: Facts::of(&config),
            blesses,
            ..Driver::new(file, case, registry, world)
        };
        match driver.start(config) {
            Ok(()) => driver.run().await,
            Err(message) => Run::broken(message),
        }
    })
}

/// Runs a case against a gateway that runs elsewhere; what it is configured with is said by the case's configuration.
pub async fn run_against(file: &CaseFile, case: &Case, registry: &Registry, there: &There) -> Run {
    let config = match config::load_from(&origin(&file.config, file, true), registry) {
        Ok(config) => config,
        Err(invalid) => return Run::broken(invalid.render(false)),
    };
    let world = World::real(there, &case.allow);
    let registry = Registry::new();
    let driver = Driver {
        facts: Facts::of(&config),
        there: Some(config),
        ..Driver::new(file, case, registry, world)
    };
    driver.run().await
}

/// Why the configuration of a file cannot be used, if so.
pub(super) fn check(file: &CaseFile, registry: &Registry) -> Option<String> {
    if let Some(missing) = file.config.iter().find(|path| !path.exists()) {
        return Some(format!(
            "this file is about {}, which is not there\n  name the configuration: `config: PATH`, from the folder of this file on",
            missing.display()
        ));
    }
    let why = load(&file.config, file, registry).err()?;
    Some(format!(
        "the configuration cannot be used; in cases, `variables` says what `${{NAME}}` stands for, and `files` what \
         `${{file:PATH}}` does\n{why}"
    ))
}

fn load(paths: &[PathBuf], file: &CaseFile, registry: &Registry) -> Result<Config, String> {
    let loaded = config::load_from(&origin(paths, file, false), registry);
    let mut config = loaded.map_err(|invalid| invalid.render(false))?;
    tokens::own_keys(&mut config);
    Ok(config)
}

fn origin(paths: &[PathBuf], file: &CaseFile, with_environment: bool) -> Origin {
    let mut variables: BTreeMap<String, String> = match with_environment {
        true => std::env::vars().collect(),
        false => BTreeMap::new(),
    };
    for (name, value) in &file.variables {
        variables
            .entry(name.clone())
            .or_insert_with(|| value.clone());
    }
    // What a gateway elsewhere has been given counts, and not what cases have in its place.
    let given = file.files.iter();
    let given = given.filter(|(path, _)| !(with_environment && path.exists()));
    Origin {
        variables: Some(variables),
        given: given
            .map(|(path, text)| (path.clone(), text.clone()))
            .collect(),
        ..Origin::paths(paths)
    }
}

impl<'a> Driver<'a> {
    fn new(file: &'a CaseFile, case: &'a Case, registry: Registry, world: World) -> Self {
        Self {
            case,
            file,
            registry,
            world,
            facts: Facts::default(),
            node: None,
            there: None,
            counted: Counted::default(),
            marks: Vec::new(),
            blesses: false,
        }
    }

    async fn run(mut self) -> Run {
        let failure = Box::pin(self.steps()).await.err();
        let passed = self.world.log.now();
        let entries = self.world.log.entries(std::mem::take);
        Run {
            failure,
            marks: self.marks,
            counted: self.counted.branches(&told(&entries)),
            entries,
            passed,
        }
    }

    async fn steps(&mut self) -> Result<(), Failure> {
        let mut acts = true;
        for (number, step) in self.case.steps.iter().enumerate() {
            let at = |message| Failure {
                step: Some(number),
                message,
            };
            let is_action = matches!(step.kind, Kind::Action(_));
            if is_action {
                self.answer_allowed().await;
            }
            if is_action && !acts && !self.world.is_real() {
                self.all_stated().map_err(at)?;
            }
            acts = is_action;
            let done = self.step(number, step).await;
            self.marks
                .push(self.world.log.entries(|entries| entries.len()));
            done.map_err(at)?;
        }
        // What a client has not read is there all the same.
        self.world
            .clients
            .values()
            .for_each(|client| client.read(true));
        self.world.settled().await;
        self.answer_allowed().await;
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
            program: Program::LINKGATE,
            clock,
            seeds: Seeds::fixed(1),
            network: self.world.network(),
            edges: Arc::new(self.world.edges.clone()),
            registry: None,
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
                let passes = matches!(action, Action::Pass(_));
                self.world.log.answer_at_once(passes);
                let done = self.act(action).await;
                self.world.log.answer_at_once(false);
                done?;
                self.world.settled().await;
                if self.blesses {
                    self.observed(number).await;
                }
                Ok(())
            }
            Kind::Expectation(expectation) => {
                self.world.settled().await;
                if expectation.times == 1 {
                    self.sees(number, expectation).await?;
                    self.world.settled().await;
                    return Ok(());
                }
                for n in 1..=expectation.times {
                    let seen = self.sees(number, &expectation.nth(n)).await;
                    seen.map_err(|why| format!("number {n} of them: {why}"))?;
                    self.world.settled().await;
                }
                Ok(())
            }
            Kind::AnyOrder(expectations) => {
                self.world.settled().await;
                self.expect_all(number, expectations).await?;
                self.world.settled().await;
                Ok(())
            }
            Kind::Nothing => {
                self.world.settled().await;
                self.answer_allowed().await;
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
}

/// How often each code of a fault was told to somebody.
fn told(entries: &[Entry]) -> BTreeMap<String, u64> {
    fn count(value: &Value, told: &mut BTreeMap<String, u64>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| count(item, told)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    let is_fault = name == "fault" || name == "reason";
                    if let Some(code) = value["code"].as_str().filter(|_| is_fault) {
                        *told.entry(code.to_owned()).or_default() += 1;
                    }
                    count(value, told);
                }
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
            let body = body.filter(|_| matches!(seen.at, Place::Record(_)));
            if let Some(body) = body.and_then(|body| serde_json::from_str(body).ok()) {
                count(&body, &mut told);
            }
        }
    }
    told
}
