//! Users who acknowledge what comes, and come back when they are cut off.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use linkgate_client::{Event, Options, Session};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::world::{Member, eventually};
use crate::common::gateway::target;

/// How often each key has come.
type Came = Arc<Mutex<HashMap<String, u32>>>;

#[derive(Default)]
pub(super) struct Users {
    came: Came,
    tasks: Vec<JoinHandle<()>>,
}

impl Users {
    /// Lets users log in at a node, and waits until each can be pushed to.
    pub(super) async fn log_in(&mut self, node: &Member, users: &[String]) {
        let mut waiting = Vec::new();
        for user in users {
            let options = Options {
                backoff: Duration::from_millis(50),
                ..Options::default()
            };
            let (mut session, mut events) = Session::start(target(node.at.clients, user), options);
            let (told, is_there) = tokio::sync::oneshot::channel();
            let came = Arc::clone(&self.came);
            self.tasks.push(tokio::spawn(async move {
                // It is answered as soon as the link is served.
                session.send("there".into()).await;
                let mut told = Some(told);
                while let Some(event) = events.recv().await {
                    match event {
                        Event::Acked { .. } => drop(told.take().map(|told| told.send(()))),
                        Event::Push { key, .. } => *came.lock().entry(key).or_default() += 1,
                        _ => {}
                    }
                }
            }));
            waiting.push(is_there);
        }
        for is_there in waiting {
            crate::common::wait::within("a user is logged in", is_there)
                .await
                .unwrap();
        }
    }

    /// How many keys have come.
    pub(super) fn keys(&self) -> usize {
        self.came.lock().len()
    }

    /// Whether a key has come.
    pub(super) fn has(&self, key: &str) -> bool {
        self.came.lock().contains_key(key)
    }

    /// Waits until so many keys have come.
    pub(super) async fn have(&self, number: usize) {
        eventually("pushes have come", async || match self.keys() {
            some if some >= number => Ok(()),
            some => Err(format!("{some} of {number}")),
        })
        .await;
    }

    /// How many keys came more than once.
    pub(super) fn twice(&self) -> usize {
        self.came
            .lock()
            .values()
            .filter(|times| **times > 1)
            .count()
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// So many names.
pub(super) fn names(prefix: &str, number: usize) -> Vec<String> {
    (0..number)
        .map(|number| format!("{prefix}{number}"))
        .collect()
}
