//! The filter `grpc_upstream`: the end of a pipeline whose backend speaks gRPC.
//!
//! Each message becomes a call of `BackendService.OnReceive`, each joined message of `BatchBackendService.BatchOnReceive`
//! (`proto/linkgate/v1/backend.proto`). It is accepted if, and only if, the backend answers with OK.
//!
//! # What the end of a try means
//!
//! Two facts decide before any status code: whether the message has begun to leave the gateway, and whether a gRPC status
//! has come back, in trailers or in headers that end the stream. A status made up on this side never passes for the backend's.
//!
//! | the try ended | fault | blame | effect | worth another try for the client |
//! |---|---|---|---|---|
//! | with OK | none: accepted | | | |
//! | with OK and a `fault` in the response | `backend.` and the backend's code | as it says | as it says, or unknown | as it says |
//! | refused unseen: REFUSED_STREAM, or a GOAWAY that names an earlier stream as the last, before any headers; once made again at once, on another connection | `grpc.unreachable` | backend | none | yes |
//! | RESOURCE_EXHAUSTED with the words of a library for a message that is too large, OUT_OF_RANGE with tonic's; HTTP 413 | `grpc.too_large` | client | none | no |
//! | HTTP 408 or 429 without a gRPC status | `grpc.refused_by_proxy` | backend | none | yes |
//! | any other HTTP 4xx without a gRPC status | `grpc.refused_by_proxy` | gateway | none | no |
//! | HTTP 502, 503 or 504 without a gRPC status | `grpc.unavailable` | backend | unknown | yes |
//! | the same words for an answer that is too large | `grpc.internal` | backend | unknown | no |
//! | before the message left: no address, no connection, no free stream in time | `grpc.unreachable` | backend | none | yes |
//! | every breaker open for longer than the deadline | `grpc.breaker_open` | backend | none | yes, after the breaker's time |
//! | no place within `deadline` among the calls in flight, or among those that the endpoints can bear | `grpc.overloaded` | gateway | none | yes |
//! | no status within `try_timeout`; DEADLINE_EXCEEDED | `grpc.deadline_exceeded` | backend | unknown | yes |
//! | connection lost after the message left; UNAVAILABLE | `grpc.unavailable` | backend | unknown | yes |
//! | CANCELLED, UNKNOWN, INTERNAL, an answer that cannot be read | `grpc.cancelled`, `grpc.unknown`, `grpc.internal` | backend | unknown | yes |
//! | DATA_LOSS | `grpc.data_loss` | backend | unknown | no |
//! | RESOURCE_EXHAUSTED, ABORTED | `grpc.resource_exhausted`, `grpc.aborted` | backend | none | yes |
//! | INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, FAILED_PRECONDITION, OUT_OF_RANGE | `grpc.` and the code | client | none | no |
//! | UNIMPLEMENTED | `grpc.unimplemented` | backend | none | no |
//! | UNAUTHENTICATED | `grpc.unauthenticated` | gateway | none | no |
//!
//! A call is as uncertain as the most uncertain of its tries: one that timed out keeps the effect unknown, whatever the
//! later ones say. An effect of `none` makes the outcome `Failed`, an unknown one `Unknown`.
//!
//! A try that did not leave the gateway is repeated within `max_attempts`, `deadline` and the retry budget; one that did,
//! only if its code is in `retry.codes`, so a backend may see a message twice, under the same key. A backend that asks for
//! a wait (`grpc-retry-pushback-ms`, `google.rpc.RetryInfo`) gets it: here if the deadline allows, else from the client.
//! Of a status a client hears the code alone; the text goes to the log, one line a second. A backend that has something to
//! tell its clients answers OK with a `fault`: its code shows as `backend.<code>`, its words are passed on, both bounded.
//!
//! # A backend in trouble
//!
//! Each endpoint gets as many calls at a time as it can bear. That is unlimited until more than the usual share fails; then
//! it is lowered by half of that share, and grows again while calls succeed. An endpoint of which nothing but failures comes
//! is left alone: for 100 ms at first, twice as long after each probe that fails, up to `open_for`; after a probe that
//! succeeds the calls grow from one on. Messages wait for a place, first come, first served, as long as their deadline
//! allows, so an outage of the only endpoint ends with the first probe, and not with a wall of refusals. What fails of one
//! user counts once: a message that no try gets through does not cost others their backend.
//!
//! # A result for each item of a batch
//!
//! An item whose result is missing, double or under another key fails alone, as `grpc.no_result` with unknown effect. A
//! fault that the backend reports for an item is passed on like that of a single message. If the call itself fails, all items
//! do.
//!
//! A batch that is refused as too large is halved, and the halves are called with one after the other, down to single
//! messages, as far as `deadline` goes; each is a call like any other. What there is no time left for, or what an earlier try
//! may have brought to an effect, ends as `grpc.too_large` too, but is the gateway's to mend and worth another try.
//!
//! # Shared by all links of the business
//!
//! Connections, breakers, the retry budget and the places of `max_in_flight` are found again after a change of the
//! pipeline under the same id; endpoints keep theirs if they are still configured the same way. While a changed
//! `max_in_flight` takes over, calls under the old one finish beside it.
//!
//! What may not enter: anything about clients' frames, and any other backend protocol.

mod answer;
mod batch;
mod call;
mod config;
mod deliver;
mod metadata;
mod pushback;
mod request;
mod rpc;
mod shared;
mod status;
#[cfg(test)]
mod tests;
mod whole;
mod wire;

use std::sync::{Arc, OnceLock};

use linkgate_filter::backend::GrpcBackend;
use linkgate_filter::problem::Problems;
use linkgate_filter::{
    Context, Coverage, Every, Fact, Fault, Filter, FilterType, Message, Never, Open, Prepare,
    Properties, SharedScope, Verdict,
};
use linkgate_grpc::{Pool, connector};

use crate::call::{Caller, Events};
pub use crate::config::{Config, Ordering, Retry, RetryBudget, RetryCode};
use crate::shared::{Door, Place, Shared};

/// The prepared value of one `grpc_upstream` entry.
pub struct GrpcUpstream {
    config: Config,
    backend: GrpcBackend,
    /// Made with the first link.
    caller: OnceLock<Arc<Caller>>,
}

impl FilterType for GrpcUpstream {
    const NAME: &'static str = "grpc_upstream";
    type Config = Config;
    type Filter = GrpcUpstreamFilter;

    fn prepare(config: Config, cx: &Prepare<'_>) -> Result<Self, Problems> {
        let backend = config::check(&config, cx)?;
        Ok(Self {
            config,
            backend,
            caller: OnceLock::new(),
        })
    }

    fn properties(&self) -> Properties {
        Properties::new().needs(Fact::DECODED).terminal()
    }

    fn coverage(&self) -> Coverage {
        let retries = self.config.retry.max_attempts > 1;
        Coverage::new()
            .raises(status::CODES.iter().copied())
            .raises(["grpc.unreachable", "grpc.breaker_open", "grpc.overloaded"])
            .raises(["grpc.no_result"])
            .of_batches(&["grpc.no_result", "mismatched"])
            .never(!retries, &["retries", "budget_exhausted"])
    }

    fn filter(&self, cx: &Open<'_>) -> GrpcUpstreamFilter {
        let shared: Arc<Shared> = cx.shared(SharedScope::Biz, Shared::default);
        let caller = self
            .caller
            .get_or_init(|| Arc::new(self.caller(cx, &shared)));
        GrpcUpstreamFilter {
            caller: Arc::clone(caller),
            door: Door::new(
                self.config.in_flight_per_chain(),
                shared.places(self.config.max_in_flight),
            ),
        }
    }
}

impl GrpcUpstream {
    fn caller(&self, cx: &Open<'_>, shared: &Shared) -> Caller {
        let pool = Pool::new(
            &self.backend,
            connector(cx.other()),
            Arc::clone(&shared.directory),
        );
        Caller {
            config: self.config.clone(),
            biz_id: Arc::clone(&cx.link().identity.biz_id),
            pool: Arc::new(pool),
            budget: Arc::clone(&shared.budget),
            events: Events::new(cx),
            log: Every::new(Caller::LOG_INTERVAL),
        }
    }
}

/// The filter of one link or trunk shard.
pub struct GrpcUpstreamFilter {
    caller: Arc<Caller>,
    door: Door,
}

impl Filter for GrpcUpstreamFilter {
    type Token = Never;
    type Timer = Never;
    type Waited = Result<Place, Fault>;
    type Done = ();

    fn upstream(&mut self, m: Message, cx: &mut Context<'_, Self>) -> Verdict {
        let joined = !m.parts().is_empty();
        match self.door.try_enter(joined) {
            Some(place) => self.start(m, place, cx),
            None => {
                self.caller.events.held.inc();
                let entering = self.door.enter(joined, *self.caller.config.deadline);
                cx.wait(async move { (m, entering.await) })
            }
        }
    }

    fn resumed(
        &mut self,
        m: Message,
        entered: Self::Waited,
        cx: &mut Context<'_, Self>,
    ) -> Verdict {
        match entered {
            Ok(place) => self.start(m, place, cx),
            Err(fault) => Verdict::Refuse(m, fault),
        }
    }
}

impl GrpcUpstreamFilter {
    fn start(&self, m: Message, place: Place, cx: &mut Context<'_, Self>) -> Verdict {
        let (caller, seed) = (Arc::clone(&self.caller), cx.random());
        cx.spawn(async move {
            caller.deliver(m, seed).await;
            drop(place);
        });
        Verdict::Done
    }
}
