//! What the running pipelines have counted, read at each scrape.

use std::fmt;
use std::sync::Arc;

use linkgate_filter::{Meter, Pipeline};
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
        let pipelines = generation.pipelines();
        family(
            &mut encoder,
            "messages",
            "Business messages by what became of them: accepted, or the code of the fault",
            pipelines.iter().flat_map(|pipeline| outcomes(pipeline)),
        )?;
        family(
            &mut encoder,
            "filter_events",
            "What a filter counts of its own",
            slots(pipelines, "event", |meter| {
                meter
                    .events()
                    .into_iter()
                    .map(|(name, n)| (name.to_owned(), n))
                    .collect()
            }),
        )?;
        family(
            &mut encoder,
            "filter_faults",
            "Messages a filter refused, by the code of the fault",
            slots(pipelines, "code", Meter::faults),
        )
    }
}

/// One line of a family: labels and count.
type Line = (Vec<(&'static str, String)>, u64);

fn outcomes(pipeline: &Pipeline) -> Vec<Line> {
    let meter = pipeline.meter();
    let accepted = meter
        .events()
        .into_iter()
        .map(|(name, n)| (name.to_owned(), n));
    let line = |(outcome, n)| {
        (
            vec![
                ("biz_id", pipeline.biz_id().to_string()),
                ("outcome", outcome),
            ],
            n,
        )
    };
    accepted.chain(meter.faults()).map(line).collect()
}

fn slots(
    pipelines: &[Arc<Pipeline>],
    label: &'static str,
    read: impl Fn(&Meter) -> Vec<(String, u64)>,
) -> impl Iterator<Item = Line> {
    pipelines
        .iter()
        .flat_map(|pipeline| pipeline.slots().iter().map(move |slot| (pipeline, slot)))
        .flat_map(move |(pipeline, slot)| {
            let labels = |what| {
                vec![
                    ("biz_id", pipeline.biz_id().to_string()),
                    ("filter", slot.id().to_string()),
                    (label, what),
                ]
            };
            read(slot.meter())
                .into_iter()
                .map(|(what, n)| (labels(what), n))
                .collect::<Vec<_>>()
        })
}

fn family(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    lines: impl Iterator<Item = Line>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, n) in lines {
        ConstCounter::new(n).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
