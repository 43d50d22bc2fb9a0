//! The endpoints of one backend, kept up to date by a task of its own: no call waits for a name that is known, and none has
//! to last as long as an answer takes.
//!
//! Each name is asked by itself, so one without an answer holds up no other. A name that fails or has no address keeps its
//! last good answer. An endpoint whose address is gone is not chosen any more; it lives on until its calls have ended.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use http::Uri;
use http::uri::Scheme;
use linkgate_filter::backend::{GrpcBackend, Target};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::address::{Address, Settings};
use crate::connector::Connector;
use crate::endpoint::{Directory, Endpoint};

/// Keeps the endpoints of a backend. Asks from the first use on, until it is dropped.
pub(crate) struct Resolver {
    inner: Arc<Inner>,
    task: OnceLock<AbortHandle>,
}

struct Inner {
    targets: Vec<Target>,
    settings: Arc<Settings>,
    every: Duration,
    max_addresses: usize,
    connector: Arc<dyn Connector>,
    directory: Arc<Directory>,
    /// For each target.
    answers: Mutex<Vec<Answer>>,
    known: watch::Sender<Known>,
    /// Counts doubts.
    doubts: watch::Sender<u64>,
}

/// What is known of a target.
#[derive(Clone, Default)]
struct Answer {
    /// The last good answer.
    addresses: Vec<SocketAddr>,
    /// Why the last answer was not good.
    error: Option<String>,
}

#[derive(Clone, Default)]
struct Known {
    endpoints: Arc<[Arc<Endpoint>]>,
    /// Why there are none, once all names have answered.
    why_none: Option<String>,
}

impl Resolver {
    pub(crate) fn new(
        backend: &GrpcBackend,
        connector: Arc<dyn Connector>,
        directory: Arc<Directory>,
    ) -> Self {
        let targets = backend.targets();
        let inner = Inner {
            settings: Arc::new(Settings {
                tls: backend.tls.clone(),
                keep_alive: backend.keep_alive.clone(),
                connect_timeout: backend.connect_timeout,
            }),
            every: *backend.resolve_every,
            max_addresses: backend.max_addresses,
            connector,
            directory,
            answers: Mutex::new(vec![Answer::default(); targets.len()]),
            known: watch::Sender::default(),
            doubts: watch::Sender::default(),
            targets,
        };
        inner.publish();
        Self {
            inner: Arc::new(inner),
            task: OnceLock::new(),
        }
    }

    /// The endpoints known now. While there are none, waits for the first answers; the error says why none came, and has the
    /// names asked again soon.
    pub(crate) async fn endpoints(&self, until: Instant) -> Result<Arc<[Arc<Endpoint>]>, String> {
        self.start();
        let mut known = self.inner.known.subscribe();
        let settled =
            known.wait_for(|known| !known.endpoints.is_empty() || known.why_none.is_some());
        match timeout_at(until, settled).await {
            Ok(Ok(known)) if !known.endpoints.is_empty() => Ok(Arc::clone(&known.endpoints)),
            Ok(Ok(known)) => {
                self.doubt();
                Err(known.why_none.clone().unwrap_or_default())
            }
            _ => Err("no name was resolved in time".to_owned()),
        }
    }

    /// An endpoint could not be reached: names are asked again soon.
    pub(crate) fn doubt(&self) {
        self.inner
            .doubts
            .send_modify(|doubts| *doubts = doubts.wrapping_add(1));
    }

    fn start(&self) {
        if self.inner.targets.iter().any(|target| target.all_addresses) {
            self.task.get_or_init(|| {
                let inner = Arc::clone(&self.inner);
                tokio::spawn(async move { inner.run().await }).abort_handle()
            });
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl Inner {
    /// Names are asked again at the earliest after this, however often endpoints fail. After failures it doubles, up to
    /// the usual time, unless somebody asks for an endpoint in vain.
    const PAUSE: Duration = Duration::from_secs(1);

    async fn run(&self) {
        let names = self.targets.iter().enumerate();
        let names = names.filter(|(_, target)| target.all_addresses);
        join_all(names.map(|(i, target)| self.follow(i, target))).await;
    }

    /// Asks for one name, again and again.
    async fn follow(&self, i: usize, target: &Target) {
        let mut doubts = self.doubts.subscribe();
        let first = Self::PAUSE.min(self.every);
        let mut pause = first;
        loop {
            doubts.mark_unchanged();
            let error = match self.connector.resolve(&target.host, target.port).await {
                Ok(addresses) if !addresses.is_empty() => {
                    self.answers.lock()[i].addresses = addresses;
                    None
                }
                Ok(_) => Some("it has no address".to_owned()),
                Err(error) => Some(error.to_string()),
            };
            let usual = if let Some(error) = &error {
                tracing::warn!(name = target.host, %error, "cannot resolve a backend; keeping the addresses known so far");
                let longer = (pause * 2).min(self.every);
                std::mem::replace(&mut pause, longer)
            } else {
                pause = first;
                self.every
            };
            self.answers.lock()[i].error = error;
            self.publish();
            sleep(first).await;
            let _ = timeout(usual - first, doubts.changed()).await;
        }
    }

    /// Tells those who wait.
    fn publish(&self) {
        let answers = self.answers.lock();
        let mut endpoints: Vec<Arc<Endpoint>> = Vec::new();
        for (target, answer) in self.targets.iter().zip(&*answers) {
            let own_name = format!("{}:{}", target.host, target.port);
            // The connection to a target that is one endpoint looks its name up each time.
            let dialled: Vec<String> = if target.all_addresses {
                answer.addresses.iter().map(ToString::to_string).collect()
            } else {
                vec![own_name.clone()]
            };
            for dialled in dialled.iter().take(self.max_addresses) {
                let (Some(uri), Some(origin)) = (uri(target, dialled), uri(target, &own_name))
                else {
                    continue;
                };
                let settings = Arc::clone(&self.settings);
                let endpoint = self.directory.endpoint(&Address {
                    uri,
                    origin,
                    settings,
                });
                let is_new = !endpoints.iter().any(|known| Arc::ptr_eq(known, &endpoint));
                if is_new && endpoints.len() < self.max_addresses {
                    endpoints.push(endpoint);
                }
            }
        }
        let failed: Vec<String> = self.targets.iter().zip(&*answers).filter_map(why).collect();
        let have_all_failed = endpoints.is_empty() && failed.len() == self.targets.len();
        self.known.send_replace(Known {
            endpoints: endpoints.into(),
            why_none: have_all_failed.then(|| failed.join(", ")),
        });
        self.directory.queue.look();
    }
}

fn why((target, answer): (&Target, &Answer)) -> Option<String> {
    let error = answer.error.as_ref()?;
    Some(format!("{}: {error}", target.host))
}

fn uri(target: &Target, host_and_port: &str) -> Option<Uri> {
    Uri::builder()
        .scheme(if target.tls {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        })
        .authority(host_and_port)
        .path_and_query("/")
        .build()
        .ok()
}
