//! One call with all its tries: deadline, retries, budget, breaker. Knows what came of each try, not what the message is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use linkgate_filter::trace::TraceId;
use linkgate_filter::{Counter, Effect, Every, Fault, Open, RetryAccount};
use linkgate_grpc::{Endpoint, Lease, NoEndpoint, Pool, Sign};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use crate::config::Config;
use crate::metadata;
use crate::pushback::Pushback;
use crate::status::{self, Ended, Failure};
use crate::wire::{Trace, Wire};

/// A method of the backend with its request.
pub(crate) trait Rpc: Sync {
    type Reply;

    /// Whose messages these are, as numbers.
    fn users(&self) -> BTreeSet<u64>;

    /// Makes one try.
    fn send(&self, this: Try) -> BoxFuture<'static, Result<Self::Reply, Status>>;
}

/// What a try is made with.
pub(crate) struct Try {
    pub(crate) wire: Wire,
    /// Has the metadata and the time limit.
    pub(crate) envelope: Request<()>,
    pub(crate) attempt: u32,
    pub(crate) max_answer: usize,
}

/// Makes the calls of one pipeline entry.
pub(crate) struct Caller {
    pub(crate) config: Config,
    pub(crate) biz_id: Arc<str>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) budget: Arc<RetryAccount>,
    pub(crate) events: Events,
    pub(crate) log: Every,
}

/// What is counted, `linkgate_filter_events_total{event}`.
#[derive(Default)]
pub(crate) struct Events {
    /// Calls begun, whatever the number of their tries.
    pub(crate) calls: Counter,
    /// Tries after the first of a call.
    pub(crate) retries: Counter,
    /// Tries whose time was up.
    pub(crate) timeouts: Counter,
    /// Tries that certainly did not leave the gateway.
    pub(crate) unreachable: Counter,
    /// Breakers that opened.
    pub(crate) breaker_opened: Counter,
    /// Calls refused because all breakers were open.
    pub(crate) breaker_open: Counter,
    /// Tries that had to wait for what an endpoint can bear, or for a breaker.
    pub(crate) limited: Counter,
    /// Times that an endpoint was given fewer tries at a time.
    pub(crate) limit_lowered: Counter,
    /// Retries not made because the budget was used up.
    pub(crate) budget_exhausted: Counter,
    /// Messages that had to wait for a call to end.
    pub(crate) held: Counter,
    /// Results of a batch that fit no item, and items without a result.
    pub(crate) mismatched: Counter,
}

impl Events {
    pub(crate) fn new(cx: &Open<'_>) -> Self {
        Self {
            calls: cx.counter("calls"),
            retries: cx.counter("retries"),
            timeouts: cx.counter("timeouts"),
            unreachable: cx.counter("unreachable"),
            breaker_opened: cx.counter("breaker_opened"),
            breaker_open: cx.counter("breaker_open"),
            limited: cx.counter("limited"),
            limit_lowered: cx.counter("limit_lowered"),
            budget_exhausted: cx.counter("budget_exhausted"),
            held: cx.counter("held"),
            mismatched: cx.counter("mismatched"),
        }
    }
}

/// A call under way.
struct Call {
    deadline: Instant,
    metadata: MetadataMap,
    trace: TraceId,
    attempt: u32,
    /// A try that the server refused unseen was made again at once: it is free.
    had_free_try: bool,
    tried: Vec<Arc<Endpoint>>,
    rng: fastrand::Rng,
}

impl Caller {
    /// Between two lines on tries that failed.
    pub(crate) const LOG_INTERVAL: Duration = Duration::from_secs(1);

    /// Makes a call, which ends at `deadline`. `Ok` only if the backend answered with OK. The fault's effect speaks for all tries together.
    pub(crate) async fn call<R: Rpc>(
        &self,
        rpc: &R,
        metadata: MetadataMap,
        deadline: Instant,
        seed: u64,
    ) -> Result<R::Reply, Fault> {
        self.events.calls.inc();
        let terms = self.config.retry_budget.terms();
        self.budget.first(Instant::now().into_std(), &terms);
        let mut call = Call {
            deadline,
            metadata,
            trace: TraceId::new(self.config.trace_sampling),
            attempt: 0,
            had_free_try: false,
            tried: Vec::new(),
            rng: fastrand::Rng::with_seed(seed),
        };
        let mut effect = Effect::None;
        let mut last: Option<Failure> = None;
        loop {
            call.attempt += 1;
            let failure = match self.lease(&call).await {
                Ok(lease) => match self.attempt(rpc, &mut call, lease).await {
                    Ok(reply) => return Ok(reply),
                    Err(failure) => failure,
                },
                Err(NoLease::Failed(failure)) => failure,
                // What the tries before came to says more.
                Err(NoLease::Refused(failure)) => {
                    return Err(self.give_up(last.unwrap_or(failure), effect));
                }
            };
            self.count(&failure);
            if failure.fault.effect == Effect::Unknown {
                effect = Effect::Unknown;
            }
            if failure.refused && !std::mem::replace(&mut call.had_free_try, true) {
                last = Some(failure);
                continue;
            }
            match self.wait_before_retry(&failure, &mut call) {
                Some(wait) => sleep(wait).await,
                None => return Err(self.give_up(failure, effect)),
            }
            self.events.retries.inc();
            last = Some(failure);
        }
    }

    async fn lease(&self, call: &Call) -> Result<Lease, NoLease> {
        let lease = self
            .pool
            .lease(&call.tried, self.config.breaker, call.deadline);
        match lease.await {
            Ok(leased) => {
                self.events.limited.add(leased.waited.into());
                Ok(leased.lease)
            }
            Err(NoEndpoint::Resting(wait)) => {
                self.events.breaker_open.inc();
                Err(NoLease::Refused(status::breaker_open(wait)))
            }
            Err(NoEndpoint::Full) => Err(NoLease::Refused(status::overloaded())),
            Err(NoEndpoint::NoAddress(message)) => {
                let ended = Ended::NotReached(message);
                Err(NoLease::Failed(status::judge(&Trace::default(), ended)))
            }
        }
    }

    async fn attempt<R: Rpc>(
        &self,
        rpc: &R,
        call: &mut Call,
        mut lease: Lease,
    ) -> Result<R::Reply, Failure> {
        call.tried.push(Arc::clone(lease.endpoint()));
        let trace = Trace::default();
        let until = self.until(call);
        let sent = rpc.send(Try {
            wire: Wire::new(lease.channel(&self.pool.connector), trace.clone()),
            envelope: self.envelope(call, until),
            attempt: call.attempt,
            max_answer: self.config.max_answer.as_usize(),
        });
        let ended = match timeout_at(until, sent).await {
            Ok(Ok(reply)) => {
                self.end(&mut lease, &Sign::Well);
                return Ok(reply);
            }
            Ok(Err(status)) => Ended::Status(Box::new(status)),
            Err(_) => Ended::TimedOut,
        };
        let failure = status::judge(&trace, ended);
        let is_free = failure.refused && !call.had_free_try;
        let sign = match self.sign(rpc, &failure, &lease) {
            // As a server that stops may do.
            _ if is_free => Sign::Nothing,
            sign => sign,
        };
        self.end(&mut lease, &sign);
        self.log(&failure, lease.endpoint());
        Err(failure)
    }

    /// What a failed try says of its endpoint.
    fn sign<R: Rpc>(&self, rpc: &R, failure: &Failure, lease: &Lease) -> Sign {
        if failure.is_of_connection() {
            self.pool.doubt();
            // A connection that fails takes all its calls along, and is one failure all the same.
            if !lease.forget_channel() {
                return Sign::Nothing;
            }
        }
        match failure.unsent {
            true => Sign::Unreachable,
            false if failure.counts_for_breaker() => Sign::Failed(rpc.users()),
            false => Sign::Well,
        }
    }

    fn end(&self, lease: &mut Lease, sign: &Sign) {
        let change = lease.end(sign);
        self.events.breaker_opened.add(change.opened.into());
        self.events.limit_lowered.add(change.lowered.into());
        if change.opened || change.doubtful {
            // One that went dead in silence looks like a slow backend: the next try opens a new one.
            lease.forget_channel();
            self.pool.doubt();
        }
    }

    /// When the time of the next try is up.
    fn until(&self, call: &Call) -> Instant {
        (Instant::now() + *self.config.try_timeout).min(call.deadline)
    }

    fn envelope(&self, call: &Call, until: Instant) -> Request<()> {
        let mut envelope = Request::new(());
        *envelope.metadata_mut() = call.metadata.clone();
        if let Some(parent) = call.trace.recorded_parent() {
            metadata::insert(envelope.metadata_mut(), "traceparent", &parent);
        }
        envelope.set_timeout(until.saturating_duration_since(Instant::now()));
        envelope
    }

    /// How long to wait before the next try; `None`: there is none.
    fn wait_before_retry(&self, failure: &Failure, call: &mut Call) -> Option<Duration> {
        let rules = &self.config.retry;
        let worth_it = failure.unsent || rules.codes.iter().any(|code| code.is(failure.code));
        let paid = call.attempt - u32::from(call.had_free_try);
        if !worth_it || paid >= rules.max_attempts {
            return None;
        }
        let wait = match failure.pushback {
            Some(Pushback::Never) => return None,
            Some(Pushback::After(wait)) => wait.min(*rules.max_pushback),
            None => {
                let doubled = rules
                    .initial
                    .saturating_mul(1 << paid.saturating_sub(1).min(16));
                doubled.min(*rules.max).mul_f64(call.rng.f64())
            }
        };
        let now = Instant::now();
        if now + wait >= call.deadline {
            return None;
        }
        let terms = self.config.retry_budget.terms();
        let granted = self.budget.again(now.into_std(), &terms);
        if !granted {
            self.events.budget_exhausted.inc();
        }
        granted.then_some(wait)
    }

    fn give_up(&self, failure: Failure, effect: Effect) -> Fault {
        let mut fault = failure.fault;
        fault.effect = effect;
        match failure.pushback {
            Some(Pushback::Never) => fault.retry_after = None,
            Some(Pushback::After(wait)) if fault.retry_after.is_some() => {
                fault.retry_after = Some(wait.min(*self.config.retry.max_pushback));
            }
            _ => {}
        }
        fault
    }

    fn count(&self, failure: &Failure) {
        if failure.timed_out {
            self.events.timeouts.inc();
        }
        if failure.unsent {
            self.events.unreachable.inc();
        }
    }

    fn log(&self, failure: &Failure, endpoint: &Endpoint) {
        if let Some(held_back) = self.log.pass(Instant::now().into_std()) {
            tracing::warn!(
                biz_id = %self.biz_id,
                backend = %self.config.backend,
                endpoint = %endpoint.address.uri,
                code = %failure.fault.code,
                said = ?failure.message,
                held_back,
                "a try at a backend failed"
            );
        }
    }
}

/// Why there was no try.
enum NoLease {
    /// It counts as a failed one.
    Failed(Failure),
    /// It is for want of room.
    Refused(Failure),
}
