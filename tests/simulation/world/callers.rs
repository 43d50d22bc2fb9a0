//! Backends: they push by calls to nodes.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use linkgate_core::network::MemoryNetwork;
use linkgate_proto::v1::push_service_client::PushServiceClient;
use linkgate_proto::v1::receiver_outcome::Status;
use linkgate_proto::v1::{PushRequest, PushResponse};
use tonic::transport::{Channel, Endpoint};

use super::World;

/// What became of a push for one receiver.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) user: String,
    pub(crate) status: Status,
    pub(crate) code: String,
}

/// A push. Times are in milliseconds of the world.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) request: PushRequest,
    /// The process that took it in.
    pub(crate) process: u32,
    pub(crate) at: u64,
    /// When it was answered, and how; `None`: the call failed.
    pub(crate) answer: Option<(u64, Option<Vec<Outcome>>)>,
}

fn outcomes(response: PushResponse) -> Vec<Outcome> {
    let outcomes = response.outcomes.into_iter();
    outcomes
        .map(|outcome| Outcome {
            status: outcome.status(),
            user: outcome.receiver_id,
            code: outcome.reason.map(|fault| fault.code).unwrap_or_default(),
        })
        .collect()
}

/// The way to a node's push source. Needs a running runtime.
fn channel(network: MemoryNetwork, address: SocketAddr) -> Channel {
    let dial = tower::service_fn(move |_| {
        let dialled = network.dial(address, "127.0.0.1:50001".parse().unwrap());
        async move { dialled.map(TokioIo::new) }
    });
    Endpoint::from_static("http://gateway").connect_with_connector_lazy(dial)
}

impl World {
    /// Has a push taken in by a node.
    pub(crate) fn push(&self, node: usize, request: PushRequest) {
        let Some(process) = self.processes.get(&node) else {
            return;
        };
        let (network, source) = (self.wires.network.clone(), process.source);
        let (time, trace) = (Arc::clone(&self.time), self.trace.clone());
        let pushes = Arc::clone(&self.pushes);
        trace.say(format!(
            "{} to {:?} by {}{}{}",
            request.key,
            request.receiver_ids,
            process.number,
            if request.all { ", all" } else { "" },
            if request.ack == Some(false) {
                ", unacknowledged"
            } else {
                ""
            },
        ));
        let place = {
            let mut pushes = pushes.lock();
            pushes.push(Pushed {
                request: request.clone(),
                process: process.number,
                at: time.ms(),
                answer: None,
            });
            pushes.len() - 1
        };
        self.runtime.spawn(async move {
            let mut service = PushServiceClient::new(channel(network, source));
            let answer = service.push(request).await;
            let said = match answer {
                Ok(response) => Some(outcomes(response.into_inner())),
                Err(status) => {
                    let why = status.code();
                    let key = &pushes.lock()[place].request.key;
                    trace.say(format!("the call of {key} failed: {why:?}"));
                    None
                }
            };
            let pushed = &mut pushes.lock()[place];
            for outcome in said.iter().flatten() {
                let Outcome { user, status, code } = outcome;
                trace.say(format!(
                    "{} for {user}: {status:?} {code}",
                    pushed.request.key
                ));
            }
            pushed.answer = Some((time.ms(), said));
        });
    }
}
