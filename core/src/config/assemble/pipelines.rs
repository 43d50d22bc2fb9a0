//! Pipelines: their profiles and overrides merged, their filters prepared, and every problem of a filter shown where the
//! value in question was written.

use std::collections::{BTreeMap, BTreeSet};

use linkgate_filter::Registry;
use linkgate_filter::problem::{Mark, Path, Problem, Problems, Segment};
use linkgate_filter::runner::{Declared, Entry, EntryProblem, Plan};
use serde_json::{Value, json};

use super::fit;
use super::key_of;
use super::names::{Names, undefined};
use crate::config::describe;
use crate::config::diagnostics::{Diagnostic, Diagnostics};
use crate::config::document::{self, Pipeline};
use crate::config::read::{part, report};
use crate::config::source::Span;
use crate::config::stand_in;
use crate::config::tree::{Node, Tree};
use crate::config::{PipelineConfig, VersionConfig};
use crate::listener::config::ListenerConfig;
use crate::pipeline::Share;

/// The pipelines of all documents. Those with problems are left out.
pub(super) fn pipelines(
    documents: &[Tree],
    names: &Names<'_>,
    (listeners, declared, labels): (&[ListenerConfig], &Declared, &[String]),
    registry: &Registry,
    diagnostics: &mut Diagnostics,
) -> Vec<PipelineConfig> {
    let mut builder = Builder {
        names,
        listeners,
        declared,
        labels,
        registry,
        diagnostics,
        served: BTreeMap::new(),
        used: BTreeSet::new(),
    };
    let trees = documents
        .iter()
        .filter_map(|document| document.get("pipelines"))
        .flat_map(Tree::items);
    let pipelines = trees.filter_map(|tree| builder.pipeline(tree)).collect();
    builder.check_unused_profiles();
    pipelines
}

struct Builder<'a, 'd> {
    names: &'a Names<'a>,
    listeners: &'a [ListenerConfig],
    declared: &'a Declared,
    /// The node's own labels.
    labels: &'a [String],
    registry: &'a Registry,
    diagnostics: &'d mut Diagnostics,
    /// Where the pipeline of each business and listener was defined.
    served: BTreeMap<(String, String), Span>,
    /// Profiles that a pipeline uses.
    used: BTreeSet<String>,
}

impl Builder<'_, '_> {
    fn pipeline(&mut self, tree: &Tree) -> Option<PipelineConfig> {
        let pipeline: Pipeline = part(tree)?;
        self.check(&pipeline, tree);
        let steps = self.steps(tree);
        let trial = pipeline.rollout.as_ref().and_then(|rollout| {
            let steps = self.trial(tree.get("rollout")?, steps.as_deref())?;
            let share = rollout.percent.map_or(Share::ALL, Share::percent);
            let version = self.version((&rollout.version, share), &steps, &pipeline, tree)?;
            Some((rollout.is_on(self.labels), version))
        });
        let name = (&*pipeline.version, Share::ALL);
        let standard = self.version(name, &steps?, &pipeline, tree)?;
        let trials = trial.filter(|(is_on, _)| *is_on);
        let mut references = tree.references();
        references.retain(|place, _| place.starts_with("limits.") || place == "rollout.percent");
        Some(PipelineConfig {
            biz_id: pipeline.biz_id,
            listeners: pipeline.listeners,
            limits: pipeline.limits,
            standard,
            trials: trials.into_iter().map(|(_, version)| version).collect(),
            references,
        })
    }

    /// One version of a pipeline's filters, prepared.
    fn version(
        &mut self,
        (name, share): (&str, Share),
        steps: &[Step],
        pipeline: &Pipeline,
        tree: &Tree,
    ) -> Option<VersionConfig> {
        let plan = match self.prepare(steps.to_vec(), &pipeline.biz_id) {
            Ok(plan) => plan,
            Err(mut problems) => {
                problems.retain(|found| {
                    let step = found.entry.and_then(|index| steps.get(index));
                    step.is_none_or(|step| !step.tree.depends_on_reference(&found.problem))
                });
                if !problems.is_empty() {
                    for problem in problems {
                        self.show(problem, steps, tree);
                    }
                    return None;
                }
                // What the filters make of their references cannot be told.
                Plan::default()
            }
        };
        self.check_form(&plan, steps, pipeline, tree);
        Some(VersionConfig {
            name: name.to_owned(),
            share,
            entries: steps.iter().map(Step::written).collect(),
            plan,
        })
    }

    /// Prepares filters, with what stands in for their references.
    fn prepare(&self, mut steps: Vec<Step>, biz_id: &str) -> Result<Plan, Vec<EntryProblem>> {
        let mut tried = 0;
        loop {
            let entries: Vec<Entry> = steps.iter().map(Step::entry).collect();
            let problems = match Plan::prepare(self.registry, biz_id, &entries, self.declared) {
                Ok(plan) => return Ok(plan),
                Err(problems) => problems,
            };
            tried += 1;
            let mut is_other = false;
            for (index, step) in steps.iter_mut().enumerate() {
                let own = problems.iter().filter(|found| found.entry == Some(index));
                is_other |= step.stand_in(own.map(|found| &found.problem.path), self.registry);
            }
            if !is_other || tried > stand_in::MOST_TRIED {
                return Err(problems);
            }
        }
    }

    /// The filters of a version on trial: its own, or those of its pipeline, with its overrides.
    fn trial(&mut self, tree: &Tree, standard: Option<&[Step]>) -> Option<Vec<Step>> {
        if tree.get("profile").is_some() || tree.get("filters").is_some() {
            return self.steps(tree);
        }
        let mut steps = standard?.to_vec();
        self.lay_over(&mut steps, tree);
        Some(steps)
    }

    /// What does not need the filters.
    fn check(&mut self, pipeline: &Pipeline, tree: &Tree) {
        let mut problems = Problems::new();
        pipeline.check(&mut problems);
        report(tree, problems, self.diagnostics);
        let biz = tree.locate(&Path::from("biz_id"), Mark::Value);
        let written = tree.get("listeners").map(Tree::items).unwrap_or_default();
        for (i, (name, place)) in pipeline.listeners.iter().zip(written).enumerate() {
            if pipeline.listeners[..i].contains(name) {
                continue;
            }
            if !self.names.listeners.contains_key(name.as_str()) {
                let known = self.names.listeners.keys().copied();
                self.diagnostics
                    .push_undefined(undefined("listener", name, place.span, known));
                continue;
            }
            if let Some(listener) = self
                .listeners
                .iter()
                .find(|listener| listener.name == *name)
            {
                fit::check(pipeline, listener, place.span, self.diagnostics);
            }
            let key = (pipeline.biz_id.clone(), name.clone());
            if let Some(first) = self.served.get(&key) {
                let what = format!(
                    "`{}` has two pipelines on the listener `{name}`",
                    pipeline.biz_id
                );
                let problem = Diagnostic::at(biz, what).also(*first, "the other one is here");
                self.diagnostics
                    .push(problem.hint("keep one of them, or serve them on different listeners"));
            } else {
                self.served.insert(key, biz);
            }
        }
    }

    /// Whether the listeners speak the form that a filter is fixed to, if one is.
    fn check_form(&mut self, plan: &Plan, steps: &[Step], pipeline: &Pipeline, tree: &Tree) {
        let fixed = plan
            .speaks()
            .and_then(|(index, form)| Some((steps.get(index)?, form)));
        let Some((step, form)) = fixed else {
            return;
        };
        let place = step.tree.locate(&Path::from("use"), Mark::Value);
        let written = tree.get("listeners").map(Tree::items).unwrap_or_default();
        for (name, named) in pipeline.listeners.iter().zip(written) {
            let mut listeners = self.listeners.iter();
            if let Some(listener) = listeners.find(|listener| listener.name == *name) {
                let fixed = (step.id.as_str(), form, place);
                fit::check_form(fixed, listener, named.span, self.diagnostics);
            }
        }
    }

    /// The filters that `tree` names, with the overrides laid over their configs; `None` if they cannot be told.
    fn steps(&mut self, tree: &Tree) -> Option<Vec<Step>> {
        let profile = tree.get("profile");
        self.used
            .extend(profile.and_then(Tree::text).map(str::to_owned));
        let list = match (profile, tree.get("filters")) {
            (Some(profile), Some(filters)) => {
                let what = "a pipeline has either `filters` or a `profile`, not both";
                let problem = Diagnostic::at(key_of(filters), what);
                let problem = problem.also(key_of(profile), "the profile is named here");
                self.diagnostics.push(
                    problem.hint("remove one of them; `override` changes a profile's filters"),
                );
                return None;
            }
            (None, None) => {
                let biz = tree.locate(&Path::from("biz_id"), Mark::Value);
                let problem = Diagnostic::at(biz, "this pipeline has no filters");
                self.diagnostics
                    .push(problem.hint("add `profile: NAME`, or a list of `filters`"));
                return None;
            }
            (Some(profile), None) => {
                let name = profile.text()?;
                let Some(list) = self.names.profiles.get(name) else {
                    let known = self.names.profiles.keys().copied();
                    self.diagnostics.push_undefined(undefined(
                        "profile",
                        name,
                        profile.span,
                        known,
                    ));
                    return None;
                };
                *list
            }
            (None, Some(filters)) => filters,
        };
        // An entry that is wrong has been reported; what follows from it would only confuse.
        let mut steps = Step::read_all(list)?;
        self.lay_over(&mut steps, tree);
        Some(steps)
    }

    /// Lays the overrides of `tree` over the filters' configs.
    fn lay_over(&mut self, steps: &mut [Step], tree: &Tree) {
        for (id, over) in tree.get("override").into_iter().flat_map(Tree::entries) {
            match steps.iter_mut().find(|step| step.id == id) {
                Some(step) => step.lay_over(over),
                None => {
                    let known = steps.iter().map(|step| step.id.as_str());
                    self.diagnostics.push_undefined(undefined(
                        "filter with the id",
                        id,
                        key_of(over),
                        known,
                    ));
                }
            }
        }
    }

    /// Profiles that no pipeline uses have their filters' names checked; their configs may count on overrides.
    fn check_unused_profiles(&mut self) {
        let names = self.names;
        for (name, list) in &names.profiles {
            if self.used.contains(*name) {
                continue;
            }
            let Some(steps) = Step::read_all(list) else {
                continue;
            };
            let entries: Vec<Entry> = steps.iter().map(Step::entry).collect();
            let problems = Plan::prepare(self.registry, "", &entries, self.declared)
                .err()
                .unwrap_or_default();
            for problem in problems {
                if problem.problem.path.segments().first() != Some(&Segment::from("config")) {
                    self.show(problem, &steps, list);
                }
            }
        }
    }

    /// What the filter's docs say of a key that its config lacks.
    fn hint(&self, step: &Step, problem: &Problem) -> Option<String> {
        let schema = self.registry.schema(&step.uses)?.to_value();
        let in_config = Problem {
            path: within_config(&problem.path)?,
            ..problem.clone()
        };
        describe::hint(&in_config, &schema)
    }

    /// Shows a filter's problem where the value was written, which may be far from `pipeline`.
    fn show(&mut self, found: EntryProblem, steps: &[Step], pipeline: &Tree) {
        let problem = found.problem;
        let step = found.entry.and_then(|index| steps.get(index));
        let hint = step
            .and_then(|step| self.hint(step, &problem))
            .or(problem.hint);
        let home = pipeline.locate(&Path::from("biz_id"), Mark::Value);
        let span = match step {
            Some(step) => step.tree.locate(&problem.path, problem.mark),
            None => pipeline.locate(&Path::from("filters"), Mark::Key),
        };
        let mut diagnostic = Diagnostic::at(span, problem.message);
        if let Some(hint) = hint {
            diagnostic = diagnostic.hint(hint);
        }
        let within = span.file == pipeline.span.file
            && (pipeline.span.start..pipeline.span.end).contains(&span.start);
        if !within {
            diagnostic = diagnostic.also(home, "in this pipeline");
        }
        self.diagnostics.push(diagnostic);
    }
}

/// The path from the entry's `config` on.
fn within_config(path: &Path) -> Option<Path> {
    let (first, rest) = path.segments().split_first()?;
    (*first == Segment::from("config")).then(|| rest.iter().cloned().collect())
}

/// One filter of one pipeline, with the places of all it says.
#[derive(Clone)]
struct Step {
    id: String,
    uses: String,
    /// `id`, `use` and `config` as merged.
    tree: Tree,
}

impl Step {
    /// The filters of a list; `None` if one of them is wrong, or it is no list.
    fn read_all(list: &Tree) -> Option<Vec<Self>> {
        match &list.node {
            Node::List(items) => items.iter().map(Self::read).collect(),
            _ => None,
        }
    }

    fn read(tree: &Tree) -> Option<Self> {
        let entry: document::Entry = part(tree)?;
        Some(Self {
            id: entry.id.unwrap_or_else(|| entry.uses.clone()),
            uses: entry.uses,
            tree: tree.clone(),
        })
    }

    fn lay_over(&mut self, over: &Tree) {
        let Node::Map(entries) = &mut self.tree.node else {
            return;
        };
        let config = entries.iter_mut().find(|(key, _)| key == "config");
        match config {
            Some((_, config)) => *config = config.clone().overlaid(over),
            None => entries.push(("config".to_owned(), over.clone())),
        }
    }

    /// Has something else stand in for references that are wrong; `false` if there are none.
    fn stand_in<'a>(&mut self, wrong: impl Iterator<Item = &'a Path>, registry: &Registry) -> bool {
        if self.tree.references().is_empty() {
            return false;
        }
        let schema = registry.schema(&self.uses);
        let schema = schema.map(|schema| schema.to_value()).unwrap_or_default();
        // Paths begin at the entry.
        let schema = json!({ "$defs": schema["$defs"], "properties": { "config": schema } });
        stand_in::next(&mut self.tree, &schema, wrong)
    }

    /// What is prepared: with what stands in for references.
    fn entry(&self) -> Entry {
        self.entry_by(Tree::value)
    }

    /// What is told apart: with the references themselves.
    fn written(&self) -> Entry {
        self.entry_by(Tree::written)
    }

    fn entry_by(&self, value: impl Fn(&Tree) -> Value) -> Entry {
        Entry {
            id: self.id.clone(),
            uses: self.uses.clone(),
            config: self.tree.get("config").map(value).unwrap_or_default(),
        }
    }
}
