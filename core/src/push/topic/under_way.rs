//! Pushes of a source that are under way, and what has become of them since it last looked.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::landed::Name;
use super::lines::Waiting;
use crate::push::ear::{Ear, Hear};
use crate::push::outcome::ReceiverOutcome;

/// Has no copy of a push: one may be parked and taken up again many times before its links say anything.
#[derive(Default)]
pub(super) struct UnderWay {
    pushes: HashMap<u64, (Waiting, Name)>,
    latest: u64,
    news: Arc<News>,
}

/// What links have said: of each push once.
#[derive(Default)]
struct News {
    said: Mutex<Vec<(u64, ReceiverOutcome)>>,
    bell: Notify,
}

impl Hear for News {
    fn hear(&self, number: u64, outcome: ReceiverOutcome) {
        let mut said = self.said.lock();
        said.push((number, outcome));
        let is_first = said.len() == 1;
        drop(said);
        if is_first {
            self.bell.notify_one();
        }
    }
}

impl UnderWay {
    /// A push sets out; its outcome is told under this number.
    pub(super) fn begin(&mut self, waiting: Waiting, name: Name) -> (u64, Ear) {
        self.latest += 1;
        self.pushes.insert(self.latest, (waiting, name));
        (
            self.latest,
            Ear::new(Arc::clone(&self.news) as _, self.latest),
        )
    }

    /// It is under way no more.
    pub(super) fn forget(&mut self, number: u64) -> Option<(Waiting, Name)> {
        self.pushes.remove(&number)
    }

    /// What has been said since it was last asked; ends when there is something. Nothing is lost when it is dropped.
    pub(super) async fn said(&self) -> Vec<(u64, ReceiverOutcome)> {
        loop {
            let said = std::mem::take(&mut *self.news.said.lock());
            if !said.is_empty() {
                return said;
            }
            self.news.bell.notified().await;
        }
    }
}
