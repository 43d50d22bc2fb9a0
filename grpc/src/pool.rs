//! The endpoints of one backend, and the choice among them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use linkgate_filter::backend::{GrpcBackend, Target};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::address::{Address, Settings};
use crate::breaker::BreakerRules;
use crate::connector::Connector;
use crate::endpoint::{Directory, Endpoint, Lease};

/// The endpoints of one backend.
pub struct Pool {
    targets: Vec<Target>,
    settings: Arc<Settings>,
    resolve_every: Duration,
    max_addresses: usize,
    /// Opens the channels of its endpoints.
    pub connector: Arc<dyn Connector>,
    directory: Arc<Directory>,
    known: Mutex<Known>,
    /// Held by the one who resolves.
    resolving: Arc<tokio::sync::Mutex<()>>,
    turn: AtomicUsize,
}

#[derive(Default)]
struct Known {
    endpoints: Arc<[Arc<Endpoint>]>,
    /// When names were last asked for, with or without success.
    asked_at: Option<Instant>,
    /// An endpoint could not be reached since: the addresses may have changed.
    doubted: bool,
}

/// Why there is no endpoint for a try.
#[derive(Debug)]
pub enum NoEndpoint {
    /// No name has an address.
    NoAddress(String),
    /// Every breaker is open; the first lets a try through after so long.
    Resting(Duration),
}

impl Pool {
    /// Names are asked again at the earliest after this, however often endpoints fail.
    const PAUSE: Duration = Duration::from_secs(1);

    /// Connects to nothing yet; endpoints that `directory` knows are taken up with their connections and breakers.
    pub fn new(
        backend: &GrpcBackend,
        connector: Arc<dyn Connector>,
        directory: Arc<Directory>,
    ) -> Self {
        let settings = Arc::new(Settings {
            tls: backend.tls.clone(),
            keep_alive: backend.keep_alive.clone(),
            connect_timeout: backend.connect_timeout,
        });
        let pool = Self {
            targets: backend.targets(),
            settings,
            resolve_every: *backend.resolve_every,
            max_addresses: backend.max_addresses,
            connector,
            directory,
            known: Mutex::default(),
            resolving: Arc::default(),
            turn: AtomicUsize::new(0),
        };
        pool.known.lock().endpoints = pool.fixed().collect();
        pool
    }

    /// An endpoint for the next try: the one with the fewest calls in flight among those whose breaker allows it, one
    /// not tried before if possible.
    pub async fn lease(
        self: &Arc<Self>,
        tried: &[Arc<Endpoint>],
        rules: BreakerRules,
    ) -> Result<Lease, NoEndpoint> {
        let endpoints = self.endpoints().await?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = endpoints.len();
        let mut order: Vec<_> = endpoints
            .iter()
            .enumerate()
            .map(|(i, endpoint)| {
                let again = tried.iter().any(|other| Arc::ptr_eq(other, endpoint));
                let place = (i + count - turn % count) % count;
                (again, endpoint.in_flight(), place, endpoint)
            })
            .collect();
        order.sort_unstable_by_key(|(again, in_flight, place, _)| (*again, *in_flight, *place));
        let (now, mut soonest) = (Instant::now(), Duration::MAX);
        for (.., endpoint) in order {
            match endpoint.lease(now, rules) {
                Ok(lease) => return Ok(lease),
                Err(wait) => soonest = soonest.min(wait),
            }
        }
        Err(NoEndpoint::Resting(soonest))
    }

    /// An endpoint could not be reached: names are asked again soon.
    pub fn doubt(&self) {
        self.known.lock().doubted = true;
    }

    async fn endpoints(self: &Arc<Self>) -> Result<Arc<[Arc<Endpoint>]>, NoEndpoint> {
        let (known, due) = self.known();
        if !due && !known.is_empty() {
            return Ok(known);
        }
        if !known.is_empty() {
            // Calls go on with what is known meanwhile.
            if let Ok(turn) = Arc::clone(&self.resolving).try_lock_owned() {
                let pool = Arc::clone(self);
                tokio::spawn(async move {
                    let _turn = turn;
                    if let Err(error) = pool.resolve().await {
                        tracing::warn!(%error, "cannot resolve a backend; keeping the addresses known so far");
                    }
                });
            }
            return Ok(known);
        }
        let _turn = self.resolving.lock().await;
        let (known, due) = self.known();
        if known.is_empty() && due {
            self.resolve().await.map_err(NoEndpoint::NoAddress)?;
        }
        match self.known() {
            (known, _) if known.is_empty() => Err(NoEndpoint::NoAddress(
                "its name had no address a moment ago".to_owned(),
            )),
            (known, _) => Ok(known),
        }
    }

    /// What is known, and whether it is time to ask again.
    fn known(&self) -> (Arc<[Arc<Endpoint>]>, bool) {
        let known = self.known.lock();
        let names = self.targets.iter().any(|target| target.all_addresses);
        let patience = if known.doubted || known.endpoints.is_empty() {
            Self::PAUSE
        } else {
            self.resolve_every
        };
        let due = known.asked_at.is_none_or(|at| at.elapsed() >= patience);
        (Arc::clone(&known.endpoints), names && due)
    }

    /// Asks for the addresses of all names. What one name has failed to answer stays as it was.
    async fn resolve(&self) -> Result<(), String> {
        let mut failed = Vec::new();
        let mut found = Vec::new();
        for target in self.targets.iter().filter(|target| target.all_addresses) {
            match self.connector.resolve(&target.host, target.port).await {
                Ok(addresses) if !addresses.is_empty() => {
                    found.extend(addresses.into_iter().filter_map(|at| self.at(target, at)));
                }
                Ok(_) => failed.push(format!("{} has no address", target.host)),
                Err(error) => failed.push(format!("{}: {error}", target.host)),
            }
        }
        let mut known = self.known.lock();
        known.asked_at = Some(Instant::now());
        known.doubted = false;
        if !found.is_empty() && failed.is_empty() {
            let fixed = self.fixed();
            known.endpoints = unique(fixed.chain(found), self.max_addresses);
            return Ok(());
        }
        known.endpoints = unique(
            known.endpoints.iter().cloned().chain(found),
            self.max_addresses,
        );
        Err(failed.join(", "))
    }

    /// The endpoints that need no resolving: the connection looks their name up each time.
    fn fixed(&self) -> impl Iterator<Item = Arc<Endpoint>> {
        let fixed = self.targets.iter().filter(|target| !target.all_addresses);
        fixed.filter_map(|target| {
            let origin = uri(target, &own_name(target))?;
            Some(self.directory.endpoint(&Address {
                uri: origin.clone(),
                origin,
                settings: Arc::clone(&self.settings),
            }))
        })
    }

    fn at(&self, target: &Target, at: SocketAddr) -> Option<Arc<Endpoint>> {
        Some(self.directory.endpoint(&Address {
            uri: uri(target, &at.to_string())?,
            origin: uri(target, &own_name(target))?,
            settings: Arc::clone(&self.settings),
        }))
    }
}

fn own_name(target: &Target) -> String {
    format!("{}:{}", target.host, target.port)
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

fn unique(endpoints: impl Iterator<Item = Arc<Endpoint>>, most: usize) -> Arc<[Arc<Endpoint>]> {
    let mut all: Vec<Arc<Endpoint>> = Vec::new();
    for endpoint in endpoints {
        if all.len() < most && !all.iter().any(|known| Arc::ptr_eq(known, &endpoint)) {
            all.push(endpoint);
        }
    }
    all.into()
}
