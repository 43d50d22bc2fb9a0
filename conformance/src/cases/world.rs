//! The world of a case: everything that a node touches, scripted, within one thread and without a port.

pub mod backend;
pub mod client;
pub mod edges;
pub mod log;
pub mod seal;
pub mod there;
pub mod time;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use linkgate_core::clock::SystemClock;
use linkgate_core::network::{MemoryNetwork, Network};
use linkgate_filter::runner::watch::{Sight, Watch, Word};
use linkgate_filter::{Clock, Direction, LinkInfo, Outcome};
use tonic::transport::Channel;

use self::backend::ScriptedBackends;
use self::client::Client;
use self::edges::ScriptedEdges;
use self::log::Log;
pub use self::there::There;
use self::time::{Quiet, VirtualClock};
use crate::cases::happened::Said;
use crate::cases::language::Expectation;

/// The world of a case.
pub struct World {
    /// What happens.
    pub log: Log,
    /// When nothing is left to be done.
    pace: Pace,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Backends.
    pub backends: ScriptedBackends,
    /// Stores and brokers.
    pub edges: ScriptedEdges,
    /// The way to the node's addresses.
    pub memory: MemoryNetwork,
    /// The gateway, where it is not of this world.
    pub there: Option<There>,
    /// The clients that are connected.
    pub clients: BTreeMap<String, Client>,
    /// The connections of those who push by calls.
    pub callers: BTreeMap<SocketAddr, Channel>,
}

impl World {
    /// A world in which nothing has happened, for a node of its own.
    pub fn scripted(quiet: Quiet, allow: &[Expectation]) -> Self {
        let log = Log::begin(allow);
        let backends = ScriptedBackends::new(&log);
        Self::of(log, backends, Pace::Virtual(quiet), None)
    }

    /// The world around a gateway that runs there: only clients are scripted, and backends that it calls.
    pub fn real(there: &There, allow: &[Expectation]) -> Self {
        let there = there.anew();
        let log = Log::begin(allow).marked(there.marks());
        there.backends.tells(&log);
        let backends = there.backends.clone();
        Self::of(log, backends, Pace::Real, Some(there))
    }

    fn of(log: Log, backends: ScriptedBackends, pace: Pace, there: Option<There>) -> Self {
        let clock: Arc<dyn Clock> = match pace {
            Pace::Virtual(_) => Arc::new(VirtualClock::start()),
            Pace::Real => Arc::new(SystemClock),
        };
        Self {
            edges: ScriptedEdges::new(&clock, &log, Arc::new(backends.clone())),
            log,
            pace,
            clock,
            backends,
            memory: MemoryNetwork::default(),
            there,
            clients: BTreeMap::new(),
            callers: BTreeMap::new(),
        }
    }

    /// Ends when nothing more comes of what was done; elsewhere than in virtual time, when nothing more is to be expected.
    pub async fn settled(&self) {
        match &self.pace {
            Pace::Virtual(quiet) => quiet.settled().await,
            Pace::Real => tokio::time::sleep(There::SETTLES).await,
        }
    }

    /// Whether time passes by itself, so that what happens is not all a step's doing.
    pub fn is_real(&self) -> bool {
        matches!(self.pace, Pace::Real)
    }

    /// How long something that a step states may take to be seen.
    pub fn patience(&self) -> Duration {
        match self.pace {
            Pace::Virtual(_) => Duration::ZERO,
            Pace::Real => There::PATIENCE,
        }
    }

    /// The network that the node binds its addresses on.
    pub fn network(&self) -> Network {
        Network::Memory(self.memory.clone())
    }

    /// What watches the filters.
    pub fn watch(&self) -> Arc<dyn Watch> {
        Arc::new(Watching(self.log.clone()))
    }
}

/// When nothing is left to be done.
enum Pace {
    /// At once: time stands still.
    Virtual(Quiet),
    /// After a while.
    Real,
}

/// Writes down what filters say.
struct Watching(Log);

impl Watch for Watching {
    fn saw(&self, link: &Arc<LinkInfo>, id: &Arc<str>, sight: Sight<'_>) {
        let text = match sight {
            Sight::Verdict {
                direction,
                command,
                key,
                parts,
                verdict,
            } => {
                let way = match direction {
                    Direction::Upstream => "->",
                    Direction::Downstream => "<-",
                };
                let mut text = format!("{way} ");
                match command {
                    Some(command) => {
                        let number = i32::from(command as u8);
                        let name = linkgate_proto::v1::Command::try_from(number);
                        text += name.map_or("?", |name| name.as_str_name());
                    }
                    None => text += "frame",
                }
                // Writing to a text cannot fail.
                let _ = match parts {
                    0 if key.is_empty() => Ok(()),
                    0 => write!(text, " {key}"),
                    parts => write!(text, " of {parts}"),
                };
                match verdict {
                    Word::Next => text + ": next",
                    Word::Done => text + ": done",
                    Word::Waits => text + ": waits",
                    Word::Refused(fault) => {
                        let _ = write!(text, ": refused, {}", fault.code);
                        text
                    }
                }
            }
            Sight::Settled(Outcome::Accepted(_)) => "settled: accepted".to_owned(),
            Sight::Settled(Outcome::Failed(fault)) => {
                format!("settled: failed, {}", fault.code)
            }
            Sight::Settled(Outcome::Unknown(fault)) => {
                format!("settled: unknown, {}", fault.code)
            }
        };
        let identity = &link.identity;
        self.0.say(Said {
            biz_id: Arc::clone(&identity.biz_id),
            user_id: Arc::clone(&identity.user_id),
            filter: Arc::clone(id),
            text,
        });
    }
}
