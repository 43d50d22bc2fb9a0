//! A caller of the push service: keeps one stream open and hands every push its outcome.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use linkgate_proto::v1::push_service_client::PushServiceClient;
use linkgate_proto::v1::{PushRequest, PushResponse};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;
use tonic::{Request, Status, Streaming};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Pushes over a `PushStream`, in the order given.
///
/// When the stream breaks a new one is opened and the pushes without an outcome are sent again under their keys, which
/// joins those that are still under way. Dropping the pusher ends it; the outcomes that are missing then never come.
#[derive(Clone, Debug)]
pub struct Pusher {
    jobs: mpsc::Sender<Job>,
}

/// Why a push was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotPushed {
    /// Too many pushes are under way.
    #[error("too many pushes are under way")]
    Busy,
    /// The push service does not accept this caller.
    #[error("the push service has turned this caller away")]
    Gone,
}

/// Why there is no pusher.
#[derive(Debug, thiserror::Error)]
pub enum PusherError {
    /// No URL, not even with `http://` before it.
    #[error("{0} is no address of a push service; it should look like http://127.0.0.1:9902")]
    Url(String),
    /// Not to be sent in a header.
    #[error("the push token has characters that no header may hold")]
    Token,
}

#[derive(Debug)]
struct Job {
    request: PushRequest,
    outcome: oneshot::Sender<PushResponse>,
}

type Key = (String, String);

impl Pusher {
    /// Starts one that has at most `max` pushes under way. A missing scheme of `url` is taken as `http://`. The address
    /// need not answer yet. `refused` hears why the
    /// service cannot be reached or does not accept the caller, each time.
    pub fn start(
        url: &str,
        token: Option<&str>,
        max: usize,
        refused: impl Fn(Status) + Send + 'static,
    ) -> Result<Self, PusherError> {
        let full = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let endpoint = Endpoint::from_shared(full).map_err(|_| PusherError::Url(url.to_owned()))?;
        let token = token
            .map(|token| format!("Bearer {token}").parse())
            .transpose();
        let (jobs, inbox) = mpsc::channel(max.clamp(1, 1024));
        let run = Run {
            client: PushServiceClient::new(
                endpoint
                    .connect_timeout(MAX_WAIT)
                    .tcp_nodelay(true)
                    .connect_lazy(),
            ),
            token: token.map_err(|_| PusherError::Token)?,
            inbox,
            max,
            count: 0,
            under_way: HashMap::new(),
        };
        tokio::spawn(Box::pin(run.run(refused)));
        Ok(Self { jobs })
    }

    /// Pushes, waiting for room. The outcome comes by the receiver.
    pub async fn push(
        &self,
        request: PushRequest,
    ) -> Result<oneshot::Receiver<PushResponse>, NotPushed> {
        let (outcome, receiver) = oneshot::channel();
        let job = Job { request, outcome };
        self.jobs
            .send(job)
            .await
            .map(|()| receiver)
            .map_err(|_| NotPushed::Gone)
    }

    /// Pushes if there is room. The outcome comes by the receiver.
    pub fn try_push(
        &self,
        request: PushRequest,
    ) -> Result<oneshot::Receiver<PushResponse>, NotPushed> {
        let (outcome, receiver) = oneshot::channel();
        let sent = self.jobs.try_send(Job { request, outcome });
        sent.map(|()| receiver).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => NotPushed::Busy,
            mpsc::error::TrySendError::Closed(_) => NotPushed::Gone,
        })
    }
}

struct Run {
    client: PushServiceClient<tonic::transport::Channel>,
    token: Option<MetadataValue<Ascii>>,
    inbox: mpsc::Receiver<Job>,
    max: usize,
    count: u64,
    under_way: HashMap<Key, Pending>,
}

struct Pending {
    /// The place in the order.
    number: u64,
    request: PushRequest,
    outcomes: Vec<oneshot::Sender<PushResponse>>,
}

impl Run {
    async fn run(mut self, refused: impl Fn(Status)) {
        let mut wait = FIRST_WAIT;
        loop {
            match self.stream().await {
                Ok(Served { ended: true, .. }) => return,
                Ok(Served { answers: 0, .. }) => {}
                Ok(_) => wait = FIRST_WAIT,
                Err(status) => {
                    let hopeless = matches!(
                        status.code(),
                        tonic::Code::Unauthenticated | tonic::Code::PermissionDenied
                    );
                    refused(status);
                    if hopeless {
                        return;
                    }
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(MAX_WAIT);
        }
    }

    /// One stream, until it breaks or the last pusher is gone.
    async fn stream(&mut self) -> Result<Served, Status> {
        let (requests, outgoing) = mpsc::channel(64);
        let mut call = Request::new(ReceiverStream::new(outgoing));
        if let Some(token) = &self.token {
            call.metadata_mut().insert("authorization", token.clone());
        }
        let mut client = self.client.clone();
        let mut again: Vec<_> = self
            .under_way
            .values()
            .map(|pending| (pending.number, &pending.request))
            .collect();
        again.sort_unstable_by_key(|(number, _)| *number);
        let mut queue: std::collections::VecDeque<PushRequest> = again
            .into_iter()
            .map(|(_, request)| request.clone())
            .collect();

        // The service answers the call when it likes, perhaps after the first request only.
        let mut opening = std::pin::pin!(client.push_stream(call));
        let mut answers: Option<Streaming<PushResponse>> = None;
        let mut served = Served::default();
        loop {
            tokio::select! {
                opened = &mut opening, if answers.is_none() => answers = Some(opened?.into_inner()),
                answer = next(&mut answers) => match answer? {
                    Some(answer) => {
                        served.answers += 1;
                        self.answered(&answer);
                    }
                    None => return Ok(served),
                },
                permit = requests.reserve(), if !queue.is_empty() => match permit {
                    Ok(permit) => permit.send(queue.pop_front().unwrap_or_default()),
                    Err(_) => return Ok(served),
                },
                job = self.inbox.recv(), if queue.is_empty() && self.under_way.len() < self.max => match job {
                    Some(job) => queue.extend(self.take(job)),
                    None => return Ok(Served { ended: true, ..served }),
                },
            }
        }
    }

    /// Notes a push; it has to be sent unless it is under way already.
    fn take(&mut self, job: Job) -> Option<PushRequest> {
        let key = (job.request.biz_id.clone(), job.request.key.clone());
        match self.under_way.entry(key) {
            Entry::Occupied(mut entry) => {
                entry.get_mut().outcomes.push(job.outcome);
                None
            }
            Entry::Vacant(entry) => {
                self.count += 1;
                entry.insert(Pending {
                    number: self.count,
                    request: job.request.clone(),
                    outcomes: vec![job.outcome],
                });
                Some(job.request)
            }
        }
    }

    fn answered(&mut self, answer: &PushResponse) {
        let key = (answer.biz_id.clone(), answer.key.clone());
        for outcome in self
            .under_way
            .remove(&key)
            .into_iter()
            .flat_map(|pending| pending.outcomes)
        {
            outcome.send(answer.clone()).ok();
        }
    }
}

/// What a stream has done.
#[derive(Default)]
struct Served {
    answers: u64,
    /// Nobody pushes any more.
    ended: bool,
}

async fn next(
    answers: &mut Option<Streaming<PushResponse>>,
) -> Result<Option<PushResponse>, Status> {
    match answers {
        Some(answers) => answers.message().await,
        None => std::future::pending().await,
    }
}
