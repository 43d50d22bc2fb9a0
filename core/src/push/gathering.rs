//! One push of a caller, and what becomes of it for all of its receivers.

use std::sync::Arc;
use std::time::Instant;

use linkgate_filter::Fault;
use linkgate_proto::v1;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::ear::{Ear, Hear};
use super::message::Push;
use super::outcome::ReceiverOutcome;
use super::requests;
use super::router::Router;

/// Gathers the outcomes of a push. What is under way goes on if it is dropped.
pub(super) struct Gathering {
    push: Push,
    receivers: Vec<String>,
    ends: Arc<Ends>,
}

/// By receiver.
#[derive(Default)]
struct Ends {
    said: Mutex<Said>,
    all: Notify,
}

#[derive(Default)]
struct Said {
    outcomes: Vec<Option<ReceiverOutcome>>,
    open: usize,
}

impl Hear for Ends {
    fn hear(&self, number: u64, outcome: ReceiverOutcome) {
        let mut said = self.said.lock();
        let place = usize::try_from(number).ok();
        let Some(place) = place.and_then(|place| said.outcomes.get_mut(place)) else {
            return;
        };
        *place = Some(outcome);
        said.open -= 1;
        let is_last = said.open == 0;
        drop(said);
        if is_last {
            self.all.notify_one();
        }
    }
}

impl Gathering {
    /// Sends a push to all of its receivers, in their order.
    ///
    /// # Errors
    /// As [`Router::admit`].
    pub(super) fn begin(
        router: &Router,
        push: Push,
        receivers: Vec<String>,
    ) -> Result<Self, Fault> {
        let weighed = router.admit(push.clone())?;
        let ends = Arc::new(Ends::default());
        *ends.said.lock() = Said {
            outcomes: vec![None; receivers.len()],
            open: receivers.len(),
        };
        for (number, receiver) in (0..).zip(&receivers) {
            let ear = Ear::new(Arc::clone(&ends) as _, number);
            let user = (Arc::clone(&weighed.biz_id), receiver.as_str().into());
            if let Some(outcome) = router.send(&weighed, &user, ear) {
                router.metrics().ended(outcome.status);
                ends.hear(number, outcome);
            }
        }
        Ok(Self {
            push,
            receivers,
            ends,
        })
    }

    /// The answer when all is known; with what is known at `until`, when the caller's patience ends, if that comes first.
    pub(super) async fn answer(self, router: &Router, until: Option<Instant>) -> v1::PushResponse {
        let all = async {
            while self.ends.said.lock().open > 0 {
                self.ends.all.notified().await;
            }
        };
        match until {
            None => all.await,
            Some(until) => tokio::select! {
                biased;
                () = all => {}
                () = router.clock().sleep_until(until) => {}
            },
        }
        let outcomes = std::mem::take(&mut self.ends.said.lock().outcomes);
        let outcomes = self.receivers.into_iter().zip(outcomes);
        let outcome = |(receiver, outcome): (String, Option<ReceiverOutcome>)| {
            let outcome = outcome.unwrap_or_else(ReceiverOutcome::unsettled);
            requests::outcome(receiver, outcome)
        };
        v1::PushResponse {
            key: self.push.key.to_string(),
            biz_id: self.push.biz_id.to_string(),
            outcomes: outcomes.map(outcome).collect(),
            fault: None,
        }
    }
}
