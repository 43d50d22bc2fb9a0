//! Clients: each is one installation of a user's, which comes and goes as chance has it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use linkgate_client::{Ended, Limits, Socket, Target};
use linkgate_core::network::MemoryNetwork;
use linkgate_filter::CloseCode;
use linkgate_proto::v1::{Command, Message};
use parking_lot::Mutex;
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::time::Time;
use super::{Doors, Trace};

/// A client waits so long for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// They come and go, and acknowledge as they like.
    Storm,
    /// Those that are to be there come and stay, and acknowledge at once; the others go.
    Calm,
}

/// A link that was served, as its client sees it. Times are in milliseconds of the world.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) user: String,
    pub(crate) device: Option<String>,
    /// The index of its node, and its process.
    pub(crate) node: usize,
    pub(crate) process: u32,
    /// Since when it is certain that it is served.
    pub(crate) began: u64,
    /// Until when.
    pub(crate) ended: Option<u64>,
    pub(crate) was_replaced: bool,
    /// When the client acknowledged which push.
    pub(crate) acknowledged: BTreeMap<String, u64>,
}

/// When somebody of a user acknowledged a push first.
pub(crate) type Acknowledged = Arc<Mutex<BTreeMap<(String, String), u64>>>;

/// When a client acknowledges.
#[derive(Clone, Copy)]
enum Acknowledges {
    AtOnce,
    After(Duration),
    Never,
}

/// Who a client is.
#[derive(Clone)]
pub(crate) struct Who {
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) device: Option<String>,
    /// Whether it is there when it is calm.
    pub(crate) stays: bool,
}

/// A client.
pub(crate) struct Client {
    pub(crate) who: Who,
    pub(crate) random: fastrand::Rng,
    pub(crate) network: MemoryNetwork,
    pub(crate) doors: Doors,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) links: Arc<Mutex<Vec<Link>>>,
    pub(crate) acknowledged: Acknowledged,
    pub(crate) time: Arc<Time>,
    pub(crate) trace: Trace,
}

/// Why a client is not connected any more.
enum Left {
    ByItself,
    Ended(Ended),
}

/// An open link.
struct Open {
    socket: Socket<DuplexStream>,
    door: (usize, u32),
    acknowledges: Acknowledges,
    /// What is to be acknowledged, and when.
    due: BTreeSet<(Instant, String)>,
    /// Its place among all that were served.
    place: Option<usize>,
}

impl Client {
    fn is_calm(&self) -> bool {
        *self.phase.borrow() == Phase::Calm
    }

    fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.random.u64(from..to))
    }

    pub(crate) async fn run(mut self) {
        let mut away = self.ms(0, 3_000);
        loop {
            if !self.is_calm() {
                let calm = self.phase.wait_for(|phase| *phase == Phase::Calm);
                let _ = timeout(away, calm).await;
            } else {
                sleep(away).await;
            }
            if self.is_calm() && !self.who.stays {
                return;
            }
            away = match self.connect().await {
                None => self.ms(200, 1_000),
                Some(open) => self.stay(open).await,
            };
            if self.is_calm() {
                away = away.min(Duration::from_secs(1));
            }
        }
    }

    async fn connect(&mut self) -> Option<Open> {
        let doors: Vec<_> = self.doors.lock().clone().into_iter().collect();
        let (node, (process, address)) = *doors.get(self.random.usize(..doors.len().max(1)))?;
        let target = Target {
            url: format!("ws://{address}/ws"),
            biz_id: Some("chat".into()),
            user_id: Some(self.who.user.clone()),
            device_id: self.who.device.clone(),
            ..Target::default()
        };
        let limits = Limits {
            handshake: PATIENCE,
            ..Limits::default()
        };
        let stream = self
            .network
            .dial(address, "127.0.0.1:50000".parse().unwrap());
        let socket = Socket::over(stream.ok()?, &target, limits).await.ok()?;
        let acknowledges = match self.random.u8(..10) {
            _ if self.is_calm() => Acknowledges::AtOnce,
            0..6 => Acknowledges::AtOnce,
            6..9 => Acknowledges::After(self.ms(50, 4_000)),
            _ => Acknowledges::Never,
        };
        Some(Open {
            socket,
            door: (node, process),
            acknowledges,
            due: BTreeSet::new(),
            place: None,
        })
    }

    /// Stays connected until it leaves or is left; gives how long it is to stay away then.
    async fn stay(&mut self, mut open: Open) -> Duration {
        let long = self.ms(500, 25_000);
        let left = self.talk(&mut open, Instant::now() + long).await;
        let name = self.who.name.clone();
        match left {
            Left::Ended(ended) => {
                self.ends(&open, ended.code == CloseCode::REPLACED);
                let process = open.door.1;
                self.trace
                    .say(format!("{name} lost its link to {process}: {ended}"));
                match ended.code == CloseCode::REPLACED {
                    true => self.ms(1_000, 15_000),
                    false => self.ms(50, 2_000),
                }
            }
            Left::ByItself => {
                self.ends(&open, false);
                let says_goodbye = self.random.bool();
                self.trace.say(format!(
                    "{name} leaves {}, goodbye: {says_goodbye}",
                    open.door.1
                ));
                if says_goodbye {
                    open.socket.close().await;
                }
                self.ms(0, 8_000)
            }
        }
    }

    async fn talk(&mut self, open: &mut Open, until: Instant) -> Left {
        let hello = Message {
            cmd: Command::Heartbeat.into(),
            key: "there".into(),
            ..Message::default()
        };
        if let Err(ended) = open.socket.send(&hello).await {
            return Left::Ended(ended);
        }
        let answered = Instant::now() + Duration::from_secs(20);
        let mut phase = self.phase.clone();
        loop {
            let is_calm = self.is_calm();
            if is_calm && !self.who.stays {
                return Left::ByItself;
            }
            if is_calm {
                open.acknowledges = Acknowledges::AtOnce;
            }
            let due = open.due.first().cloned();
            let due_at = due.as_ref().map_or(until, |(at, _)| *at);
            let next = tokio::select! {
                biased;
                _ = phase.changed(), if !is_calm => continue,
                next = open.socket.next() => next,
                () = sleep_until(due_at), if due.is_some() => {
                    if let Some((_, key)) = open.due.pop_first()
                        && let Err(ended) = self.acknowledge(open, key).await
                    {
                        return Left::Ended(ended);
                    }
                    continue;
                }
                () = sleep_until(answered), if open.place.is_none() => return Left::ByItself,
                () = sleep_until(until), if !is_calm => return Left::ByItself,
            };
            let message = match next {
                Ok(message) => message.expect("the gateway sends messages"),
                Err(ended) => return Left::Ended(ended),
            };
            match message.cmd() {
                Command::Heartbeat => self.is_served(open),
                Command::DownstreamMessage => {
                    let key = message.key;
                    self.trace
                        .say(format!("{} gets {key} from {}", self.who.name, open.door.1));
                    let sent = match open.acknowledges {
                        Acknowledges::AtOnce => self.acknowledge(open, key).await,
                        Acknowledges::After(time) => {
                            open.due.insert((Instant::now() + time, key));
                            Ok(())
                        }
                        Acknowledges::Never => Ok(()),
                    };
                    if let Err(ended) = sent {
                        return Left::Ended(ended);
                    }
                }
                _ => {}
            }
        }
    }

    fn is_served(&self, open: &mut Open) {
        let (node, process) = open.door;
        let who = &self.who;
        self.trace
            .say(format!("{} is served by {process}", who.name));
        let mut links = self.links.lock();
        let is_gone = self
            .doors
            .lock()
            .get(&node)
            .is_none_or(|(now, _)| *now != process);
        let now = self.time.ms();
        open.place = Some(links.len());
        links.push(Link {
            user: who.user.clone(),
            device: who.device.clone(),
            node,
            process,
            began: now,
            ended: is_gone.then_some(now),
            was_replaced: false,
            acknowledged: BTreeMap::new(),
        });
    }

    async fn acknowledge(&self, open: &mut Open, key: String) -> Result<(), Ended> {
        let acknowledgement = Message {
            cmd: Command::DownstreamAck.into(),
            key: key.clone(),
            ..Message::default()
        };
        let now = self.time.ms();
        let what = (self.who.user.clone(), key.clone());
        self.acknowledged.lock().entry(what).or_insert(now);
        if let Some(place) = open.place {
            let mut links = self.links.lock();
            let link = &mut links[place];
            link.acknowledged.entry(key).or_insert(now);
        }
        open.socket.send(&acknowledgement).await
    }

    fn ends(&self, open: &Open, was_replaced: bool) {
        if let Some(place) = open.place {
            let mut links = self.links.lock();
            let link = &mut links[place];
            link.ended.get_or_insert(self.time.ms());
            link.was_replaced = was_replaced;
        }
    }
}
