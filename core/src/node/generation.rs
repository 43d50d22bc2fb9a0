//! From a configuration to the next generation of pipelines.

use std::collections::HashMap;
use std::sync::Arc;

use linkgate_filter::runner::{Host, Pipeline, Shard};

use crate::config::{Config, PipelineConfig, VersionConfig};
use crate::edges::Edge;
use crate::link::{LinkSettings, PushBudget};
use crate::listener::Quota;
use crate::listener::config::ListenerConfig;
use crate::pipeline::{Generation, MadeOf, Served, Version};

/// The generation after `before`. What has not changed goes on; what is new is started, and its shards are to be run.
pub(super) fn next(
    before: &Generation,
    config: &mut Config,
    host: &Arc<Host>,
) -> (Generation, Vec<Shard>) {
    let mut generation = Generation::default();
    for listener in &config.listeners {
        let drain = listener.drain.per_second();
        generation.open(&listener.name, settings(listener), drain);
    }
    generation.refuse(std::mem::take(&mut config.refused));
    let mut shards = Vec::new();
    let pipelines = std::mem::take(&mut config.pipelines);
    let on_listeners: Vec<_> = pipelines
        .iter()
        .map(|pipeline| on_listeners(before, pipeline))
        .collect();
    for (pipeline, earlier) in pipelines.into_iter().zip(&on_listeners) {
        let names = pipeline.listeners.clone();
        let is_free =
            |served: &&Served| !on_listeners.iter().flatten().any(|on| is_one(on, served));
        let mut moved = before.served().iter().filter(is_free);
        let earlier = earlier.or_else(|| moved.find(|served| *served.biz_id == *pipeline.biz_id));
        // Of several pipelines one is the successor: they share no limits, and count apart.
        let earlier =
            earlier.filter(|earlier| !generation.served().iter().any(|own| is_one(own, earlier)));
        let served = serve(pipeline, earlier, (config, host), &mut shards);
        generation.serve(names.iter().map(String::as_str), served);
    }
    (generation, shards)
}

/// What served the business before, on one of the pipeline's listeners.
fn on_listeners<'a>(before: &'a Generation, pipeline: &PipelineConfig) -> Option<&'a Served> {
    let mut listeners = pipeline.listeners.iter();
    listeners.find_map(|name| before.find(name, &pipeline.biz_id))
}

fn is_one(one: &Served, other: &Served) -> bool {
    Arc::ptr_eq(&one.links, &other.links)
}

fn serve(
    config: PipelineConfig,
    earlier: Option<&Served>,
    around: (&Config, &Arc<Host>),
    shards: &mut Vec<Shard>,
) -> Served {
    let PipelineConfig {
        biz_id,
        limits,
        standard,
        trials,
        ..
    } = config;
    let mut version = |version| start(&biz_id, limits.into(), version, earlier, around, shards);
    let standard = version(standard);
    let trials = trials.into_iter().map(version).collect();
    let (links, pushes) = match earlier {
        Some(served) => (Arc::clone(&served.links), Arc::clone(&served.pushes)),
        None => (Quota::new(0), PushBudget::new(0)),
    };
    links.set_limit(limits.links);
    pushes.set_limit(limits.queued.as_usize());
    Served {
        biz_id: biz_id.into(),
        standard,
        trials,
        links,
        pushes,
        change_over: *limits.change_over,
    }
}

fn start(
    biz_id: &str,
    limits: linkgate_filter::runner::Limits,
    config: VersionConfig,
    earlier: Option<&Served>,
    (around, host): (&Config, &Arc<Host>),
    shards: &mut Vec<Shard>,
) -> Version {
    let edge = |name| Edge::find(name, &host.edges, &around.backends);
    let made_of = MadeOf {
        entries: config.entries,
        limits,
        edges: config.plan.named().iter().map(edge).collect(),
    };
    let known = || earlier.into_iter().flat_map(Served::versions);
    let same_name = |version: &&Version| *version.name == *config.name;
    let same = known().find(|version| same_name(version) && version.made_of == made_of);
    let pipeline = match same {
        Some(version) => Arc::clone(&version.pipeline),
        None => {
            let counted: Option<&Pipeline> =
                known().find(same_name).map(|version| &*version.pipeline);
            let (pipeline, more) = config.plan.start(biz_id, limits, host, counted);
            shards.extend(more);
            pipeline
        }
    };
    Version {
        name: config.name.into(),
        share: config.share,
        pipeline,
        made_of,
    }
}

/// The businesses whose number of unsettled pushes is bounded by a limit of their own.
pub(super) fn push_limits(pipelines: &[PipelineConfig]) -> HashMap<Arc<str>, usize> {
    let own = |config: &PipelineConfig| {
        let limit = config.limits.unsettled_pushes?;
        Some((config.biz_id.as_str().into(), limit as usize))
    };
    pipelines.iter().filter_map(own).collect()
}

fn settings(config: &ListenerConfig) -> LinkSettings {
    LinkSettings {
        second_login: config.second_login,
        idle: *config.timeouts.idle,
        message: *config.timeouts.message,
        ping: *config.timeouts.ping,
        write_stall: *config.timeouts.write,
        close: *config.timeouts.close,
        frames_per_second: config.websocket.max_frames.per_second(),
        bytes_per_second: config.websocket.max_bytes_per_second.bytes() as f64,
        max_frame: config.websocket.max_outgoing.as_usize(),
        push_queue: config.websocket.max_queued.as_usize(),
        nacks: config.legacy_nacks.into(),
    }
}
