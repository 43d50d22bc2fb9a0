//! From messages to the broker, in order, and from its word to outcomes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use futures_channel::oneshot;
use futures_util::future::{join_all, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use linkgate_filter::broker::{Delivery, Full, Record};
use linkgate_filter::trace::TraceId;
use linkgate_filter::{Context, EdgeError, Fault, Identity, Message, Outcome, Verdict};

use crate::{MqUpstreamFilter, Writer, record};

/// What of a message is still to be handed over.
pub enum Pending {
    /// A plain message.
    One(Record),
    /// A joined one.
    Many {
        /// Records, and the parts in each.
        jobs: VecDeque<(Record, Vec<Message>)>,
        /// End when the parts that were handed over before have settled.
        earlier: Vec<oneshot::Receiver<()>>,
    },
}

/// The broker took no records for as long as messages may wait.
pub(crate) fn full() -> Fault {
    Fault::gateway("mq.full")
        .retryable()
        .detail("the broker takes no more records")
}

fn outcome(delivered: Result<(), EdgeError>) -> Outcome {
    match delivered {
        Ok(()) => Outcome::accepted(Vec::new()),
        Err(error) => Outcome::from_fault(error.fault("mq")),
    }
}

impl Writer {
    /// The records of a message, whose parts are taken out.
    pub(crate) fn pending(&self, m: &mut Message) -> Pending {
        if m.parts().is_empty() {
            return Pending::One(self.record(m));
        }
        let parts = m.take_parts();
        let jobs = if self.config.envelope {
            self.envelopes(parts)
        } else {
            let job = |part| (self.record(&part), vec![part]);
            parts.into_iter().map(job).collect()
        };
        let earlier = Vec::new();
        Pending::Many { jobs, earlier }
    }

    fn trace(&self) -> TraceId {
        TraceId::new(self.config.trace_sampling)
    }

    fn record(&self, m: &Message) -> Record {
        record::single(m, &self.topic, self.trace())
    }

    /// An envelope for each user, in the order of their first messages; several where one would be too large.
    fn envelopes(&self, parts: Vec<Message>) -> VecDeque<(Record, Vec<Message>)> {
        let most = self.config.max_envelope.as_usize();
        let mut envelopes: Vec<(usize, Vec<Message>)> = Vec::new();
        let mut open: HashMap<Identity, usize> = HashMap::new();
        for part in parts {
            let size = record::enveloped_size(&part);
            let user = Identity {
                device_id: None,
                ..part.link.identity.clone()
            };
            match open.get(&user).and_then(|at| envelopes.get_mut(*at)) {
                Some((filled, messages)) if *filled + size <= most => {
                    *filled += size;
                    messages.push(part);
                }
                _ => {
                    open.insert(user, envelopes.len());
                    envelopes.push((size, vec![part]));
                }
            }
        }
        let job = |(_, messages): (usize, Vec<Message>)| {
            let record = record::envelope(&messages, &self.topic, self.trace())?;
            Some((record, messages))
        };
        envelopes.into_iter().filter_map(job).collect()
    }
}

impl MqUpstreamFilter {
    /// Hands over what there is room for; the rest waits.
    pub(crate) fn hand_over(
        &mut self,
        writer: &Arc<Writer>,
        m: Message,
        pending: Pending,
        cx: &mut Context<'_, MqUpstreamFilter>,
    ) -> Verdict {
        match pending {
            Pending::One(record) => match self.send(writer, record) {
                Ok(delivery) => {
                    cx.spawn(async move {
                        m.settle(outcome(delivery.await));
                    });
                    Verdict::Done
                }
                Err(Full(record)) => self.hold(writer, m, Pending::One(record), cx),
            },
            Pending::Many { mut jobs, earlier } => {
                let mut sent = Vec::new();
                while let Some((record, parts)) = jobs.pop_front() {
                    match self.send(writer, record) {
                        Ok(delivery) => sent.push((delivery, parts)),
                        Err(Full(record)) => {
                            jobs.push_front((record, parts));
                            break;
                        }
                    }
                }
                if jobs.is_empty() {
                    finish(m, sent, earlier, cx);
                    return Verdict::Done;
                }
                let earlier = settle_apart(sent, earlier, cx);
                self.hold(writer, m, Pending::Many { jobs, earlier }, cx)
            }
        }
    }

    fn send(&mut self, writer: &Writer, record: Record) -> Result<Delivery, Full> {
        let delivery = writer.broker.send(record)?;
        self.full = None;
        writer.records.inc();
        Ok(delivery)
    }

    /// Waits for room, unless the broker has taken nothing for too long.
    fn hold(
        &mut self,
        writer: &Arc<Writer>,
        m: Message,
        pending: Pending,
        cx: &mut Context<'_, MqUpstreamFilter>,
    ) -> Verdict {
        let (now, patience) = (cx.now(), *writer.config.wait_for_room);
        let lately = |(_, seen): &(Instant, Instant)| now <= *seen + patience;
        let since = self.full.filter(lately).map_or(now, |(since, _)| since);
        self.full = Some((since, now));
        let until = since + patience;
        if now >= until {
            return give_up(m, pending, cx);
        }
        writer.held.inc();
        let (room, over) = (writer.broker.room(), cx.clock().sleep_until(until));
        cx.wait(async move {
            select(room, over).await;
            (m, pending)
        })
    }
}

/// What was not handed over has certainly had no effect.
fn give_up(m: Message, pending: Pending, cx: &mut Context<'_, MqUpstreamFilter>) -> Verdict {
    let Pending::Many { jobs, earlier } = pending else {
        return Verdict::Refuse(m, full());
    };
    for part in jobs.into_iter().flat_map(|(_, parts)| parts) {
        cx.settle(part, Outcome::Failed(full()));
    }
    finish(m, Vec::new(), earlier, cx);
    Verdict::Done
}

/// Parts that are on their way, and what is to become of them.
type Sent = Vec<(Delivery, Vec<Message>)>;

/// Settles each part when its record has an outcome.
async fn settle(sent: Sent) {
    let deliveries = sent
        .into_iter()
        .map(|(delivery, parts)| async move { (delivery.await, parts) });
    let mut deliveries: FuturesUnordered<_> = deliveries.collect();
    while let Some((delivered, parts)) = deliveries.next().await {
        let outcome = outcome(delivered);
        for part in parts {
            part.settle(outcome.clone());
        }
    }
}

/// Settles parts while the rest of their message waits for room.
fn settle_apart(
    sent: Sent,
    mut earlier: Vec<oneshot::Receiver<()>>,
    cx: &mut Context<'_, MqUpstreamFilter>,
) -> Vec<oneshot::Receiver<()>> {
    if !sent.is_empty() {
        let (settled, is_settled) = oneshot::channel();
        cx.spawn(async move {
            settle(sent).await;
            drop(settled);
        });
        earlier.push(is_settled);
    }
    earlier
}

/// Settles the last parts, and the joined message after all of them.
fn finish(
    m: Message,
    sent: Sent,
    earlier: Vec<oneshot::Receiver<()>>,
    cx: &mut Context<'_, MqUpstreamFilter>,
) {
    cx.spawn(async move {
        settle(sent).await;
        join_all(earlier).await;
        m.settle(Outcome::accepted(Vec::new()));
    });
}
