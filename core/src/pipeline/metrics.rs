//! What the running pipelines have counted, read at each scrape.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::Generations;

/// Shows the counters of the generation at work.
pub struct PipelineMetrics(pub Arc<Generations>);

impl fmt::Debug for PipelineMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PipelineMetrics")
    }
}

impl Collector for PipelineMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let generation = self.0.load();
        let (mut messages, mut events, mut faults) = Families::default();
        for version in generation.versions() {
            let of = |more: &[(&'static str, &str)]| {
                let biz_id = version.pipeline.biz_id();
                let own = [("biz_id", &**biz_id), ("version", &*version.name)];
                let labels = own.iter().chain(more);
                let labels = labels.map(|(name, value)| (*name, (*value).to_owned()));
                labels.collect::<Vec<_>>()
            };
            let meter = version.pipeline.meter();
            let (accepted, refused) = (meter.events(), meter.faults());
            let accepted = accepted.iter().map(|(outcome, n)| (*outcome, *n));
            let refused = refused.iter().map(|(outcome, n)| (outcome.as_str(), *n));
            for (outcome, n) in accepted.chain(refused) {
                *messages.entry(of(&[("outcome", outcome)])).or_default() += n;
            }
            for slot in version.pipeline.slots() {
                for (event, n) in slot.meter().events() {
                    let labels = of(&[("filter", slot.id()), ("event", event)]);
                    *events.entry(labels).or_default() += n;
                }
                for (code, n) in slot.meter().faults() {
                    let labels = of(&[("filter", slot.id()), ("code", &code)]);
                    *faults.entry(labels).or_default() += n;
                }
            }
        }
        let families = [
            (
                "messages",
                "Business messages by what became of them: accepted, or the code of the fault",
                messages,
            ),
            ("filter_events", "What a filter counts of its own", events),
            (
                "filter_faults",
                "Messages a filter refused, by the code of the fault",
                faults,
            ),
        ];
        for (name, help, lines) in families {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (labels, n) in lines {
                ConstCounter::new(n).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// Three families: labels and count of each line. A business with pipelines of its own on several listeners has the same
/// labels for all of them.
type Families = (Lines, Lines, Lines);
type Lines = BTreeMap<Vec<(&'static str, String)>, u64>;
