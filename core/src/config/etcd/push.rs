//! Writing: pushes and roll-backs. Each is refused if somebody else has changed something meanwhile.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use linkgate_filter::Clock;

use super::client::Etcd;
use super::commit::{Guards, changed_meanwhile};
use super::error::PushError;
use super::keys::check_name;
use super::keys::{MOST_BYTES, MOST_DOCUMENTS};
use super::plan::{Past, Plan, hashes, transactions};
use super::snapshot::{Head, LARGEST, Snapshot};
use crate::clock::SystemClock;
use crate::edges::etcd::{EtcdError, Of, Refusal, Step};

/// The largest head: it is written twice in one transaction.
const LARGEST_HEAD: usize = 650_000;

/// What is to be below the prefix, all of it: a document that is not named is removed.
#[derive(Clone, Default)]
pub struct Push {
    /// The texts by name.
    pub documents: BTreeMap<String, String>,
    /// Where the push does not fit one transaction: the documents that others need, in the order in which they are
    /// written before these.
    pub first: Vec<String>,
    /// Who pushes.
    pub by: String,
    /// What for.
    pub note: String,
}

/// What a push has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The new head, or the one that was there if nothing differed.
    pub head: Head,
    /// The documents that were new or different.
    pub written: Vec<String>,
    /// Those that are gone.
    pub removed: Vec<String>,
}

impl Etcd {
    /// Writes the documents that differ from `expected`, removes those that `push` does not name, and notes all as the next
    /// generation; writes nothing if nothing differs. `expected` is what the caller read and showed to whoever pushes.
    ///
    /// # Errors
    /// If somebody has changed a document or pushed since `expected` was read, if the documents could not be read by a node,
    /// or if etcd does not answer. Nothing is written then, but for [`PushError::Interrupted`] and [`PushError::Unknown`].
    pub async fn push(&self, expected: &Snapshot, push: &Push) -> Result<Pushed, PushError> {
        check(push)?;
        let hashes = hashes(&push.documents);
        if let Some(head) = expected.head()
            && head.documents == hashes
            && expected.is_whole()
        {
            return self.pushed_already(expected, head).await;
        }
        let past = self.past().await?;
        let pushing = self.connection.get(&self.keys.pushing()).await?;
        let head = Head {
            generation: past.next_generation(expected),
            at: now(),
            by: push.by.clone(),
            note: push.note.clone(),
            documents: hashes,
        };
        if serde_json::json!(head).to_string().len() > LARGEST_HEAD {
            return Err(PushError::TooMuch);
        }
        let (documents, first) = (&push.documents, &push.first);
        let plan = Plan::new(&self.keys, &past, expected, documents, first, &head);
        let names = |removed: bool| {
            let touched = plan.documents.iter();
            let names = touched.filter(|one| one.is_removed() == removed);
            names.map(|one| one.name.clone()).collect()
        };
        let pushed = Pushed {
            head,
            written: names(false),
            removed: names(true),
        };
        let guards = Guards {
            expected,
            revision: expected.revision,
            pushing: pushing.map_or(0, |(_, version)| version),
        };
        if plan.fits() {
            self.push_at_once(plan, &guards).await?;
        } else {
            self.push_in_parts(plan, guards, pushed.head.generation)
                .await?;
        }
        Ok(pushed)
    }

    /// Pushes what the documents were at an earlier generation, as a new one.
    ///
    /// # Errors
    /// If the generation is not kept, or as for [`push`](Self::push).
    pub async fn rollback(&self, to: u64, by: &str) -> Result<Pushed, PushError> {
        let snapshot = self.read().await?;
        let history = self.history().await?;
        let Some(wanted) = history.iter().find(|head| head.generation == to) else {
            let kept = history.iter().map(|head| head.generation).collect();
            return Err(PushError::NoSuchGeneration { wanted: to, kept });
        };
        let known = snapshot.hashes();
        let mut documents = BTreeMap::new();
        for (name, hash) in &wanted.documents {
            let current = snapshot.documents.get(name);
            let text = match current.and_then(|document| document.text()) {
                Some(text) if known.get(name) == Some(hash) => text.to_owned(),
                _ => {
                    let blob = self.connection.get(&self.keys.blob(hash)).await?;
                    let text = blob.and_then(|(bytes, _)| String::from_utf8(bytes).ok());
                    text.ok_or_else(|| PushError::TextIsGone {
                        generation: to,
                        document: name.clone(),
                    })?
                }
            };
            documents.insert(name.clone(), text);
        }
        let push = Push {
            documents,
            first: Vec::new(),
            by: by.to_owned(),
            note: format!("roll-back to generation {to}"),
        };
        self.push(&snapshot, &push).await
    }

    /// Nothing differs from what was read; it remains to see that it is still so.
    async fn pushed_already(&self, expected: &Snapshot, head: &Head) -> Result<Pushed, PushError> {
        let now = self.read().await?;
        if !now.is_same(expected) {
            return Err(changed_meanwhile(expected, &now));
        }
        Ok(Pushed {
            head: head.clone(),
            written: Vec::new(),
            removed: Vec::new(),
        })
    }

    async fn past(&self) -> Result<Past, EtcdError> {
        let mut past = Past {
            history: self.history().await?,
            ..Past::default()
        };
        for (range, is_history) in [(self.keys.history(), true), (self.keys.blobs(), false)] {
            let listing = self.connection.list(&range, Of::KeysAlone).await?;
            for entry in &listing.entries {
                let name = entry.key().strip_prefix(range.from.as_bytes());
                let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) else {
                    continue;
                };
                if !is_history {
                    past.blobs.insert(name.to_owned());
                } else if let Ok(generation) = name.parse() {
                    past.generations.insert(generation);
                }
            }
        }
        Ok(past)
    }

    async fn push_at_once(&self, mut plan: Plan, guards: &Guards<'_>) -> Result<(), PushError> {
        let mut steps = plan.head.clone();
        steps.extend(plan.documents.iter().map(|touched| touched.step.clone()));
        steps.append(&mut plan.blobs);
        if guards.pushing != 0 {
            let key = self.keys.pushing();
            steps.push(Step::Delete { key });
        }
        steps.extend(plan.take_prune(steps.len()));
        let holding = self.guards(guards, &plan.documents);
        let done = self.connection.commit(&holding, &steps, &plan.head).await;
        match done {
            Ok(revision) => {
                self.prune(plan.prune, revision).await;
                Ok(())
            }
            Err(refusal) => Err(self.explain_refusal(refusal, guards.expected).await),
        }
    }

    async fn push_in_parts(
        &self,
        mut plan: Plan,
        mut guards: Guards<'_>,
        generation: u64,
    ) -> Result<(), PushError> {
        let expected = guards.expected;
        for steps in transactions(std::mem::take(&mut plan.blobs)) {
            // A text that nothing refers to harms nobody, so that a doubtful end is as good as none.
            let holding = [self.head_is(expected.head_version())];
            match self.connection.commit(&holding, &steps, &steps).await {
                Ok(_) => {}
                Err(Refusal::Unknown(error)) => return Err(error.into()),
                Err(refusal) => return Err(self.explain_refusal(refusal, expected).await),
            }
        }
        let mut written: Vec<String> = Vec::new();
        let mut missing: Vec<String> = plan.documents.iter().map(|one| one.name.clone()).collect();
        let parts = Plan::parts(std::mem::take(&mut plan.documents));
        let count = parts.len();
        let token = fastrand::u64(..);
        for (number, part) in parts.into_iter().enumerate() {
            let marker = Step::Put {
                key: self.keys.pushing(),
                value: serde_json::json!({
                    "generation": generation, "part": number + 1, "of": count, "push": format!("{token:016x}"),
                })
                .to_string(),
            };
            let mut steps = vec![marker];
            steps.extend(part.iter().map(|touched| touched.step.clone()));
            let holding = self.guards(&guards, &part);
            match self.connection.commit(&holding, &steps, &steps).await {
                Ok(revision) => {
                    guards.revision = revision;
                    guards.pushing = revision;
                    written.extend(missing.drain(..part.len()));
                }
                Err(refusal) => {
                    let cause = self.explain_refusal(refusal, expected).await;
                    return Err(interrupted(written, missing, cause));
                }
            }
        }
        let mut steps = plan.head.clone();
        if guards.pushing != 0 {
            let key = self.keys.pushing();
            steps.push(Step::Delete { key });
        }
        let holding = self.guards(&guards, &[]);
        let done = self.connection.commit(&holding, &steps, &plan.head).await;
        match done {
            Ok(revision) => {
                self.prune(plan.prune, revision).await;
                Ok(())
            }
            Err(refusal) => {
                let cause = self.explain_refusal(refusal, expected).await;
                Err(interrupted(written, missing, cause))
            }
        }
    }

    /// Removes what the history does not need any more, unless somebody has pushed since. What stays now goes with the
    /// next push.
    async fn prune(&self, steps: Vec<Step>, head: i64) {
        for steps in transactions(steps) {
            let holding = [self.head_is(head)];
            let done = self.connection.commit(&holding, &steps, &[]).await;
            if done.is_err() {
                tracing::debug!(etcd = %self, "what the history does not need any more is left for the next push");
                return;
            }
        }
    }
}

/// Before the first part nothing is written, and the cause says all.
fn interrupted(written: Vec<String>, missing: Vec<String>, mut cause: PushError) -> PushError {
    if written.is_empty() {
        return cause;
    }
    if let PushError::ChangedMeanwhile { documents, .. } = &mut cause {
        documents.retain(|name| !written.contains(name));
    }
    PushError::Interrupted {
        written,
        missing,
        cause: Box::new(cause),
    }
}

fn check(push: &Push) -> Result<(), PushError> {
    for (name, text) in &push.documents {
        check_name(name).map_err(|why| PushError::Name {
            name: name.clone(),
            why,
        })?;
        if text.len() > LARGEST {
            return Err(PushError::TooLarge {
                name: name.clone(),
                bytes: text.len(),
            });
        }
    }
    let bytes: usize = push.documents.values().map(String::len).sum();
    if push.documents.len() > MOST_DOCUMENTS || bytes > MOST_BYTES {
        return Err(PushError::TooMuch);
    }
    Ok(())
}

fn now() -> u64 {
    let since = SystemClock.wall().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default().as_millis();
    u64::try_from(since).unwrap_or(u64::MAX)
}
