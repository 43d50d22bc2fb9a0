//! Takes to the directory what the machine has for it: shard by shard, in order, as much at once as there is.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::inbox::{Inbox, News};
use super::machine::{Failed, FromDirectory, Tag};
use crate::edges::directory::{Directory, DirectoryError, Life, Operation, Record, Shard};

/// Takes operations to the shards.
pub(super) struct Clerk {
    directory: Option<Arc<dyn Directory>>,
    inbox: Arc<Inbox>,
    shards: Vec<Desk>,
    /// How often users were spread over the shards.
    spreads: u64,
}

/// The line of one shard, and whoever works it off.
struct Desk {
    line: Arc<Line>,
    _work: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Line {
    jobs: Mutex<VecDeque<Job>>,
    rung: Notify,
}

enum Job {
    Life,
    Run(Life, Operation, Tag),
}

/// What goes to a shard at once.
enum Batch {
    Life,
    Run(Life, Vec<Operation>, Vec<Tag>),
}

impl Line {
    /// Operations that go at once.
    const MOST: usize = 1024;

    fn put(&self, job: Job) {
        self.jobs.lock().push_back(job);
        self.rung.notify_one();
    }

    async fn next(&self) -> Batch {
        loop {
            if let Some(batch) = self.take() {
                return batch;
            }
            self.rung.notified().await;
        }
    }

    /// What stands in front and goes together.
    fn take(&self) -> Option<Batch> {
        let mut jobs = self.jobs.lock();
        let Job::Run(life, ..) = jobs.front()? else {
            jobs.pop_front();
            return Some(Batch::Life);
        };
        let life = *life;
        let (mut operations, mut tags) = (Vec::new(), Vec::new());
        let is_of_it = |job: Option<&Job>| matches!(job, Some(Job::Run(of, ..)) if *of == life);
        while operations.len() < Self::MOST
            && is_of_it(jobs.front())
            && let Some(Job::Run(_, operation, tag)) = jobs.pop_front()
        {
            operations.push(operation);
            tags.push(tag);
        }
        Some(Batch::Run(life, operations, tags))
    }
}

impl Clerk {
    pub(super) fn new(directory: Option<Arc<dyn Directory>>, inbox: &Arc<Inbox>) -> Self {
        Self {
            directory,
            inbox: Arc::clone(inbox),
            shards: Vec::new(),
            spreads: 0,
        }
    }

    /// There are so many shards from now on; what stood in line is given up.
    pub(super) fn spread(&mut self, shards: u16) {
        let Some(directory) = &self.directory else {
            return;
        };
        self.spreads += 1;
        let desk = |number| {
            let line = Arc::<Line>::default();
            let work = work(
                Arc::clone(directory),
                Shard(number),
                Arc::clone(&line),
                (self.spreads, Arc::clone(&self.inbox)),
            );
            let work = AbortOnDropHandle::new(tokio::spawn(work));
            Desk { line, _work: work }
        };
        self.shards = (0..shards).map(desk).collect();
    }

    /// How often users were spread over the shards.
    pub(super) fn spreads(&self) -> u64 {
        self.spreads
    }

    pub(super) fn read_life(&self, shard: Shard) {
        self.put(shard, Job::Life);
    }

    pub(super) fn run(&self, shard: Shard, life: Life, operation: Operation, tag: Tag) {
        self.put(shard, Job::Run(life, operation, tag));
    }

    fn put(&self, shard: Shard, job: Job) {
        if let Some(desk) = self.shards.get(usize::from(shard.0)) {
            desk.line.put(job);
        }
    }
}

async fn work(
    directory: Arc<dyn Directory>,
    shard: Shard,
    line: Arc<Line>,
    (spread, inbox): (u64, Arc<Inbox>),
) {
    let tell = |event| inbox.put(News::Directory(spread, event));
    loop {
        match line.next().await {
            Batch::Life => {
                let life = directory.life(shard).await.ok();
                tell(FromDirectory::Life(shard, life));
            }
            Batch::Run(life, operations, tags) => {
                let began = Instant::now();
                let answers = directory.run(shard, life, operations).await;
                let took = began.elapsed();
                let mut answers = answers.map(Vec::into_iter);
                for tag in tags {
                    let answer = match &mut answers {
                        Ok(answers) => answers.next().unwrap_or(Ok(Record::default())),
                        Err(error) => Err(error.clone()),
                    };
                    let answer = answer.map_err(|error| failed(&error));
                    tell(FromDirectory::Answer(shard, tag, answer, took));
                }
            }
        }
    }
}

fn failed(error: &DirectoryError) -> Failed {
    match error {
        DirectoryError::OtherLife => Failed::OtherLife,
        // It is tried again after a pause: the shards may not have settled yet.
        DirectoryError::Moved | DirectoryError::Store(_) => Failed::Unknown,
    }
}
