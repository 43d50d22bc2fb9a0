//! Following the documents: reads them, then watches from the next revision on, and tells what has changed.
//!
//! A watch of etcd does not mend itself. Here it is opened again where it ended, after a pause that grows; what is known
//! is read anew when the revision that would come next is not kept any more, when an answer shows that the cluster has
//! gone back to an older state, and when an audit finds a difference.

use std::convert::Infallible;
use std::sync::Arc;

use etcd_client::{Event, EventType, KeyValue, WatchOptions, WatchResponse, WatchStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::client::Etcd;
use super::connection::{Failure, LARGEST_ANSWER, Line};
use super::error::{Meaning, meaning, text};
use super::keys::{Entry, Keys};
use super::mirror::{Change, Mirror};
use super::read::Origin;
use super::snapshot::Snapshot;

/// What is known of the documents, and how well.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The documents as they were told last; none before the first reading. It stays the same value as long as texts and
    /// head are the same, so its versions may be older than those in etcd: read anew to push.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Why etcd cannot be followed now, for the one who runs it; none while it can.
    pub last_error: Option<String>,
    /// Whether changes arrive as they happen.
    pub connected: bool,
}

/// Why a watch ended.
enum End {
    /// It can go on where it was.
    Lost(String),
    /// What is known has to be read anew.
    Doubtful(String),
}

impl Etcd {
    /// Follows the documents until `stop`, and tells `sink` whenever texts or head have changed, or whether they can be
    /// followed. Several documents of one transaction change at once.
    pub async fn watch(&self, sink: watch::Sender<State>, stop: CancellationToken) {
        let follower = Follower {
            etcd: self,
            sink: &sink,
        };
        stop.run_until_cancelled(Box::pin(follower.run())).await;
    }
}

struct Follower<'a> {
    etcd: &'a Etcd,
    sink: &'a watch::Sender<State>,
}

impl Follower<'_> {
    async fn run(&self) -> Infallible {
        let mut mirror: Option<Mirror> = None;
        let mut is_doubtful = true;
        let mut failures = 0;
        loop {
            if is_doubtful {
                match self.etcd.read_with_origin().await {
                    Ok((snapshot, origin)) => {
                        let known = match mirror.as_mut() {
                            Some(mirror) => {
                                mirror.replace(snapshot, origin);
                                mirror
                            }
                            None => mirror.insert(Mirror::new(snapshot, origin)),
                        };
                        self.tell(known);
                        is_doubtful = false;
                    }
                    Err(error) => {
                        failures += 1;
                        self.pause(failures, error.to_string()).await;
                        continue;
                    }
                }
            }
            let Some(known) = mirror.as_mut() else {
                is_doubtful = true;
                continue;
            };
            match self.follow(known, &mut failures).await {
                End::Lost(why) => {
                    failures += 1;
                    self.pause(failures, why).await;
                }
                End::Doubtful(why) => {
                    tracing::debug!(etcd = %self.etcd, %why, "the documents are read anew");
                    is_doubtful = true;
                    failures += 1;
                    if failures > 1 {
                        self.pause(failures - 1, why).await;
                    }
                }
            }
        }
    }

    async fn pause(&self, failures: u32, why: String) {
        let pause = self.etcd.timing.pause(failures);
        if self.sink.borrow().last_error.is_none() {
            tracing::warn!(etcd = %self.etcd, %why, "the documents cannot be followed for now");
        } else {
            tracing::debug!(etcd = %self.etcd, %why, ?pause, "the documents still cannot be followed");
        }
        self.sink.send_if_modified(|state| {
            let is_new = state.connected || state.last_error.as_ref() != Some(&why);
            state.connected = false;
            state.last_error = Some(why);
            is_new
        });
        sleep(pause).await;
    }

    /// Tells what is known, unless it has been told.
    fn tell(&self, known: &Mirror) {
        self.sink.send_if_modified(|state| {
            let told = known.told();
            let is_new = state
                .snapshot
                .as_ref()
                .is_none_or(|told_before| !Arc::ptr_eq(told_before, told));
            state.snapshot = Some(Arc::clone(told));
            is_new
        });
    }

    fn tell_connected(&self) {
        self.sink.send_if_modified(|state| {
            let is_new = !state.connected || state.last_error.is_some();
            state.connected = true;
            if state.last_error.take().is_some() {
                tracing::info!(etcd = %self.etcd, "the documents are followed again");
            }
            is_new
        });
    }

    /// Watches from where `known` ends, until the watch ends.
    async fn follow(&self, known: &mut Mirror, failures: &mut u32) -> End {
        let (stream, number) = match self.open(known.revision() + 1).await {
            Ok(opened) => opened,
            Err(failure) => return self.lost(failure),
        };
        let mut watching = Watching {
            stream,
            etcd: self.etcd,
            watch: None,
            audit: Instant::now() + self.etcd.timing.audit,
            suspects: Vec::new(),
        };
        let end = loop {
            let audit = watching.audit;
            let ended = tokio::select! {
                answer = watching.answer() => match answer {
                    Err(end) => Err(end),
                    Ok(answer) => watching.take(known, &answer),
                },
                () = sleep_until(audit) => watching.audit(known).await,
            };
            match ended {
                Err(end) => break end,
                Ok(()) => {
                    *failures = 0;
                    self.tell_connected();
                    self.tell(known);
                }
            }
        };
        if matches!(end, End::Lost(_)) {
            self.etcd.connection.give_up(number).await;
        }
        end
    }

    async fn open(&self, revision: i64) -> Result<(WatchStream, u64), Failure> {
        let Line { client, number } = self.etcd.connection.line().await?;
        let (from, to) = self.etcd.keys.followed();
        let options = WatchOptions::new()
            .with_range(to)
            .with_start_revision(revision)
            .with_progress_notify();
        let mut client = client
            .watch_client()
            .max_decoding_message_size(LARGEST_ANSWER);
        let limit = self.etcd.connection.patience();
        let failure = match timeout(limit, client.watch(from, Some(options))).await {
            Ok(Ok(stream)) => return Ok((stream, number)),
            Ok(Err(error)) => Failure::Said(error),
            Err(_) => Failure::Silent(self.etcd.connection.timed_out()),
        };
        self.etcd.connection.give_up(number).await;
        Err(failure)
    }

    fn lost(&self, failure: Failure) -> End {
        End::Lost(self.etcd.connection.explain(failure).to_string())
    }
}

/// A watch at work.
struct Watching<'a> {
    stream: WatchStream,
    etcd: &'a Etcd,
    /// Its number in the stream, once etcd has said so.
    watch: Option<i64>,
    audit: Instant,
    /// What the last audit found; it may only have been on its way.
    suspects: Vec<String>,
}

impl Watching<'_> {
    /// The next answer. Silence is asked whether it lives.
    async fn answer(&mut self) -> Result<WatchResponse, End> {
        let timing = self.etcd.timing;
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
                let failure = self.etcd.connection.explain(Failure::Said(error));
                Err(End::Lost(failure.to_string()))
            }
            Err(_) => {
                let why = "the watch of etcd gives no sign of life".to_owned();
                Err(End::Lost(why))
            }
        }
    }

    /// Takes an answer in.
    fn take(&mut self, known: &mut Mirror, answer: &WatchResponse) -> Result<(), End> {
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
        let keys = &self.etcd.keys;
        known.apply(events.iter().filter_map(|event| change(keys, event)));
        let revisions = events.iter().filter_map(Event::kv);
        if let Some(last) = revisions.map(KeyValue::mod_revision).max() {
            known.progress(last);
        } else if !answer.created() && self.watch == Some(answer.watch_id()) {
            // Only a notice of the watch itself stands in line with its events. An answer to a question may overtake
            // them, and the revision of an answer with events may be ahead of them.
            known.progress(origin.revision);
        }
        if known.is_too_much() {
            return Err(End::Doubtful(self.etcd.too_much().to_string()));
        }
        Ok(())
    }

    /// Compares what is known with what is there. A change may be on its way, so that only what is still wrong a moment
    /// later is.
    async fn audit(&mut self, known: &mut Mirror) -> Result<(), End> {
        let timing = self.etcd.timing;
        let read = self.etcd.read_with_origin().await;
        let (snapshot, origin) = read.map_err(|error| End::Lost(error.to_string()))?;
        if known.doubts(origin) {
            let why = "etcd has gone back to an older state".to_owned();
            return Err(End::Doubtful(why));
        }
        let mut wrong = known.differences(&snapshot);
        if self.suspects.is_empty() {
            let next = match wrong.is_empty() {
                true => timing.audit,
                false => timing.audit.min(timing.dead),
            };
            self.suspects = wrong;
            self.audit = Instant::now() + next;
            return Ok(());
        }
        wrong.retain(|name| self.suspects.contains(name));
        self.suspects.clear();
        self.audit = Instant::now() + timing.audit;
        if wrong.is_empty() {
            return Ok(());
        }
        let documents = wrong.join(", ");
        tracing::warn!(etcd = %self.etcd, %documents, "an audit found what the watch has missed; it is mended");
        let why = format!("an audit found other contents: {documents}");
        Err(End::Doubtful(why))
    }
}

fn change<'a>(keys: &Keys, event: &'a Event) -> Option<Change<'a>> {
    let entry = event.kv()?;
    let revision = entry.mod_revision();
    let bytes = (event.event_type() == EventType::Put).then(|| entry.value());
    Some(match keys.entry(entry.key())? {
        Entry::Document(name) => Change::Document {
            name,
            bytes,
            revision,
        },
        Entry::Head => Change::Head { bytes, revision },
    })
}
