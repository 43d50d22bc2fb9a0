//! Messages from clients: each is sent, and answered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use linkgate_client::{Ended, decode, encode};
use linkgate_filter::Form;
use linkgate_proto::v1::{Command, Message};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_tungstenite::tungstenite;

use super::Wire;
use super::open::Link;
use super::stats::Shared;

/// When a link sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// So many messages at once, the next as soon as all are answered.
    Depth(u32),
    /// One each so often, whether or not the last is answered. Latency counts from the time at which a message was due.
    Every(Duration),
}

/// Messages without an answer that a link at a pace has at most; what would be due then counts as an error.
const MAX_UNANSWERED: usize = 4096;

/// One link's load.
pub(super) struct Load {
    pub(super) shared: Arc<Shared>,
    pub(super) wire: Wire,
    pub(super) body: Bytes,
    pub(super) pace: Pace,
    /// How long an answer may take before the link is given up.
    pub(super) patience: Duration,
    pub(super) next: u64,
}

/// Why a link is over before the load is.
enum Over {
    Ended(Ended),
    Silent(Duration),
}

impl From<Ended> for Over {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

impl Load {
    /// Runs until the load ends or the link does.
    pub(super) async fn run(mut self, mut link: Link) {
        let over = match self.pace {
            Pace::Depth(depth) => self.rounds(&mut link, depth).await,
            Pace::Every(every) => self.paced(&mut link, every).await,
        };
        match over {
            Ok(()) => link.socket.close().await,
            Err(Over::Ended(ended)) => self.shared.error(format!("link lost: {ended}")),
            Err(Over::Silent(after)) => self
                .shared
                .error(format!("link given up: no answer within {after:?}")),
        }
    }

    async fn rounds(&mut self, link: &mut Link, depth: u32) -> Result<(), Over> {
        let mut latencies = Vec::with_capacity(depth as usize);
        loop {
            let count = self.shared.take(depth);
            if count == 0 {
                return Ok(());
            }
            let measured = self.shared.measuring();
            let start = Instant::now();
            for _ in 0..count {
                let frame = self.frame();
                link.socket.feed_frame(frame).await?;
            }
            link.socket.flush().await?;
            let deadline = start + self.patience;
            for _ in 0..count {
                let frame = timeout_at(deadline, link.socket.next_frame()).await;
                let frame = frame.map_err(|_| Over::Silent(self.patience))??;
                if self.answer(frame).accepted {
                    latencies.push(start.elapsed());
                }
            }
            if measured {
                self.shared.done(latencies.len() as u64);
                self.shared
                    .latency
                    .record(link.number, latencies.iter().copied());
            }
            latencies.clear();
        }
    }

    async fn paced(&mut self, link: &mut Link, every: Duration) -> Result<(), Over> {
        let mut due = Instant::now() + every.mul_f64(fastrand::f64());
        let mut unanswered = VecDeque::new();
        let stop = self.shared.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                frame = link.socket.next_frame() => self.answered(link.number, frame?, &mut unanswered),
                () = sleep_until(due) => {
                    self.send_due(link, &mut due, every, &mut unanswered).await?;
                }
            }
        }
        while !unanswered.is_empty() {
            let frame = timeout(self.patience, link.socket.next_frame()).await;
            self.answered(
                link.number,
                frame.map_err(|_| Over::Silent(self.patience))??,
                &mut unanswered,
            );
        }
        Ok(())
    }

    /// Sends all that is due by now in one write.
    async fn send_due(
        &mut self,
        link: &mut Link,
        due: &mut Instant,
        every: Duration,
        unanswered: &mut VecDeque<Unanswered>,
    ) -> Result<(), Over> {
        let now = Instant::now();
        while *due <= now {
            if unanswered.len() >= MAX_UNANSWERED {
                self.shared.error("not sent: too many without an answer");
            } else if self.shared.take(1) == 1 {
                unanswered.push_back(Unanswered {
                    number: self.next,
                    due: *due,
                    measured: self.shared.measuring(),
                });
                let frame = self.frame();
                link.socket.feed_frame(frame).await?;
            }
            *due += every;
        }
        link.socket.flush().await?;
        Ok(())
    }

    fn answered(
        &self,
        link: usize,
        frame: tungstenite::Message,
        unanswered: &mut VecDeque<Unanswered>,
    ) {
        let answer = self.answer(frame);
        let at = match answer.number {
            Some(number) => unanswered.iter().position(|sent| sent.number == number),
            None => Some(0),
        };
        let Some(sent) = at.and_then(|at| unanswered.remove(at)) else {
            return self.shared.error("an answer to nothing");
        };
        if !answer.accepted {
            return;
        }
        if sent.measured {
            self.shared.done(1);
            self.shared.latency.record(link, [sent.due.elapsed()]);
        }
    }

    fn frame(&mut self) -> tungstenite::Message {
        let key = self.next;
        self.next += 1;
        match self.wire {
            Wire::Raw => tungstenite::Message::Binary(self.body.clone()),
            Wire::Proto | Wire::Json => {
                let form = if self.wire == Wire::Json {
                    Form::Json
                } else {
                    Form::Protobuf
                };
                let message = Message {
                    cmd: Command::UpstreamMessage.into(),
                    key: key.to_string(),
                    body: self.body.clone(),
                    fault: None,
                };
                encode(form, &message)
            }
        }
    }

    /// Reads an answer and counts what is wrong with it.
    fn answer(&self, frame: tungstenite::Message) -> Answer {
        if self.wire == Wire::Raw {
            return Answer {
                number: None,
                accepted: true,
            };
        }
        let (number, error) = match decode(frame) {
            Ok(message) => (message.key.parse().ok(), refusal(&message)),
            Err(garbage) => (None, Some(format!("answered with {garbage}"))),
        };
        let accepted = error.is_none();
        error.into_iter().for_each(|kind| self.shared.error(kind));
        Answer { number, accepted }
    }
}

/// Why a message was not accepted.
fn refusal(message: &Message) -> Option<String> {
    match message.cmd() {
        // The message itself comes back where an echo stands behind a codec alone.
        Command::UpstreamAck | Command::UpstreamMessage => None,
        cmd => {
            let code = message
                .fault
                .as_ref()
                .map_or("without a fault", |fault| &fault.code);
            Some(format!("{} {code}", cmd.as_str_name()))
        }
    }
}

struct Answer {
    /// Of the message, as far as the answer names it.
    number: Option<u64>,
    accepted: bool,
}

struct Unanswered {
    number: u64,
    due: Instant,
    measured: bool,
}
