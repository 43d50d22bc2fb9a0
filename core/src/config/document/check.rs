//! What is wrong with one part of a document beyond the types of its values.

use linkgate_filter::problem::{Path, Problems};

use super::pipeline::Trunk;
use super::{Pipeline, Rollout};

impl Pipeline {
    /// Notes what does not make sense in the pipeline by itself.
    pub(in crate::config) fn check(&self, problems: &mut Problems) {
        if self.biz_id.is_empty() {
            problems
                .at("biz_id", "the business has no name")
                .hint("write the name that clients' tokens hold");
        }
        if self.listeners.is_empty() {
            problems
                .at("listeners", "this pipeline is served on no listener")
                .hint("name at least one, such as `listeners: [public]`");
        }
        for (i, name) in self.listeners.iter().enumerate() {
            if self.listeners[..i].contains(name) {
                problems
                    .at(
                        Path::from("listeners").then(i),
                        format!("`{name}` is listed twice"),
                    )
                    .hint("remove one of them");
            }
        }
        let limits = &self.limits;
        for (name, value) in [
            ("links", Some(limits.links)),
            ("unsettled", Some(limits.unsettled)),
            ("unsettled_pushes", limits.unsettled_pushes),
        ] {
            if value == Some(0) {
                problems
                    .at(["limits", name], "0 would let nothing pass")
                    .hint("write 1 or more, or remove the key for the default");
            }
        }
        if limits.in_line <= limits.unsettled_bytes {
            let message = format!(
                "`in_line` ({}) has to be more than `unsettled_bytes` ({})",
                limits.in_line, limits.unsettled_bytes
            );
            problems
                .at(["limits", "in_line"], message)
                .hint("messages are refused at `unsettled_bytes`; only at `in_line` the socket is not read any more");
        }
        limits.trunk.check(problems);
        if let Some(rollout) = &self.rollout {
            rollout.check(&self.version, problems);
        }
    }
}

impl Rollout {
    fn check(&self, standard: &str, problems: &mut Problems) {
        if self.version.is_empty() || self.version == standard {
            problems
                .at(
                    ["rollout", "version"],
                    "this version has no name of its own",
                )
                .hint(format!("write another name than `{standard}`"));
        }
        if self
            .percent
            .is_some_and(|share| !(0.0..=100.0).contains(&share))
        {
            problems
                .at(
                    ["rollout", "percent"],
                    "a share is between 0 and 100 percent",
                )
                .hint("write a number such as `10` or `0.5`");
        }
        if self.percent.is_none() && self.labels.is_empty() {
            problems
                .at("rollout", "this does not say who is to have the version")
                .on_key()
                .hint("write `percent: 10`, or `labels: [...]` of nodes");
        }
        let is_empty = self.profile.is_none() && self.filters.is_none();
        if is_empty && self.overrides.is_empty() {
            problems
                .at("rollout", "this version has the same filters")
                .on_key()
                .hint("add `override`, `profile` or `filters`");
        }
    }
}

impl Trunk {
    fn check(&self, problems: &mut Problems) {
        let at = |key| Path::from("limits").then("trunk").then(key);
        if !(1..=Self::MAX_SHARDS).contains(&self.shards) {
            let message = format!("{} is not between 1 and {}", self.shards, Self::MAX_SHARDS);
            problems
                .at(at("shards"), message)
                .hint("a few per core are enough: a shard runs on one core at a time");
        }
        if self.bytes < Self::MIN_BYTES {
            let message = format!("{} is less than {}", self.bytes, Self::MIN_BYTES);
            problems
                .at(at("bytes"), message)
                .hint("the messages of many links are worked on at once: write a few MiB");
        }
        if self.per_link == 0 {
            problems
                .at(at("per_link"), "0 would let nothing pass")
                .hint("write 1 or more, or remove the key for the default");
        }
    }
}
