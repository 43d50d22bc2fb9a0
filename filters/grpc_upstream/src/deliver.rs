//! From a message to a call, and from its end to outcomes.

use linkgate_filter::trace::link_id;
use linkgate_filter::{Fault, Message, Outcome};

use crate::answer;
use crate::batch;
use crate::call::Caller;
use crate::metadata;
use crate::rpc::{Many, One, request};

impl Caller {
    /// Calls the backend with the message and settles it, each part by its own result.
    pub(crate) async fn deliver(&self, m: Message, seed: u64) {
        if m.parts().is_empty() {
            self.deliver_one(m, seed).await;
        } else {
            self.deliver_many(m, seed).await;
        }
    }

    async fn deliver_one(&self, m: Message, seed: u64) {
        let metadata = metadata::of(&m.link.identity, &link_id(&m.link), &m.key);
        let outcome = match self.call(&One(request(&m)), metadata, seed).await {
            Ok(answer) => answer::read(answer),
            Err(fault) => Outcome::from_fault(fault),
        };
        m.settle(outcome);
    }

    async fn deliver_many(&self, mut m: Message, seed: u64) {
        let metadata = metadata::of_batch(&self.biz_id);
        let items = Many(m.parts().iter().map(request).collect());
        match self.call(&items, metadata, seed).await {
            Ok(answer) => {
                let parts = m.take_parts();
                let keys: Vec<_> = parts.iter().map(|part| part.key.as_str()).collect();
                let (outcomes, mismatched) = batch::outcomes(&keys, answer.results);
                self.events.mismatched.add(mismatched);
                for (part, outcome) in parts.into_iter().zip(outcomes) {
                    part.settle(outcome);
                }
                m.settle(Outcome::accepted(Vec::new()));
            }
            Err(fault) if fault.code == "grpc.too_large" && items.0.len() > 1 => {
                // The batch is, and none of its messages need be.
                let fault = Fault::gateway("grpc.too_large")
                    .retryable()
                    .detail("the batch is larger than the backend reads: `batch.max_bytes` is to be lowered");
                m.settle(Outcome::from_fault(fault));
            }
            Err(fault) => m.settle(Outcome::from_fault(fault)),
        }
    }
}
