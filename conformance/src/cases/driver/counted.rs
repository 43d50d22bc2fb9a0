//! What a node counts during a case: faults and events of its filters, and its metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use linkgate_filter::runner::Meter;

use linkgate_core::pipeline::Generation;

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
    /// How many of both are the configuration's under test.
    under_test: (usize, usize),
    /// The faults that the last step of the kind has looked at.
    faults: Faults,
    /// The metrics likewise.
    metrics: BTreeMap<String, f64>,
}

/// How often each fault was counted, by `bizID/filter` and code.
type Faults = BTreeMap<(String, String), u64>;

struct Filter {
    biz_id: String,
    id: String,
    raises: Vec<&'static str>,
    /// Counters that nothing can bring about.
    never: Vec<&'static str>,
    meter: Arc<Meter>,
}

impl Filter {
    fn place(&self) -> String {
        format!("{}/{}", self.biz_id, self.id)
    }
}

/// Faults of the chain itself that a case can bring about in any pipeline.
const OF_CHAIN: &[&str] = &["link.overloaded", "link.closing"];

impl Counted {
    /// Learns the pipelines of a generation; the first is that of the configuration under test.
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
            let mut slots = version.pipeline.slots().iter();
            let joins = slots.any(|slot| slot.properties().joins_links);
            for slot in version.pipeline.slots() {
                let meter = slot.meter();
                if self
                    .filters
                    .iter()
                    .any(|known| Arc::ptr_eq(&known.meter, meter))
                {
                    continue;
                }
                let mut coverage = slot.coverage();
                let of_pushes = coverage.of_pushes.iter().filter(|_| !takes_pushes);
                let of_batches = coverage.of_batches.iter().filter(|_| !joins);
                let never: Vec<_> = of_pushes.chain(of_batches).copied().collect();
                coverage.faults.retain(|code| !never.contains(code));
                coverage.never.extend(never);
                self.filters.push(Filter {
                    biz_id: biz_id.clone(),
                    id: slot.id().to_string(),
                    raises: coverage.faults,
                    never: coverage.never,
                    meter: Arc::clone(meter),
                });
            }
        }
        if self.under_test == (0, 0) {
            self.under_test = (self.pipelines.len(), self.filters.len());
        }
    }

    /// All branches, with those that were not taken. Faults of pushes are told to whoever pushed, and counted by nobody else:
    /// `told` says how often each code was.
    pub(super) fn branches(&self, told: &BTreeMap<String, u64>) -> Vec<Branch> {
        let mut counts: BTreeMap<(String, String, String), u64> = BTreeMap::new();
        // First what there is in the configuration under test, then how often it was: a case may change to others.
        let (of_pipelines, of_filters) = self.under_test;
        for (biz_id, meter) in &self.pipelines[..of_pipelines] {
            let events = meter.events().into_iter().map(|(event, _)| event);
            for name in events.chain(OF_CHAIN.iter().copied()) {
                counts.insert((biz_id.clone(), "pipeline".to_owned(), name.to_owned()), 0);
            }
        }
        for filter in &self.filters[..of_filters] {
            let events = filter.meter.events().into_iter().map(|(event, _)| event);
            let events = events.filter(|event| !filter.never.contains(event));
            for name in events.chain(filter.raises.iter().copied()) {
                counts.insert(
                    (filter.biz_id.clone(), filter.id.clone(), name.to_owned()),
                    0,
                );
            }
        }
        for ((biz_id, id, name), count) in &mut counts {
            let pipelines = self.pipelines.iter().filter(|(known, _)| known == biz_id);
            let settled: u64 = pipelines.map(|(_, meter)| of_meter(meter, name)).sum();
            let filters = self.filters.iter();
            let filters = filters.filter(|filter| filter.biz_id == *biz_id && filter.id == *id);
            let own: u64 = filters.map(|filter| of_meter(&filter.meter, name)).sum();
            let raises = |filter: &&Filter| {
                filter.biz_id == *biz_id && filter.raises.contains(&name.as_str())
            };
            let is_alone = self.filters[..of_filters].iter().filter(raises).count() == 1;
            let settled = if is_alone || id == "pipeline" {
                settled
            } else {
                0
            };
            *count = match id.as_str() {
                "pipeline" => settled,
                // A fault that comes with an outcome is counted by the pipeline alone; whose it is, is known where one
                // filter alone raises it.
                _ if name.contains('.') => {
                    own.max(settled).max(told.get(name).copied().unwrap_or(0))
                }
                _ => own,
            };
        }
        let branch = |((biz_id, filter, name), count)| Branch {
            biz_id,
            filter,
            name,
            count,
        };
        counts.into_iter().map(branch).collect()
    }

    /// All faults so far, by the business and the filter that counted them, and their codes.
    fn all_faults(&self) -> Faults {
        let mut all = Faults::new();
        for filter in &self.filters {
            for (code, count) in filter.meter.faults() {
                *all.entry((filter.place(), code)).or_default() += count;
            }
        }
        for (biz_id, meter) in &self.pipelines {
            for (code, count) in meter.faults() {
                // A fault that comes with an outcome is counted by the pipeline alone, and so are those of the chain.
                let own = self
                    .filters
                    .iter()
                    .filter(|filter| filter.biz_id == *biz_id);
                let raises = own.filter(|filter| filter.raises.contains(&code.as_str()));
                let places: BTreeSet<String> = raises.map(Filter::place).collect();
                let place = match places.len() {
                    1 => places.into_iter().next().unwrap_or_default(),
                    _ => format!("{biz_id}/pipeline"),
                };
                let is_counted = all.iter().any(|((known, of), count)| {
                    *of == code && *count > 0 && known.starts_with(&format!("{biz_id}/"))
                });
                if place.ends_with("/pipeline") && is_counted {
                    continue;
                }
                let known = all.entry((place, code)).or_default();
                *known = (*known).max(count);
            }
        }
        all
    }

    /// Faults since a step has last stated all of them.
    fn new_faults(&self) -> Faults {
        let mut new = self.all_faults();
        for (fault, known) in &self.faults {
            if let Some(count) = new.get_mut(fault) {
                *count -= known;
            }
        }
        new.retain(|_, count| *count > 0);
        new
    }

    /// A fault that was counted since, and is not among the named.
    pub(super) fn unnamed_fault(&self, named: &BTreeSet<String>) -> Option<(String, String)> {
        let mut new = self.new_faults().into_keys();
        new.find(|(_, code)| !named.contains(code))
    }

    /// Filters have counted these faults since this was last asked, and no others.
    pub(super) fn faults_are(
        &mut self,
        stated: &BTreeMap<String, BTreeMap<String, u64>>,
    ) -> Result<(), String> {
        let all = self.new_faults();
        let mut new = all.clone();
        for (filter, codes) in stated {
            let is_it = |place: &str| place == filter || place.ends_with(&format!("/{filter}"));
            let filters = self.filters.iter().map(Filter::place);
            let pipelines = self.pipelines.iter();
            let pipelines = pipelines.map(|(biz_id, _)| format!("{biz_id}/pipeline"));
            let places: BTreeSet<String> = filters
                .chain(pipelines)
                .filter(|place| is_it(place))
                .collect();
            match places.len() {
                0 => return Err(format!("there is no filter `{filter}`")),
                1 => {}
                _ => {
                    let places: Vec<_> = places.into_iter().collect();
                    return Err(format!(
                        "`{filter}` is one of {}: write which",
                        places.join(", ")
                    ));
                }
            }
            for (code, count) in codes {
                if *count == 0 {
                    return Err(format!(
                        "what is not counted is not written: leave `{code}: 0` out"
                    ));
                }
                let counted = all
                    .iter()
                    .filter(|((place, known), _)| is_it(place) && known == code);
                let seen: u64 = counted.map(|(_, count)| count).sum();
                new.retain(|(place, known), _| !(is_it(place) && known == code));
                if seen != *count {
                    return Err(format!(
                        "`{filter}` has counted `{code}` {seen} times, not {count}"
                    ));
                }
            }
        }
        if let Some(((filter, code), count)) = new.iter().next() {
            return Err(format!(
                "`{filter}` has counted `{code}` {count} times, which is not stated"
            ));
        }
        self.faults = self.all_faults();
        Ok(())
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
            let name = split(series).0;
            if !now.keys().any(|known| split(known).0 == name) {
                return Err(format!("there is no metric `{name}`"));
            }
            let seen = sum(&now) - sum(&before);
            let is_so = (seen - change).abs() <= 1e-9;
            if !is_so {
                return Err(format!("`{series}` has changed by {seen}, not {change}"));
            }
        }
        Ok(())
    }
}

/// How often a meter has counted an event, or a fault by its code.
fn of_meter(meter: &Meter, name: &str) -> u64 {
    let events = meter.events().into_iter();
    let events = events
        .filter(|(event, _)| *event == name)
        .map(|(_, count)| count);
    let faults = meter.faults().into_iter();
    let faults = faults
        .filter(|(code, _)| code == name)
        .map(|(_, count)| count);
    events.chain(faults).sum()
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
