//! From a message to a call, and from its end to outcomes.

use linkgate_filter::{Effect, Fault, Message, Outcome};
use linkgate_proto::v1::BatchOnReceiveResponse;
use tokio::time::Instant;

use crate::answer;
use crate::batch;
use crate::call::Caller;
use crate::metadata;
use crate::rpc::{Many, One};
use crate::status;

impl Caller {
    /// Calls the backend with the message and settles it, each part by its own result.
    pub(crate) async fn deliver(&self, m: Message, seed: u64) {
        let deadline = Instant::now() + *self.config.deadline;
        if m.parts().is_empty() {
            self.deliver_one(m, deadline, seed).await;
        } else {
            self.deliver_many(m, deadline, seed).await;
        }
    }

    async fn deliver_one(&self, m: Message, deadline: Instant, seed: u64) {
        let metadata = metadata::of(&self.config.metadata, &m);
        let outcome = match self.call(&One::of(&m), metadata, deadline, seed).await {
            Ok(answer) => answer::read(answer),
            Err(fault) => Outcome::from_fault(fault),
        };
        m.settle(outcome);
    }

    /// Parts that are too large together are halved and sent one half after the other, so that their order is kept.
    async fn deliver_many(&self, mut m: Message, deadline: Instant, seed: u64) {
        let mut ended = Outcome::accepted(Vec::new());
        // The next ones last.
        let mut left = vec![m.take_parts()];
        while let Some(mut parts) = left.pop() {
            let fault = match self.call_many(&parts, deadline, seed).await {
                Ok(answer) => {
                    self.settle_each(parts, answer);
                    continue;
                }
                Err(fault) if fault.code == status::TOO_LARGE && parts.len() > 1 => {
                    if fault.effect == Effect::None && Instant::now() < deadline {
                        let second = parts.split_off(parts.len() / 2);
                        left.extend([second, parts]);
                        continue;
                    }
                    let effect = fault.effect;
                    Fault {
                        effect,
                        ..batch_too_large()
                    }
                }
                Err(fault) => fault,
            };
            ended = Outcome::from_fault(fault);
            for part in parts {
                part.settle(ended.clone());
            }
        }
        m.settle(ended);
    }

    async fn call_many(
        &self,
        parts: &[Message],
        deadline: Instant,
        seed: u64,
    ) -> Result<BatchOnReceiveResponse, Fault> {
        if Instant::now() >= deadline {
            // The halves before have used it up.
            return Err(batch_too_large());
        }
        let metadata = metadata::of_batch(&self.config.metadata, &self.biz_id);
        self.call(&Many::of(parts), metadata, deadline, seed).await
    }

    fn settle_each(&self, parts: Vec<Message>, answer: BatchOnReceiveResponse) {
        let keys: Vec<_> = parts.iter().map(|part| part.key.as_str()).collect();
        let (outcomes, mismatched) = batch::outcomes(&keys, answer.results);
        self.events.mismatched.add(mismatched);
        for (part, outcome) in parts.into_iter().zip(outcomes) {
            part.settle(outcome);
        }
    }
}

/// No message is too large, as far as is known, but all together are, and cannot be sent apart any more.
fn batch_too_large() -> Fault {
    Fault::gateway(status::TOO_LARGE)
        .retryable()
        .detail("the batch is larger than the backend reads: lower `batch.max_bytes`")
}
