//! What a node counts during a case: faults and events of its filters, and its metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use linkgate_filter::Meter;

use crate::pipeline::Generation;

/// What a filter of a pipeline can do that is counted, and how often a case has made it do so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Branch {
    /// The business.
    pub biz_id: String,
    /// The filter's id; `pipeline` for what no filter counts.
    pub filter: String,
    /// The event, or the code of the fault.
    pub name: String,
    /// How often.
    pub count: u64,
}

/// The meters of all pipelines of a case.
#[derive(Default)]
pub(super) struct Counted {
    filters: Vec<Filter>,
    pipelines: Vec<(String, Arc<Meter>)>,
    /// The faults that the last step of the kind has looked at.
    faults: BTreeMap<(String, String), u64>,
    /// The metrics likewise.
    metrics: BTreeMap<String, f64>,
}

struct Filter {
    biz_id: String,
    id: String,
    raises: Vec<&'static str>,
    /// Counters that nothing can bring about.
    never: Vec<&'static str>,
    meter: Arc<Meter>,
}

/// Faults of the chain itself that a case can bring about in any pipeline.
const OF_CHAIN: &[&str] = &["link.overloaded", "link.closing"];

impl Counted {
    /// Learns the pipelines of a generation.
    pub(super) fn learn(&mut self, generation: &Generation, takes_pushes: bool) {
        for version in generation.versions() {
            let biz_id = version.pipeline.biz_id().to_string();
            let meter = version.pipeline.meter();
            if !self
                .pipelines
                .iter()
                .any(|(_, known)| Arc::ptr_eq(known, meter))
            {
                self.pipelines.push((biz_id.clone(), Arc::clone(meter)));
            }
            for slot in version.pipeline.slots() {
                let meter = slot.meter();
                if self
                    .filters
                    .iter()
                    .any(|known| Arc::ptr_eq(&known.meter, meter))
                {
                    continue;
                }
                let mut properties = slot.properties();
                if !takes_pushes {
                    let of_pushes = &properties.of_pushes;
                    properties.faults.retain(|code| !of_pushes.contains(code));
                    properties.never.extend(of_pushes);
                }
                self.filters.push(Filter {
                    biz_id: biz_id.clone(),
                    id: slot.id().to_string(),
                    raises: properties.faults,
                    never: properties.never,
                    meter: Arc::clone(meter),
                });
            }
        }
    }

    /// All branches, with those that were not taken. Faults of pushes are told to whoever pushed, and counted by nobody else:
    /// `told` says how often each code was.
    pub(super) fn branches(&self, told: &BTreeMap<String, u64>) -> Vec<Branch> {
        let mut counts: BTreeMap<(String, String, String), u64> = BTreeMap::new();
        let mut add = |biz_id: &str, filter: &str, name: &str, count: u64| {
            let branch = (biz_id.to_owned(), filter.to_owned(), name.to_owned());
            *counts.entry(branch).or_default() += count;
        };
        for (biz_id, meter) in &self.pipelines {
            for (event, count) in meter.events() {
                add(biz_id, "pipeline", event, count);
            }
            let faults: BTreeMap<_, _> = meter.faults().into_iter().collect();
            for code in OF_CHAIN {
                add(
                    biz_id,
                    "pipeline",
                    code,
                    faults.get(*code).copied().unwrap_or(0),
                );
            }
        }
        for filter in &self.filters {
            let events = filter.meter.events().into_iter();
            for (event, count) in events.filter(|(event, _)| !filter.never.contains(event)) {
                add(&filter.biz_id, &filter.id, event, count);
            }
            let own: BTreeMap<_, _> = filter.meter.faults().into_iter().collect();
            for code in &filter.raises {
                // A fault that comes with an outcome is counted by the pipeline alone.
                let of_biz = |(biz_id, _): &&(String, Arc<Meter>)| *biz_id == filter.biz_id;
                let settled = self.pipelines.iter().filter(of_biz);
                let settled = settled.flat_map(|(_, meter)| meter.faults());
                let settled: u64 = settled
                    .filter(|(known, _)| known == code)
                    .map(|(_, n)| n)
                    .sum();
                let told = told.get(*code).copied().unwrap_or(0);
                let count = own.get(*code).copied().unwrap_or(0).max(settled).max(told);
                add(&filter.biz_id, &filter.id, code, count);
            }
        }
        let branch = |((biz_id, filter, name), count)| Branch {
            biz_id,
            filter,
            name,
            count,
        };
        counts.into_iter().map(branch).collect()
    }

    /// All faults so far, by who counted them.
    fn all_faults(&self) -> BTreeMap<(String, String), u64> {
        let mut all = BTreeMap::new();
        let filters = self
            .filters
            .iter()
            .map(|filter| (filter.id.as_str(), &filter.meter));
        let pipelines = self.pipelines.iter().map(|(_, meter)| ("pipeline", meter));
        for (id, meter) in filters.chain(pipelines) {
            for (code, count) in meter.faults() {
                *all.entry((id.to_owned(), code)).or_default() += count;
            }
        }
        all
    }

    /// A fault that was counted and is not among the named.
    pub(super) fn unnamed_fault(&self, named: &BTreeSet<String>) -> Option<(String, String)> {
        let mut all = self.all_faults().into_iter();
        let (fault, _) = all.find(|((_, code), count)| *count > 0 && !named.contains(code))?;
        Some(fault)
    }

    /// Filters have counted these faults since this was last asked, and no others.
    pub(super) fn faults_are(
        &mut self,
        stated: &BTreeMap<String, BTreeMap<String, u64>>,
    ) -> Result<(), String> {
        let all = self.all_faults();
        let before = std::mem::replace(&mut self.faults, all.clone());
        let mut new: BTreeMap<(String, String), u64> = all
            .into_iter()
            .map(|(fault, count)| {
                let known = before.get(&fault).copied().unwrap_or(0);
                (fault, count - known)
            })
            .filter(|((filter, _), count)| *count > 0 && filter != "pipeline")
            .collect();
        for (filter, codes) in stated {
            for (code, count) in codes {
                let seen = new.remove(&(filter.clone(), code.clone())).unwrap_or(0);
                if seen != *count {
                    return Err(format!(
                        "`{filter}` has counted `{code}` {seen} times, not {count}"
                    ));
                }
            }
        }
        match new.into_iter().next() {
            None => Ok(()),
            Some(((filter, code), count)) => Err(format!(
                "`{filter}` has counted `{code}` {count} times, which is not stated"
            )),
        }
    }

    /// Metrics have changed by so much since this was last asked.
    pub(super) fn metrics_are(
        &mut self,
        stated: &BTreeMap<String, f64>,
        text: &str,
    ) -> Result<(), String> {
        let now = parse(text);
        let before = std::mem::replace(&mut self.metrics, now.clone());
        for (series, change) in stated {
            let sum = |of: &BTreeMap<String, f64>| {
                let values = of.iter().filter(|(known, _)| covers(series, known));
                values.map(|(_, value)| value).sum::<f64>()
            };
            let seen = sum(&now) - sum(&before);
            if (seen - change).abs() > 1e-9 {
                let known = now.keys().any(|known| covers(series, known));
                return Err(match known {
                    true => format!("`{series}` has changed by {seen}, not {change}"),
                    false => format!("there is no metric `{series}`"),
                });
            }
        }
        Ok(())
    }
}

/// Series and values of the text format.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series = lines.filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        Some((series.to_owned(), value.parse().ok()?))
    });
    series.collect()
}

/// Whether a series has the name, and at least the labels, that are stated.
fn covers(stated: &str, series: &str) -> bool {
    let (name, labels) = split(stated);
    let (known, has) = split(series);
    name == known && labels.iter().all(|label| has.contains(label))
}

fn split(series: &str) -> (&str, Vec<&str>) {
    match series.split_once('{') {
        Some((name, labels)) => {
            let labels = labels.trim_end_matches('}').split(',').map(str::trim);
            (name, labels.filter(|label| !label.is_empty()).collect())
        }
        None => (series, Vec::new()),
    }
}
