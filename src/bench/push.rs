//! Pushes to clients: each is pushed by the push service, arrives, is acknowledged, and has its outcome.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use linkgate_client::{Ended, decode};
use linkgate_proto::v1::receiver_outcome::Status;
use linkgate_proto::v1::{Command, Message, PushRequest, PushResponse};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite;

use super::open::Link;
use super::stats::Shared;
use super::upstream::Pace;
use super::way::{Arrivals, Way};

/// The load of all links.
pub(super) struct Pushes {
    pub(super) shared: Arc<Shared>,
    pub(super) way: Way,
    pub(super) biz_id: String,
    /// The user of each link.
    pub(super) users: Vec<(usize, String)>,
    /// Tells the keys of this run from those of another, beside it or before it.
    pub(super) run: u32,
    pub(super) size: usize,
    pub(super) pace: Pace,
    pub(super) patience: Duration,
    /// Times in bodies count from here.
    pub(super) epoch: Instant,
}

impl Pushes {
    /// Pushes until the load ends, then waits for the outcomes that are missing.
    pub(super) async fn run(self) {
        let pushes = Arc::new(self);
        let mut tasks = JoinSet::new();
        for place in 0..pushes.users.len() {
            match pushes.pace {
                Pace::Depth(depth) => (0..depth).for_each(|slot| {
                    tasks.spawn(Arc::clone(&pushes).one_after_another(place, slot));
                }),
                Pace::Every(every) => {
                    tasks.spawn(Arc::clone(&pushes).paced(place, every));
                }
            }
        }
        tasks.join_all().await;
    }

    async fn one_after_another(self: Arc<Self>, place: usize, slot: u32) {
        let mut count = 0_u64;
        while self.shared.take(1) == 1 {
            count += 1;
            self.push(place, format!("{slot}.{count}"), Instant::now())
                .await;
        }
    }

    async fn paced(self: Arc<Self>, place: usize, every: Duration) {
        let mut due = Instant::now() + every.mul_f64(fastrand::f64());
        let (mut count, mut under_way) = (0_u64, JoinSet::new());
        loop {
            tokio::select! {
                () = self.shared.stop.cancelled() => break,
                () = sleep_until(due) => {
                    if self.shared.take(1) == 1 {
                        count += 1;
                        let (pushes, at) = (Arc::clone(&self), due);
                        under_way.spawn(async move { pushes.push(place, count.to_string(), at).await });
                    }
                    due += every;
                }
                Some(_) = under_way.join_next() => {}
            }
        }
        under_way.join_all().await;
    }

    async fn push(&self, place: usize, key: String, due: Instant) {
        let (link, user) = &self.users[place];
        let measured = self.shared.measuring();
        let request = PushRequest {
            key: format!("{:08x}.{link}.{key}", self.run),
            biz_id: self.biz_id.clone(),
            receiver_ids: vec![user.clone()],
            body: self.body(due, measured),
            ..PushRequest::default()
        };
        match timeout(self.patience, self.way.push(request)).await {
            Ok(Some(answer)) => self.ended(*link, &answer, measured.then_some(due)),
            Ok(None) => {
                self.shared
                    .error("push: there is no way for pushes any more");
                self.shared.stop.cancel();
            }
            Err(_) => self
                .shared
                .error(format!("push: no outcome within {:?}", self.patience)),
        }
    }

    fn ended(&self, link: usize, answer: &PushResponse, measured: Option<Instant>) {
        let outcome = answer.outcomes.first();
        if outcome.is_some_and(|outcome| outcome.status() == Status::Delivered) {
            if let Some(due) = measured {
                self.shared.done(1);
                self.shared.outcome.record(link, [due.elapsed()]);
            }
            return;
        }
        let reason = outcome
            .and_then(|outcome| outcome.reason.as_ref())
            .or(answer.fault.as_ref());
        let status = outcome
            .map_or(Status::Rejected, |outcome| outcome.status())
            .as_str_name();
        self.shared.error(format!(
            "push: {status} {}",
            reason.map_or("", |fault| &fault.code)
        ));
    }

    /// When the push was due, in microseconds and 0 while warming up, filled up to the size.
    fn body(&self, due: Instant, measured: bool) -> Bytes {
        let mut body = BytesMut::with_capacity(self.size.max(8));
        let since = if measured {
            due.saturating_duration_since(self.epoch).as_micros()
        } else {
            0
        };
        body.put_u64(u64::try_from(since).unwrap_or(0));
        body.resize(self.size.max(8), b'x');
        body.freeze()
    }
}

/// A client's end: takes what comes and acknowledges pushes, all that are there in one write, until it is to hang up.
pub(super) async fn listen(
    mut link: Link,
    shared: Arc<Shared>,
    arrivals: Arc<Arrivals>,
    epoch: Instant,
) {
    let hang_up = shared.hang_up.clone();
    tokio::select! {
        ended = receive(&mut link, &shared, &arrivals, epoch) => {
            if let Err(ended) = ended {
                shared.error(format!("link lost: {ended}"));
            }
        }
        () = hang_up.cancelled() => link.socket.close().await,
    }
}

async fn receive(
    link: &mut Link,
    shared: &Shared,
    arrivals: &Arrivals,
    epoch: Instant,
) -> Result<(), Ended> {
    loop {
        let mut frame = Some(link.socket.next_frame().await);
        while let Some(arrived) = frame {
            if let Some(ack) = arrival(arrived?, link.number, shared, epoch) {
                arrivals.note(&ack.key);
                link.socket.feed(&ack).await?;
            }
            frame = link.socket.ready_frame();
        }
        link.socket.flush().await?;
    }
}

/// Notes a push; gives its acknowledgement.
fn arrival(
    frame: tungstenite::Message,
    link: usize,
    shared: &Shared,
    epoch: Instant,
) -> Option<Message> {
    let push = match decode(frame) {
        Ok(push) => push,
        Err(garbage) => {
            shared.error(format!("received {garbage}"));
            return None;
        }
    };
    if push.cmd() != Command::DownstreamMessage {
        return None;
    }
    let stamp = push
        .body
        .first_chunk()
        .map_or(0, |stamp| u64::from_be_bytes(*stamp));
    if stamp > 0 {
        let since = epoch.elapsed().saturating_sub(Duration::from_micros(stamp));
        shared.latency.record(link, [since]);
    }
    Some(Message {
        cmd: Command::DownstreamAck.into(),
        body: Bytes::new(),
        ..push
    })
}
