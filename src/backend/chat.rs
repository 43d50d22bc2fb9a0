//! Chat between users: a body `{"to": "bob", "text": "hi"}` is pushed to that user of the same bizID, and the sender is
//! told by a push what became of it. A letter to a user who is offline is kept for a while and tried again.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use linkgate_client::Pusher;
use linkgate_proto::v1::receiver_outcome::Status as Outcome;
use linkgate_proto::v1::{OnReceiveRequest, PushRequest, PushResponse};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tonic::Status;

use super::watch::{Seen, Watch};

/// Keys that are remembered, so that a message that comes again is not sent on again.
const REMEMBERED: usize = 10_000;
/// Letters to users who are offline that are kept; others are given up at once.
const KEPT: usize = 1_000;
/// How often a letter that is kept is tried again.
const TRIES: u32 = 120;

/// Sends what users write on to each other.
#[derive(Clone, Debug)]
pub(crate) struct Chat {
    pusher: Pusher,
    seen: Arc<Mutex<Remembered>>,
    room: Arc<Semaphore>,
    /// Between two tries of a letter that is kept.
    pub(super) again_after: Duration,
}

#[derive(Deserialize)]
struct Letter {
    to: String,
    text: String,
}

/// What users are pushed.
#[derive(Serialize)]
#[serde(untagged)]
enum News<'a> {
    Letter {
        from: &'a str,
        text: &'a str,
        key: &'a str,
    },
    /// What became of the letter with this key.
    State { about: &'a str, state: &'a str },
}

impl Chat {
    /// Sends on by `pusher`.
    pub(crate) fn new(pusher: Pusher) -> Self {
        Self {
            pusher,
            seen: Arc::default(),
            room: Arc::new(Semaphore::new(KEPT)),
            again_after: Duration::from_secs(1),
        }
    }

    /// Takes a letter: when this returns it is on its way, or it was before.
    pub(super) fn receive(&self, message: &OnReceiveRequest, watch: &Watch) -> Result<(), Status> {
        // Whatever else a client writes is accepted: who tries things out types a word first.
        let Ok(letter) = serde_json::from_slice::<Letter>(&message.body) else {
            return Ok(());
        };
        let id = format!("{}\0{}\0{}", message.biz_id, message.user_id, message.key);
        if !self.seen.lock().insert(id.clone()) {
            return Ok(());
        }
        let (from, key) = (&message.user_id, &message.key);
        let news = News::Letter {
            from,
            text: &letter.text,
            key,
        };
        let push = push(message, "letter", &letter.to, &news);
        let sent = self.pusher.try_push(push.clone());
        let outcome = sent.map_err(|busy| {
            self.seen.lock().remove(&id);
            Status::resource_exhausted(busy.to_string())
        })?;
        let (chat, message, watch) = (self.clone(), message.clone(), watch.clone());
        // The gateway bounds the time of a push, the pusher their number.
        tokio::spawn(async move {
            if let Ok(answer) = outcome.await {
                let state = state(&answer);
                chat.tell(&message, &letter.to, state, &watch).await;
                if state == OFFLINE
                    && let Some(state) = chat.keep(push).await
                {
                    chat.tell(&message, &letter.to, state, &watch).await;
                }
            }
        });
        Ok(())
    }

    /// Tries again until the receiver is there: gives what became of it, or `None` if it is given up.
    async fn keep(&self, push: PushRequest) -> Option<&'static str> {
        let _room = self.room.try_acquire().ok()?;
        for _ in 0..TRIES {
            sleep(self.again_after).await;
            let outcome = self.pusher.push(push.clone()).await.ok()?;
            let state = state(&outcome.await.ok()?);
            if state != OFFLINE {
                return Some(state);
            }
        }
        None
    }

    async fn tell(&self, message: &OnReceiveRequest, to: &str, state: &str, watch: &Watch) {
        let key = &message.key;
        watch.see(Seen::Pushed { key, to, state });
        let news = News::State { about: key, state };
        self.pusher
            .push(push(message, state, &message.user_id, &news))
            .await
            .ok();
    }
}

/// A push about `message`. Its key is derived from the message's, so that pushing again joins the first push.
fn push(message: &OnReceiveRequest, kind: &str, to: &str, news: &News<'_>) -> PushRequest {
    PushRequest {
        key: format!("{kind}:{}:{}", message.user_id, message.key),
        biz_id: message.biz_id.clone(),
        receiver_ids: vec![to.to_owned()],
        // Strings always are JSON.
        body: serde_json::to_vec(news).unwrap_or_default().into(),
        ..PushRequest::default()
    }
}

const OFFLINE: &str = "offline";

/// The outcome for the only receiver in one word.
fn state(answer: &PushResponse) -> &'static str {
    match answer.outcomes.first().map(|outcome| outcome.status()) {
        Some(Outcome::Delivered) => "delivered",
        Some(Outcome::Sent) => "sent",
        Some(Outcome::Offline) => OFFLINE,
        Some(Outcome::Expired) => "expired",
        Some(Outcome::Rejected | Outcome::Unspecified) | None => "rejected",
    }
}

#[derive(Debug, Default)]
struct Remembered {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Remembered {
    /// Whether it is new.
    fn insert(&mut self, id: String) -> bool {
        if !self.ids.insert(id.clone()) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }

    fn remove(&mut self, id: &str) {
        self.ids.remove(id);
        self.order.retain(|other| other != id);
    }
}
