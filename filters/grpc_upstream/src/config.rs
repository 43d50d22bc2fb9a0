//! What the YAML entry says, checked.

use std::time::Duration;

use linkgate_filter::backend::GrpcBackend;
use linkgate_filter::problem::Problems;
use linkgate_filter::units::{ByteSize, HumanDuration};
use linkgate_filter::{Deserialize, JsonSchema, Prepare, RetryTerms, schemars};
use linkgate_grpc::BreakerRules;
use serde::Serialize;
use tonic::Code;

/// A field of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(crate = "schemars")]
pub enum Field {
    /// The business, as `linkgate-biz-id`. The one field of a batch's metadata.
    BizId,
    /// The user, as `linkgate-user-id`.
    UserId,
    /// The device, if there is one, as `linkgate-device-id`.
    DeviceId,
    /// The link, as `linkgate-link-id`.
    LinkId,
    /// The message's key, as `linkgate-key`.
    Key,
}

/// Sends each message to a gRPC backend and answers with what it says.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "schemars")]
pub struct Config {
    /// The name of a backend under `backends:`.
    pub backend: String,
    /// How long one try may take, connecting included; at most `deadline`. Default: 1s.
    #[serde(default = "Config::default_try_timeout")]
    pub try_timeout: HumanDuration,
    /// How long a message may take over all tries and the waits between them. Default: 3s.
    #[serde(default = "Config::default_deadline")]
    pub deadline: HumanDuration,
    /// When and how often a failed try is repeated.
    #[serde(default)]
    pub retry: Retry,
    /// How many retries all links of the business may add to their calls, so that retries cannot drown a backend in trouble.
    #[serde(default)]
    pub retry_budget: RetryBudget,
    /// When an endpoint that fails is left alone for a while.
    #[serde(default)]
    pub breaker: BreakerRules,
    /// Whether the order of a link's messages is kept. Default: link.
    #[serde(default)]
    pub ordering: Ordering,
    /// Calls that one link may have in flight; with `ordering: none` only. At most 1000. Default: 16.
    #[serde(default)]
    pub max_in_flight_per_link: Option<usize>,
    /// Calls that all links of the business on this node may have in flight; further messages wait for a free place,
    /// `deadline` at the most. At most 1000000. Default: 1000.
    #[serde(default = "Config::default_max_in_flight")]
    pub max_in_flight: usize,
    /// The largest answer that is read, for each message of a batch; a larger one counts as not confirmed. At most 64MiB.
    /// Default: 1MiB.
    #[serde(default = "Config::default_max_answer")]
    pub max_answer: ByteSize,
    /// Which fields of a request its metadata has too, for whatever lies on the way to the backend and reads no requests. Each
    /// costs. Default: `[biz_id, user_id]`.
    #[serde(default = "Config::default_metadata")]
    pub metadata: Vec<Field>,
    /// The share of calls that are traced, from 0 to 1: those have a `traceparent`, which asks the backend to record. Default: 0.01.
    #[serde(default = "Config::default_trace_sampling")]
    pub trace_sampling: f64,
}

impl Config {
    fn default_try_timeout() -> HumanDuration {
        Duration::from_secs(1).into()
    }

    fn default_deadline() -> HumanDuration {
        Duration::from_secs(3).into()
    }

    fn default_max_in_flight() -> usize {
        1000
    }

    fn default_max_answer() -> ByteSize {
        ByteSize::mib(1)
    }

    fn default_metadata() -> Vec<Field> {
        vec![Field::BizId, Field::UserId]
    }

    fn default_trace_sampling() -> f64 {
        0.01
    }

    /// Calls that one chain may have in flight.
    pub(crate) fn in_flight_per_chain(&self) -> usize {
        match self.ordering {
            Ordering::Link => 1,
            Ordering::None => self.max_in_flight_per_link.unwrap_or(16),
        }
    }
}

/// Whether the order of a link's messages is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(crate = "schemars")]
pub enum Ordering {
    /// One call in flight per link: the first attempts of a link's messages reach the backend in the order sent. Behind
    /// `batch`, which keeps the order itself, as many as it lets go.
    #[default]
    Link,
    /// Several calls in flight per link: faster, in any order.
    None,
}

/// When and how often a failed try is repeated. A try that certainly did not leave the gateway is repeated whatever
/// `codes` says.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(crate = "schemars")]
pub struct Retry {
    /// Tries in all, the first included; 1 turns retries off, 10 is the most. Default: 3.
    pub max_attempts: u32,
    /// The wait before the first retry is a random part of this; it doubles with each further one. Default: 50ms.
    pub initial: HumanDuration,
    /// The longest such wait. Default: 1s.
    pub max: HumanDuration,
    /// The status codes that are worth another try. A try that exceeds `try_timeout` counts as `deadline_exceeded`, a
    /// connection lost after the message was sent as `unavailable`: the backend may see the message twice, under the same
    /// key. Default: unavailable, deadline_exceeded.
    pub codes: Vec<RetryCode>,
    /// A backend may ask for a wait before the next try (`grpc-retry-pushback-ms`, `google.rpc.RetryInfo`); a longer wait
    /// than this counts as this. Default: 60s.
    pub max_pushback: HumanDuration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            initial: Duration::from_millis(50).into(),
            max: Duration::from_secs(1).into(),
            codes: vec![RetryCode::Unavailable, RetryCode::DeadlineExceeded],
            max_pushback: Duration::from_secs(60).into(),
        }
    }
}

/// A status code that can be worth another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(crate = "schemars")]
pub enum RetryCode {
    /// The backend dropped the call.
    Cancelled,
    /// The backend failed without saying how.
    Unknown,
    /// The try took too long.
    DeadlineExceeded,
    /// The backend has too much to do.
    ResourceExhausted,
    /// The message ran into another one.
    Aborted,
    /// The backend is broken.
    Internal,
    /// The backend cannot serve just now.
    Unavailable,
}

impl RetryCode {
    pub(crate) fn is(self, code: Code) -> bool {
        let own = match self {
            Self::Cancelled => Code::Cancelled,
            Self::Unknown => Code::Unknown,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::ResourceExhausted => Code::ResourceExhausted,
            Self::Aborted => Code::Aborted,
            Self::Internal => Code::Internal,
            Self::Unavailable => Code::Unavailable,
        };
        own == code
    }
}

/// How many retries may be added to the calls.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(crate = "schemars")]
pub struct RetryBudget {
    /// Retries per call, from 0 to 10. Default: 0.2.
    pub ratio: f64,
    /// Retries a second that are always allowed, however few calls there are. Default: 10.
    pub min_per_second: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            ratio: 0.2,
            min_per_second: 10,
        }
    }
}

impl RetryBudget {
    pub(crate) fn terms(&self) -> RetryTerms {
        RetryTerms {
            ratio: self.ratio,
            fades: None,
            per_second: self.min_per_second.into(),
            ahead: Duration::from_secs(1),
            // Ten seconds' worth of what time pays in, or a small burst.
            most: f64::from(self.min_per_second.max(1)) * 10.0,
        }
    }
}

/// Checks the entry against itself and against the backends; answers with its backend.
pub(crate) fn check(config: &Config, cx: &Prepare<'_>) -> Result<GrpcBackend, Problems> {
    let mut problems = Problems::new();
    check_times(config, &mut problems);
    check_numbers(config, &mut problems);
    let backend = cx.backend("backend", &config.backend, &mut problems);
    match backend {
        Some(backend) if problems.is_empty() => Ok(backend.clone()),
        _ => Err(problems),
    }
}

fn check_times(config: &Config, problems: &mut Problems) {
    let (retry, breaker) = (&config.retry, &config.breaker);
    let times = [
        (vec!["try_timeout"], config.try_timeout),
        (vec!["deadline"], config.deadline),
        (vec!["retry", "initial"], retry.initial),
        (vec!["breaker", "window"], breaker.window),
        (vec!["breaker", "first_open_for"], breaker.first_open_for),
        (vec!["breaker", "open_for"], breaker.open_for),
    ];
    for (path, time) in times {
        if time.is_zero() {
            let path: linkgate_filter::problem::Path = path.into_iter().collect();
            problems.at(path, "has to be longer than zero");
        }
    }
    if *config.try_timeout > *config.deadline {
        let message = format!(
            "one try may take {}, longer than all together, `deadline`, {}",
            config.try_timeout, config.deadline
        );
        problems
            .at("try_timeout", message)
            .hint("lower `try_timeout`, or raise `deadline`");
    }
    if *retry.max < *retry.initial {
        let message = format!("{} is less than `initial`, {}", retry.max, retry.initial);
        problems
            .at(["retry", "max"], message)
            .hint("raise `max`, or lower `initial`");
    }
}

fn check_numbers(config: &Config, problems: &mut Problems) {
    let (budget, breaker) = (&config.retry_budget, &config.breaker);
    let mut within = |path: &[&str], value: f64, low: f64, high: f64| {
        if !(low..=high).contains(&value) {
            let path: linkgate_filter::problem::Path = path.iter().copied().collect();
            problems.at(path, format!("{value} is not between {low} and {high}"));
        }
    };
    within(
        &["retry", "max_attempts"],
        config.retry.max_attempts.into(),
        1.0,
        10.0,
    );
    within(&["retry_budget", "ratio"], budget.ratio, 0.0, 10.0);
    within(&["breaker", "failures"], breaker.failures.into(), 1.0, 1e6);
    within(
        &["breaker", "failure_ratio"],
        breaker.failure_ratio,
        0.001,
        1.0,
    );
    within(
        &["breaker", "min_calls"],
        breaker.min_calls.into(),
        1.0,
        1e6,
    );
    within(&["breaker", "probes"], breaker.probes.into(), 1.0, 1000.0);
    within(
        &["breaker", "usual_failures"],
        breaker.usual_failures,
        0.0,
        1.0,
    );
    within(
        &["breaker", "min_in_flight"],
        breaker.min_in_flight.into(),
        1.0,
        1e6,
    );
    within(&["max_in_flight"], config.max_in_flight as f64, 1.0, 1e6);
    within(
        &["max_answer"],
        config.max_answer.bytes() as f64,
        1.0,
        f64::from(64 << 20),
    );
    within(&["trace_sampling"], config.trace_sampling, 0.0, 1.0);
    if let Some(per_link) = config.max_in_flight_per_link {
        within(&["max_in_flight_per_link"], per_link as f64, 1.0, 1000.0);
        if config.ordering == Ordering::Link {
            problems
                .at(
                    "max_in_flight_per_link",
                    "means nothing where the order is kept: one call is in flight per link",
                )
                .on_key()
                .hint("remove it, or write `ordering: none`");
        }
    }
}

#[cfg(test)]
mod tests;
