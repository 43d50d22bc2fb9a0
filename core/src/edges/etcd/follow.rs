//! Following a range: reads it, then watches from the next revision on, and tells what has changed.
//!
//! A watch of etcd does not mend itself. Here it is opened again where it ended, after a pause that grows; what is known
//! is read anew when the revision that would come next is not kept any more, when an answer shows that the cluster has
//! gone back to an older state, and when an audit finds a difference.

use std::convert::Infallible;

use etcd_client::{Event, EventType, KeyValue, WatchOptions, WatchResponse, WatchStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::connection::{Connection, Failure, LARGEST_ANSWER, Line};
use super::error::{Meaning, meaning, text};
use super::mirror::{Change, Mirror};
use super::read::{Of, Origin, Range};
use super::timing::Timing;

/// Whoever follows a range.
pub(crate) trait Follow: Sync {
    /// What a key says.
    type Value: PartialEq + Send + Sync;

    /// What this key of the range says; `None` if it is none of those that are followed.
    fn read(&self, key: &str, value: &[u8]) -> Option<Self::Value>;

    /// All that is there. Told after each reading and each change; what one transaction has changed is told at once.
    fn knows(&self, mirror: &Mirror<Self::Value>);

    /// Changes arrive as they happen. Told again and again while they do.
    fn follows(&self);

    /// The range cannot be followed for now, and why, for the one who runs etcd. Told at each attempt.
    fn lost(&self, why: String);
}

/// Why a watch ended.
enum End {
    /// It can go on where it was.
    Lost(String),
    /// What is known has to be read anew.
    Doubtful(String),
}

impl Connection {
    /// Has `follower` told what is in the range and what changes there, until this is dropped.
    pub(crate) async fn follow<F: Follow>(
        &self,
        range: &Range,
        timing: Timing,
        follower: &F,
    ) -> Infallible {
        let following = Following {
            connection: self,
            range,
            timing,
            follower,
        };
        following.run().await
    }
}

struct Following<'a, F> {
    connection: &'a Connection,
    range: &'a Range,
    timing: Timing,
    follower: &'a F,
}

impl<F: Follow> Following<'_, F> {
    async fn run(&self) -> Infallible {
        let mut known: Option<Mirror<F::Value>> = None;
        let mut failures = 0;
        loop {
            let mirror = match &mut known {
                Some(mirror) => mirror,
                None => match self.read().await {
                    Ok(mirror) => {
                        self.follower.knows(&mirror);
                        known.insert(mirror)
                    }
                    Err(why) => {
                        failures += 1;
                        self.pause(failures, why).await;
                        continue;
                    }
                },
            };
            match self.watch(mirror, &mut failures).await {
                End::Lost(why) => {
                    failures += 1;
                    self.pause(failures, why).await;
                }
                End::Doubtful(why) => {
                    let (etcd, from) = (self.connection.source(), &self.range.from);
                    tracing::debug!(%etcd, from, %why, "the keys are read anew");
                    known = None;
                    failures += 1;
                    if failures > 1 {
                        self.pause(failures - 1, why).await;
                    }
                }
            }
        }
    }

    async fn read(&self) -> Result<Mirror<F::Value>, String> {
        let listing = self.connection.list(self.range, Of::Values).await;
        let listing = listing.map_err(|error| error.to_string())?;
        let read = |key: &str, value: &[u8]| self.follower.read(key, value);
        Ok(Mirror::new(&listing, read))
    }

    async fn pause(&self, failures: u32, why: String) {
        self.follower.lost(why);
        sleep(self.timing.pause(failures)).await;
    }

    /// Watches from where `known` ends, until the watch ends.
    async fn watch(&self, known: &mut Mirror<F::Value>, failures: &mut u32) -> End {
        let (stream, number) = match self.open(known.revision() + 1).await {
            Ok(opened) => opened,
            Err(failure) => return End::Lost(self.connection.explain(failure).to_string()),
        };
        let mut watching = Watching {
            stream,
            following: self,
            watch: None,
            audit: Instant::now() + self.timing.audit,
            suspects: Vec::new(),
        };
        let end = loop {
            let audit = watching.audit;
            let ended = tokio::select! {
                answer = watching.answer() => match answer {
                    Err(end) => Err(end),
                    Ok(answer) => watching.take(known, &answer),
                },
                () = sleep_until(audit) => watching.audit(known).await.map(|()| false),
            };
            match ended {
                Err(end) => break end,
                Ok(is_change) => {
                    *failures = 0;
                    self.follower.follows();
                    if is_change {
                        self.follower.knows(known);
                    }
                }
            }
        };
        if matches!(end, End::Lost(_)) {
            self.connection.give_up(number).await;
        }
        end
    }

    async fn open(&self, revision: i64) -> Result<(WatchStream, u64), Failure> {
        let Line { client, number } = self.connection.line().await?;
        let options = WatchOptions::new()
            .with_range(self.range.to.as_str())
            .with_start_revision(revision)
            .with_progress_notify();
        let mut client = client
            .watch_client()
            .max_decoding_message_size(LARGEST_ANSWER);
        let limit = self.connection.patience();
        let opened = client.watch(self.range.from.as_str(), Some(options));
        let failure = match timeout(limit, opened).await {
            Ok(Ok(stream)) => return Ok((stream, number)),
            Ok(Err(error)) => Failure::Said(error),
            Err(_) => Failure::Silent(self.connection.timed_out()),
        };
        self.connection.give_up(number).await;
        Err(failure)
    }
}

/// A watch at work.
struct Watching<'a, F> {
    stream: WatchStream,
    following: &'a Following<'a, F>,
    /// Its number in the stream, once etcd has said so.
    watch: Option<i64>,
    audit: Instant,
    /// What the last audit found; it may only have been on its way.
    suspects: Vec<String>,
}

impl<F: Follow> Watching<'_, F> {
    /// The next answer. Silence is asked whether it lives.
    async fn answer(&mut self) -> Result<WatchResponse, End> {
        let timing = self.following.timing;
        let mut answer = timeout(timing.quiet, self.stream.message()).await;
        if answer.is_err() {
            let asked = self.stream.request_progress().await;
            asked.map_err(|error| End::Lost(text(&error)))?;
            answer = timeout(timing.dead, self.stream.message()).await;
        }
        match answer {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) => Err(End::Lost("etcd has ended the watch".to_owned())),
            Ok(Err(error)) if meaning(&error) == Meaning::TooLarge => {
                let why = "more has changed at once than is taken".to_owned();
                Err(End::Doubtful(why))
            }
            Ok(Err(error)) => {
                let failure = self.following.connection.explain(Failure::Said(error));
                Err(End::Lost(failure.to_string()))
            }
            Err(_) => {
                let why = "the watch of etcd gives no sign of life".to_owned();
                Err(End::Lost(why))
            }
        }
    }

    /// Takes an answer in; says whether it had changes.
    fn take(&mut self, known: &mut Mirror<F::Value>, answer: &WatchResponse) -> Result<bool, End> {
        if answer.canceled() {
            return Err(match answer.compact_revision() {
                0 => End::Lost(format!(
                    "etcd has ended the watch: {}",
                    answer.cancel_reason()
                )),
                kept => End::Doubtful(format!(
                    "changes before revision {kept} are not kept any more"
                )),
            });
        }
        let origin = Origin::of(answer.header());
        if known.doubts(origin) {
            return Err(End::Doubtful(format!(
                "etcd is at revision {} in term {}, and {} is known: it was restored, or this member lags",
                origin.revision,
                origin.term,
                known.revision()
            )));
        }
        if answer.created() {
            self.watch = Some(answer.watch_id());
        }
        let events = answer.events();
        let is_change = known.apply(events.iter().filter_map(|event| self.change(event)));
        let revisions = events.iter().filter_map(Event::kv);
        if let Some(last) = revisions.map(KeyValue::mod_revision).max() {
            known.progress(last);
        } else if !answer.created() && self.watch == Some(answer.watch_id()) {
            // Only a notice of the watch itself stands in line with its events. An answer to a question may overtake
            // them, and the revision of an answer with events may be ahead of them.
            known.progress(origin.revision);
        }
        let range = self.following.range;
        if !range.holds(known.entries().len(), known.bytes()) {
            return Err(End::Doubtful(range.too_much().to_string()));
        }
        Ok(is_change)
    }

    fn change(&self, event: &Event) -> Option<Change<F::Value>> {
        let entry = event.kv()?;
        let key = std::str::from_utf8(entry.key()).ok()?;
        let is_there = event.event_type() == EventType::Put;
        let value = is_there.then(|| self.following.follower.read(key, entry.value()));
        Some(Change {
            key: key.to_owned(),
            value: value.flatten().map(|value| (value, entry.value().len())),
            revision: entry.mod_revision(),
        })
    }

    /// Compares what is known with what is there. A change may be on its way, so that only what is still wrong a moment
    /// later is.
    async fn audit(&mut self, known: &mut Mirror<F::Value>) -> Result<(), End> {
        let timing = self.following.timing;
        let there = self.following.read().await.map_err(End::Lost)?;
        if known.doubts(there.origin()) {
            let why = "etcd has gone back to an older state".to_owned();
            return Err(End::Doubtful(why));
        }
        let mut wrong = known.differences(&there);
        if self.suspects.is_empty() {
            let next = match wrong.is_empty() {
                true => timing.audit,
                false => timing.audit.min(timing.dead),
            };
            self.suspects = wrong;
            self.audit = Instant::now() + next;
            return Ok(());
        }
        wrong.retain(|key| self.suspects.contains(key));
        self.suspects.clear();
        self.audit = Instant::now() + timing.audit;
        if wrong.is_empty() {
            return Ok(());
        }
        let (etcd, keys) = (self.following.connection.source(), wrong.join(", "));
        tracing::warn!(%etcd, %keys, "an audit found what the watch has missed; it is mended");
        let why = format!("an audit found other contents: {keys}");
        Err(End::Doubtful(why))
    }
}
