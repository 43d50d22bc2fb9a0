//! What a run has shown, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::text;

/// All of it. A part that the run did not measure is left out of the JSON.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub(super) struct Report {
    /// `upstream`, `push` or `idle`.
    pub(super) mode: String,
    /// Links that were opened.
    pub(super) links: usize,
    /// How long was measured, in seconds.
    pub(super) seconds: f64,
    /// Messages that were accepted, or pushes that were delivered, in that time.
    pub(super) messages: u64,
    pub(super) per_second: f64,
    /// From sending to the answer, or from pushing to the arrival.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency: Option<Percentiles>,
    /// From pushing to the outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome_latency: Option<Percentiles>,
    /// How often what went wrong, warming up included.
    pub(super) errors: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<Server>,
}

/// Of latencies, in microseconds.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub(super) struct Percentiles {
    pub(super) count: u64,
    pub(super) p50_us: u64,
    pub(super) p90_us: u64,
    pub(super) p99_us: u64,
    pub(super) p999_us: u64,
    pub(super) max_us: u64,
}

/// What it cost the server.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub(super) struct Server {
    /// CPU time of the measured part.
    pub(super) cpu_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_seconds_per_million: Option<f64>,
    /// Before the first link was opened.
    pub(super) resident_before: u64,
    /// At the end of the measured part.
    pub(super) resident: u64,
    /// Two seconds after the links were closed.
    pub(super) resident_after: u64,
    /// What each link added.
    pub(super) resident_per_link: f64,
}

impl Percentiles {
    /// `None` if there are no latencies.
    pub(super) fn of(latencies: &Histogram<u64>) -> Option<Self> {
        (!latencies.is_empty()).then(|| Self {
            count: latencies.len(),
            p50_us: latencies.value_at_quantile(0.5),
            p90_us: latencies.value_at_quantile(0.9),
            p99_us: latencies.value_at_quantile(0.99),
            p999_us: latencies.value_at_quantile(0.999),
            max_us: latencies.max(),
        })
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |us| text::duration(Duration::from_micros(us));
        let Self {
            p50_us,
            p90_us,
            p99_us,
            p999_us,
            max_us,
            ..
        } = *self;
        let [p50, p90, p99, p999, max] = [p50_us, p90_us, p99_us, p999_us, max_us].map(shown);
        write!(
            f,
            "p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p999}  max {max}"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} links, {:.1} s",
            self.mode, self.links, self.seconds
        )?;
        if self.messages > 0 {
            write!(
                f,
                "\nmessages  {} ({:.0}/s)",
                self.messages, self.per_second
            )?;
        }
        if let Some(latency) = &self.latency {
            write!(f, "\nlatency   {latency}")?;
        }
        if let Some(latency) = &self.outcome_latency {
            write!(f, "\noutcome   {latency}")?;
        }
        if let Some(server) = &self.server {
            write!(f, "\nserver    {server}")?;
        }
        for (kind, count) in &self.errors {
            write!(f, "\nerror     {count} x {}", text::body(kind.as_bytes()))?;
        }
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown to one digit")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s CPU", self.cpu_seconds)?;
        if let Some(per_million) = self.cpu_seconds_per_million {
            write!(f, " ({per_million:.2} s per million messages)")?;
        }
        let [before, open, after] =
            [self.resident_before, self.resident, self.resident_after].map(mib);
        let per_link = self.resident_per_link / 1024.0;
        write!(
            f,
            "; resident {before:.1} -> {open:.1} -> {after:.1} MiB ({per_link:.2} KiB per link)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_well() {
        let report = Report {
            mode: "upstream".into(),
            links: 2,
            seconds: 1.0,
            messages: 500,
            per_second: 500.0,
            latency: Some(Percentiles {
                count: 500,
                p50_us: 900,
                p90_us: 1_200,
                p99_us: 30_000,
                p999_us: 150_000,
                max_us: 2_000_000,
            }),
            outcome_latency: None,
            errors: BTreeMap::from([("UPSTREAM_NACK x".to_owned(), 3)]),
            server: Some(Server {
                cpu_seconds: 0.25,
                cpu_seconds_per_million: Some(500.0),
                resident_before: 10 << 20,
                resident: 12 << 20,
                resident_after: 11 << 20,
                resident_per_link: 1048576.0,
            }),
        };
        let expected = "upstream: 2 links, 1.0 s\n\
            messages  500 (500/s)\n\
            latency   p50 900us  p90 1.20ms  p99 30.00ms  p99.9 150ms  max 2.0s\n\
            server    0.25 s CPU (500.00 s per million messages); resident 10.0 -> 12.0 -> 11.0 MiB (1024.00 KiB per link)\n\
            error     3 x UPSTREAM_NACK x";
        assert_eq!(report.to_string(), expected);
    }
}
