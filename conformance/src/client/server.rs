//! The kit's server on loopback: the list of checks, tokens, and the connections for each check that runs.

mod http;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use linkgate_filter::Form;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::checklist::{self, Check, Level};
use super::driver::Offer;
use super::log::Log;
use super::stage::{Knock, Stage, parameter};
use super::{Checked, Failure};
use crate::report::{Outcome, Verdict};

/// Connections that are served at once, of all kinds.
const CONNECTIONS: usize = 512;
/// Attempts to connect in one check that wait to be looked at.
const KNOCKS: usize = 64;
/// How long a check may take at most, from the first connection.
const LONGEST: Duration = Duration::from_secs(15);
/// A check that was just played by hand is not begun again by what its client still does.
const REST: Duration = Duration::from_secs(2);

/// How the kit serves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Of the loopback address; 0 for any.
    pub port: u16,
    /// Begin a check whenever a client connects for one: nobody calls [`Kit::judge`].
    pub by_hand: bool,
    /// How long a driver may take to connect first.
    pub start: Duration,
}

/// A check that was begun by a connection has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The form that was spoken.
    pub form: Form,
    /// What came of it.
    pub outcome: Outcome,
}

/// The kit, serving. It ends with this value.
#[derive(Debug)]
pub struct Kit {
    shared: Arc<Shared>,
    server: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    options: Options,
    seats: Mutex<HashMap<String, Seat>>,
    /// Numbers of runs and of tokens.
    count: AtomicU32,
    finished: mpsc::Sender<Finished>,
}

/// Where the connections of a running check go.
#[derive(Clone, Debug)]
struct Seat {
    knocks: mpsc::Sender<Knock>,
    /// When it has ended, if it has.
    ended: Option<Instant>,
}

impl Drop for Kit {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Kit {
    /// Listens on loopback. What is begun by hand comes out of the receiver; somebody has to read it.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn start(options: Options) -> std::io::Result<(Self, mpsc::Receiver<Finished>)> {
        let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
        let (finished, results) = mpsc::channel(64);
        let shared = Arc::new(Shared {
            address: listener.local_addr()?,
            options,
            seats: Mutex::default(),
            count: AtomicU32::new(1),
            finished,
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared))).abort_handle();
        Ok((Self { shared, server }, results))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Plays one check with one driver. The driver's result tells how it ended; it is dropped when the check is over.
    pub async fn judge<D>(
        &self,
        check: &Check,
        form: Form,
        driver: impl FnOnce(Offer) -> D,
    ) -> Outcome
    where
        D: Future<Output = String>,
    {
        let run = format!("r{}", self.shared.number());
        let (seat, knocks) = Seat::new();
        self.shared.seats.lock().insert(run.clone(), seat);
        let offer = self.shared.offer(check, &run, form, self.shared.token());
        let log = Log::new();
        let stage = Stage::new(
            knocks,
            Arc::new(Mutex::new(Some(form))),
            log.clone(),
            offer.url.clone(),
            self.shared.options.start,
        );
        let driving = async {
            let ended = driver(offer).await;
            let never_came = log.ask(super::log::Heard::is_empty);
            log.note(0, &ended);
            if never_came {
                return ended;
            }
            std::future::pending().await
        };
        let outcome = tokio::select! {
            outcome = Box::pin(play(check, stage)) => outcome,
            ended = Box::pin(driving) => Outcome {
                name: check.id.into(),
                about: check.about(),
                time: Duration::ZERO,
                verdict: Verdict::Failed(format!("expected: a driver that connects\nseen: {ended}")),
            },
        };
        self.shared.seats.lock().remove(&run);
        outcome
    }
}

impl Seat {
    fn new() -> (Self, mpsc::Receiver<Knock>) {
        let (knocks, receiver) = mpsc::channel(KNOCKS);
        let seat = Self {
            knocks,
            ended: None,
        };
        (seat, receiver)
    }
}

impl Shared {
    fn number(&self) -> u32 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// One that has not been given out.
    fn token(&self) -> String {
        format!("token-{}", self.number())
    }

    fn offer(&self, check: &Check, run: &str, form: Form, token: String) -> Offer {
        let (address, id) = (self.address, check.id);
        Offer {
            url: format!("ws://{address}/ws?check={id}&run={run}&biz_id=kit&user_id={run}"),
            check: id.into(),
            form,
            token,
            token_url: format!("http://{address}/token?check={id}&run={run}"),
        }
    }

    /// The seat that a request is for; begins a check where that is wanted.
    fn seat(self: &Arc<Self>, request: &::http::Request<()>) -> Result<Seat, String> {
        let name = parameter(request, "check");
        let run = run_of(request);
        if run.is_empty() {
            return Err(
                "which check? Connect to /ws?check=NAME; GET /checks lists the names".into(),
            );
        }
        let mut seats = self.seats.lock();
        let rests = |seat: &&Seat| seat.ended.is_none_or(|ended| ended.elapsed() < REST);
        if let Some(seat) = seats.get(&run).filter(rests) {
            return Ok(seat.clone());
        }
        let name = name.unwrap_or_default();
        let check = checklist::find(&name)
            .ok_or_else(|| format!("there is no check `{name}`: GET /checks lists them"))?;
        if !self.options.by_hand {
            return Err("this check is over".into());
        }
        if seats.len() >= CONNECTIONS {
            seats.retain(|_, seat| seat.ended.is_none());
            if seats.len() >= CONNECTIONS {
                return Err("too many checks run at the same time".into());
            }
        }
        let (seat, knocks) = Seat::new();
        seats.insert(run.clone(), seat.clone());
        tokio::spawn(Arc::clone(self).by_hand(check, run, knocks));
        Ok(seat)
    }

    async fn by_hand(
        self: Arc<Self>,
        check: &'static Check,
        run: String,
        knocks: mpsc::Receiver<Knock>,
    ) {
        let url = self.offer(check, &run, Form::default(), String::new()).url;
        let form = Arc::new(Mutex::new(None));
        let stage = Stage::new(
            knocks,
            Arc::clone(&form),
            Log::new(),
            url,
            self.options.start,
        );
        let outcome = Box::pin(play(check, stage)).await;
        if let Some(seat) = self.seats.lock().get_mut(&run) {
            seat.ended = Some(Instant::now());
        }
        let form = form.lock().unwrap_or_default();
        self.finished.send(Finished { form, outcome }).await.ok();
    }
}

/// Plays a check to its end.
async fn play(check: &Check, mut stage: Stage) -> Outcome {
    let log = stage.log.clone();
    let began = Instant::now();
    let longest = stage.first + LONGEST;
    let checked: Checked = match timeout(longest, (check.run)(&mut stage)).await {
        Ok(checked) => checked,
        Err(_) => Err(Failure::new(
            "an end of the check",
            format!("none after {longest:?}"),
        )),
    };
    let verdict = match checked {
        Ok(()) => Verdict::Passed,
        Err(failure) => {
            let text = format!(
                "{failure}\ndemanded by: docs/protocol.md, {:?}\non the wire:\n{}",
                check.section,
                log.timeline()
            );
            match check.level {
                Level::Must => Verdict::Failed(text),
                Level::Should => Verdict::Warned(text),
            }
        }
    };
    Outcome {
        name: check.id.into(),
        about: check.about(),
        time: began.elapsed(),
        verdict,
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    connection(stream, &shared).await;
                    drop(place);
                });
            }
            // Out of descriptors, say: others will be given back.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn connection(mut stream: TcpStream, shared: &Arc<Shared>) {
    stream.set_nodelay(true).ok();
    let Some(request) = http::read(&mut stream).await else {
        return;
    };
    let (status, kind, body) = match request.uri().path() {
        "/ws" => match shared.seat(&request) {
            Ok(seat) if seat.ended.is_none() => {
                let at = Instant::now();
                let knock = Knock {
                    stream,
                    request,
                    at,
                };
                // A check that ends right now takes nobody: the connection is closed.
                seat.knocks.try_send(knock).ok();
                return;
            }
            Ok(_) => not_found("this check is over"),
            Err(why) => not_found(&why),
        },
        "/checks" => {
            let list = checklist::listed(&format!("ws://{}/ws", shared.address));
            ("200 OK", "application/json", list)
        }
        "/token" => ("200 OK", "text/plain", shared.token()),
        path => not_found(&format!(
            "there is no {path} here: /ws, /checks and /token are all"
        )),
    };
    http::answer(stream, status, kind, &body).await;
}

fn not_found(why: &str) -> (&'static str, &'static str, String) {
    ("404 Not Found", "text/plain", format!("{why}\n"))
}

/// A run has the name of its check where the request gives it none.
fn run_of(request: &::http::Request<()>) -> String {
    parameter(request, "run")
        .or_else(|| parameter(request, "check"))
        .unwrap_or_default()
}
