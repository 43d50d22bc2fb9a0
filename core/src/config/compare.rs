//! What would change if one configuration took the place of another. Nothing is opened or started.

use std::collections::{BTreeMap, BTreeSet};

use linkgate_filter::runner::{EdgeName, Entry};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::tree::References;
use super::{Config, PipelineConfig, VersionConfig};
use crate::listener::config::ListenerConfig;

/// One part of a configuration that changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Which: `pipeline chat`, `listener public`, `broker main`.
    pub part: String,
    /// In one word: `new`, `gone` or `changed`.
    pub what: String,
    /// What of it changes, and what of filters' state goes on.
    pub details: Vec<String>,
    /// Why it wants care.
    pub risks: Vec<String>,
    /// The business whose links change over, or leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub biz_id: Option<String>,
    /// How many links that are on the node that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<usize>,
}

impl Difference {
    fn new(part: String, what: &str) -> Self {
        Self {
            part,
            what: what.to_owned(),
            ..Self::default()
        }
    }

    fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    fn risk(mut self, risk: impl Into<String>) -> Self {
        self.risks.push(risk.into());
        self
    }
}

/// All that changes from `old` to `new`.
pub fn compare(old: &Config, new: &Config) -> Vec<Difference> {
    let mut differences = Vec::new();
    let same_references = |part: &str| old.references.get(part) == new.references.get(part);
    let is_node_same = old.node == new.node && old.admin == new.admin;
    if !is_node_same || !same_references("node") || !same_references("admin") {
        let part = Difference::new("node".to_owned(), "changed");
        differences.push(part.risk("takes effect with a restart of the node only"));
    }
    listeners(old, new, &mut differences);
    let mut edges = Vec::new();
    let same = &same_references;
    named("store", (&old.stores, &new.stores), same, &mut edges);
    named("broker", (&old.brokers, &new.brokers), same, &mut edges);
    named("backend", (&old.backends, &new.backends), same, &mut edges);
    let changed: BTreeSet<&str> = edges.iter().map(|edge| edge.part.as_str()).collect();
    pipelines(old, new, &changed, &mut differences);
    differences.extend(edges);
    if old.push.sources != new.push.sources || !same("push sources") {
        let sources = Difference::new("push sources".to_owned(), "changed");
        let detail = "sources that change are closed, and opened anew in the same place";
        differences.push(sources.detail(detail));
    }
    if old.push.reports != new.push.reports || !same("push reports") {
        differences.push(Difference::new("push reports".to_owned(), "changed"));
    }
    if old.push.limits != new.push.limits || !same("push limits") {
        differences.push(Difference::new("push limits".to_owned(), "changed"));
    }
    if old.presence != new.presence || !same("presence") {
        let part = Difference::new("presence".to_owned(), "changed");
        differences.push(part.detail("who is told anew hears of all links that are there"));
    }
    if old.cluster != new.cluster || !same("cluster") {
        let part = Difference::new("cluster".to_owned(), "changed");
        differences.push(part.detail("this takes a restart"));
    }
    differences
}

/// Parts by name, of which it is only known whether they are the same.
fn named<T: PartialEq>(
    kind: &str,
    (old, new): (&BTreeMap<String, T>, &BTreeMap<String, T>),
    same_references: &impl Fn(&str) -> bool,
    differences: &mut Vec<Difference>,
) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let part = format!("{kind} {name}");
        let what = match (old.get(name), new.get(name)) {
            (None, _) => "new",
            (_, None) => "gone",
            (Some(one), Some(other)) if one != other || !same_references(&part) => "changed",
            _ => continue,
        };
        differences.push(Difference::new(part, what));
    }
}

fn listeners(old: &Config, new: &Config, differences: &mut Vec<Difference>) {
    let find = |config: &Config, name: &str| {
        let mut listeners = config.listeners.iter();
        listeners.find(|listener| listener.name == name).cloned()
    };
    let names = old.listeners.iter().chain(&new.listeners);
    let names: BTreeSet<&str> = names.map(|listener| listener.name.as_str()).collect();
    for name in names {
        let title = format!("listener {name}");
        let part = |what| Difference::new(title.clone(), what);
        let found = |config: &Config| {
            let references = config.references.get(&title);
            Some((find(config, name)?, references.cloned().unwrap_or_default()))
        };
        match (found(old), found(new)) {
            (None, Some(new)) => differences.push(part("new").detail(address(&new))),
            (Some((old, references)), None) => {
                let why = match references.get("drain") {
                    Some(pace) => format!("its links are closed at the pace `{pace}`"),
                    None => format!(
                        "its links are closed, {} of them a second",
                        old.drain.per_second()
                    ),
                };
                differences.push(part("gone").risk(why));
            }
            (Some(old), Some(new)) if old != new => {
                differences.push(listener(part("changed"), &old, &new));
            }
            _ => {}
        }
    }
}

/// A listener as written, with its references that are not filled in.
type Written = (ListenerConfig, References);

fn address((listener, references): &Written) -> String {
    let filled = listener.address.to_string();
    references.get("address").cloned().unwrap_or(filled)
}

fn listener(part: Difference, was: &Written, is: &Written) -> Difference {
    let mut part = part.detail("holds for links that open from then on");
    let ((old, old_references), (new, new_references)) = (was, is);
    let same_references = |key: &str| {
        let below = |references: &References| {
            let own = references.iter().filter(|(place, _)| {
                let rest = place.strip_prefix(key);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            });
            own.map(|(place, text)| (place.clone(), text.clone()))
                .collect::<References>()
        };
        below(old_references) == below(new_references)
    };
    if address(was) != address(is) {
        part = part.risk(format!("moves from {} to {}", address(was), address(is)));
    }
    let fixed = |config: &ListenerConfig| {
        let handshakes = config.admission.max_handshakes;
        (config.reuse_port, config.backlog, handshakes)
    };
    let restarted = ["reuse_port", "backlog", "admission.max_handshakes"];
    if fixed(old) != fixed(new) || !restarted.into_iter().all(same_references) {
        let what = "`reuse_port`, `backlog` and `max_handshakes` change with a restart only";
        part = part.risk(what);
    }
    if old.auth != new.auth || !same_references("auth") {
        part = part.risk("other clients are let in");
    }
    if old.tls != new.tls || !same_references("tls") {
        part = part.detail("its certificate or key");
    }
    part
}

fn pipelines(
    old: &Config,
    new: &Config,
    edges: &BTreeSet<&str>,
    differences: &mut Vec<Difference>,
) {
    let same = |one: &PipelineConfig, other: &PipelineConfig| {
        let shared = |name| other.listeners.contains(name);
        one.biz_id == other.biz_id && one.listeners.iter().any(shared)
    };
    for was in &old.pipelines {
        let biz_id = Some(was.biz_id.clone());
        let part = |what| Difference {
            biz_id: biz_id.clone(),
            ..Difference::new(format!("pipeline {}", was.biz_id), what)
        };
        match new.pipelines.iter().find(|is| same(was, is)) {
            None => {
                differences
                    .push(part("gone").risk("its links are closed at their listeners' pace"));
            }
            Some(is) => {
                let changed = pipeline(part("changed"), was, is, edges);
                if !changed.details.is_empty() || !changed.risks.is_empty() {
                    differences.push(changed);
                }
            }
        }
    }
    for is in &new.pipelines {
        if !old.pipelines.iter().any(|was| same(was, is)) {
            let part = Difference::new(format!("pipeline {}", is.biz_id), "new");
            differences.push(part.detail(format!("on {}", is.listeners.join(", "))));
        }
    }
}

fn pipeline(
    mut part: Difference,
    was: &PipelineConfig,
    is: &PipelineConfig,
    edges: &BTreeSet<&str>,
) -> Difference {
    for name in &was.listeners {
        if !is.listeners.contains(name) {
            part = part.risk(format!("its links on `{name}` are closed"));
        }
    }
    for name in &is.listeners {
        if !was.listeners.contains(name) {
            part = part.detail(format!("also on `{name}`"));
        }
    }
    let limits = |config: &PipelineConfig| {
        let mut references = config.references.clone();
        references.retain(|place, _| place.starts_with("limits."));
        (config.limits, references)
    };
    if limits(was) != limits(is) {
        part = part.detail("its limits");
    }
    let used = |version: &VersionConfig| -> Vec<String> {
        let edge = |name: &EdgeName| match name {
            EdgeName::Backend(name) => format!("backend {name}"),
            EdgeName::Store(name) => format!("store {name}"),
            EdgeName::Broker(name) => format!("broker {name}"),
        };
        version.plan.named().iter().map(edge).collect()
    };
    let own: BTreeSet<String> = std::iter::once(&is.standard)
        .chain(&is.trials)
        .flat_map(used)
        .collect();
    for edge in own {
        if edges.contains(edge.as_str()) {
            part = part.detail(format!("its {edge}"));
        }
    }
    filters(&mut part, &was.standard, &is.standard);
    let percent = |config: &PipelineConfig| config.references.get("rollout.percent").cloned();
    let trials = |config: &PipelineConfig| {
        let known = |trial: &VersionConfig| (trial.name.clone(), trial.share, percent(config));
        config.trials.iter().map(known).collect::<Vec<_>>()
    };
    if trials(was) != trials(is) {
        for trial in &is.trials {
            let share = trial.share.as_percent().to_string();
            let share = percent(is).unwrap_or(share);
            part = part.detail(format!("`{}` for {share} % of its users", trial.name));
        }
        for trial in was
            .trials
            .iter()
            .filter(|was| is.trials.iter().all(|is| is.name != was.name))
        {
            let detail = match is.standard.name == trial.name {
                true => format!("`{}` for all of its users", trial.name),
                false => format!("`{}` is taken back", trial.name),
            };
            part = part.detail(detail);
        }
    }
    for trial in &is.trials {
        let earlier = was.trials.iter().find(|was| was.name == trial.name);
        let mut own = Difference::default();
        if let Some(earlier) = earlier {
            filters(&mut own, earlier, trial);
        }
        let named = |text: String| format!("in `{}`, {text}", trial.name);
        part.details.extend(own.details.into_iter().map(named));
        part.risks.extend(own.risks.into_iter().map(named));
    }
    part
}

/// What becomes of the filters, by their ids.
fn filters(part: &mut Difference, was: &VersionConfig, is: &VersionConfig) {
    let find = |entries: &[Entry], id: &str| entries.iter().find(|entry| entry.id == id).cloned();
    for old in &was.entries {
        match find(&is.entries, &old.id) {
            None => part
                .details
                .push(format!("`{}` is gone, and what it remembered", old.id)),
            Some(new) if new.uses != old.uses => part.details.push(format!(
                "`{}` is a `{}` in place of a `{}`, and remembers nothing",
                old.id, new.uses, old.uses
            )),
            Some(new) if new.config != old.config => {
                let keys = keys(&old.config, &new.config).join("`, `");
                let detail = format!("`{}`: `{keys}`; what it remembers goes on", old.id);
                part.details.push(detail);
            }
            Some(_) => {}
        }
    }
    for new in &is.entries {
        if find(&was.entries, &new.id).is_none() {
            part.details.push(format!("`{}` is new", new.id));
        }
    }
    let order = |one: &VersionConfig, other: &VersionConfig| {
        let ids = one.entries.iter().map(|entry| entry.id.clone());
        ids.filter(|id| find(&other.entries, id).is_some())
            .collect::<Vec<_>>()
    };
    if order(was, is) != order(is, was) {
        part.details
            .push("its filters stand in another order".to_owned());
    }
    let is_known = !was.plan.is_empty() && !is.plan.is_empty();
    if !is_known && !part.details.is_empty() {
        let why = "whether its filters want care cannot be told: it depends on references";
        return part.risks.push(why.to_owned());
    }
    let risks = was.plan.risks(Some(&is.plan));
    part.risks.extend(
        risks
            .into_iter()
            .map(|(id, risk)| format!("`{id}`: {risk}")),
    );
}

/// The keys of which two configs say different things. Never what they say: that may be a secret.
fn keys<'a>(old: &'a Value, new: &'a Value) -> Vec<String> {
    let empty = Map::new();
    let entries = |value: &'a Value| value.as_object().unwrap_or(&empty);
    let (old, new) = (entries(old), entries(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differs = |name: &&String| old.get(*name) != new.get(*name);
    names.into_iter().filter(differs).cloned().collect()
}

#[cfg(test)]
mod tests;
