//! What would change if one configuration took the place of another. Nothing is opened or started.

use std::collections::{BTreeMap, BTreeSet};

use linkgate_filter::{EdgeName, Entry};
use serde::{Deserialize, Serialize};
use serde_yaml::Value;

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
    if old.node != new.node || old.admin != new.admin {
        let part = Difference::new("node".to_owned(), "changed");
        differences.push(part.risk("takes effect with a restart of the node only"));
    }
    listeners(old, new, &mut differences);
    let mut edges = Vec::new();
    named("store", &old.stores, &new.stores, &mut edges);
    named("broker", &old.brokers, &new.brokers, &mut edges);
    named("backend", &old.backends, &new.backends, &mut edges);
    let changed: BTreeSet<&str> = edges.iter().map(|edge| edge.part.as_str()).collect();
    pipelines(old, new, &changed, &mut differences);
    differences.extend(edges);
    if old.push.sources != new.push.sources {
        let sources = Difference::new("push sources".to_owned(), "changed");
        let detail = "sources that change are closed, and opened anew in the same place";
        differences.push(sources.detail(detail));
    }
    if old.push.reports != new.push.reports {
        differences.push(Difference::new("push reports".to_owned(), "changed"));
    }
    if old.push.limits != new.push.limits {
        differences.push(Difference::new("push limits".to_owned(), "changed"));
    }
    if old.presence != new.presence {
        let part = Difference::new("presence".to_owned(), "changed");
        differences.push(part.detail("who is told anew hears of all links that are there"));
    }
    differences
}

/// Parts by name, of which it is only known whether they are the same.
fn named<T: PartialEq>(
    kind: &str,
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    differences: &mut Vec<Difference>,
) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let what = match (old.get(name), new.get(name)) {
            (None, _) => "new",
            (_, None) => "gone",
            (Some(one), Some(other)) if one != other => "changed",
            _ => continue,
        };
        differences.push(Difference::new(format!("{kind} {name}"), what));
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
        let part = |what| Difference::new(format!("listener {name}"), what);
        match (find(old, name), find(new, name)) {
            (None, Some(new)) => differences.push(part("new").detail(new.address.to_string())),
            (Some(old), None) => differences.push(part("gone").risk(format!(
                "its links are closed, {} of them a second",
                old.drain.per_second()
            ))),
            (Some(old), Some(new)) if old != new => {
                differences.push(listener(part("changed"), &old, &new));
            }
            _ => {}
        }
    }
}

fn listener(part: Difference, old: &ListenerConfig, new: &ListenerConfig) -> Difference {
    let mut part = part.detail("holds for links that open from then on");
    if old.address != new.address {
        part = part.risk(format!("moves from {} to {}", old.address, new.address));
    }
    let fixed = |config: &ListenerConfig| {
        let handshakes = config.admission.max_handshakes;
        (config.reuse_port, config.backlog, handshakes)
    };
    if fixed(old) != fixed(new) {
        let what = "`reuse_port`, `backlog` and `max_handshakes` change with a restart only";
        part = part.risk(what);
    }
    if old.auth != new.auth {
        part = part.risk("other clients are let in");
    }
    if old.tls != new.tls {
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
    if was.limits != is.limits {
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
    let known = |version: &VersionConfig| (version.name.clone(), version.share);
    let trials = |config: &PipelineConfig| config.trials.iter().map(known).collect::<Vec<_>>();
    if trials(was) != trials(is) {
        for trial in &is.trials {
            let share = trial.share.as_percent();
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
    let risks = was.plan.risks(Some(&is.plan));
    part.risks.extend(
        risks
            .into_iter()
            .map(|(id, risk)| format!("`{id}`: {risk}")),
    );
}

/// The keys of which two configs say different things. Never what they say: that may be a secret.
fn keys(old: &Value, new: &Value) -> Vec<String> {
    let empty = serde_yaml::Mapping::new();
    let entries = |value: &Value| value.as_mapping().unwrap_or(&empty).clone();
    let (old, new) = (entries(old), entries(new));
    let names: BTreeSet<&str> = old
        .keys()
        .chain(new.keys())
        .filter_map(Value::as_str)
        .collect();
    let differs = |name: &&str| old.get(name) != new.get(name);
    names
        .into_iter()
        .filter(differs)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;
