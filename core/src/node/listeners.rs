//! The node's listeners: opened, changed in place, closed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use linkgate_filter::Clock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gateway::Gateway;
use crate::listener::config::ListenerConfig;
use crate::listener::{Change, Control, ListenError, Listener, ListenerMetrics};
use crate::network::{Network, Socket};

/// The listeners that are open, by name.
#[derive(Default)]
pub(super) struct Listeners(BTreeMap<String, Open>);

struct Open {
    config: ListenerConfig,
    /// What of its config it was bound with.
    bound: Fixed,
    address: SocketAddr,
    control: Control,
    socket: Arc<Socket>,
    stop: CancellationToken,
}

/// What of a config only a new listener takes.
#[derive(PartialEq)]
struct Fixed(bool, u32, u32);

impl Fixed {
    fn of(config: &ListenerConfig) -> Self {
        let handshakes = config.admission.max_handshakes;
        Self(config.reuse_port, config.backlog, handshakes)
    }
}

/// What becomes of a listener.
enum Step {
    Stays,
    Changes(ListenerConfig, Box<Change>),
    Opens(ListenerConfig, Listener),
}

/// Everything that can fail of a change is done.
pub(super) struct Next(BTreeMap<String, Step>);

impl Next {
    /// Whether anything is different from what is open.
    pub(super) fn is_change(&self, open: &Listeners) -> bool {
        let mut steps = self.0.values();
        self.0.len() != open.0.len() || !steps.all(|step| matches!(step, Step::Stays))
    }
}

impl Listeners {
    /// Prepares a change to these configs: binds what is new, and nothing else.
    pub(super) fn next(
        &self,
        configs: &[ListenerConfig],
        metrics: &ListenerMetrics,
        outside: (&Network, &Arc<dyn Clock>),
    ) -> Result<Next, ListenError> {
        let step = |config: &ListenerConfig| {
            let step = match self.0.get(&config.name) {
                Some(open) if open.config == *config => Step::Stays,
                Some(open) if open.config.address == config.address => {
                    Step::Changes(config.clone(), Box::new(open.control.prepare(config)?))
                }
                _ => Step::Opens(config.clone(), self.open(config, metrics, outside)?),
            };
            Ok((config.name.clone(), step))
        };
        configs.iter().map(step).collect::<Result<_, _>>().map(Next)
    }

    /// Binds the address, or takes it over from a listener that goes, by another name or to another address.
    fn open(
        &self,
        config: &ListenerConfig,
        metrics: &ListenerMetrics,
        outside: (&Network, &Arc<dyn Clock>),
    ) -> Result<Listener, ListenError> {
        let has_it = |open: &&Open| open.config.address == config.address;
        match self.0.values().find(has_it) {
            Some(open) if config.address.port() != 0 => {
                Listener::on(Arc::clone(&open.socket), config, metrics, outside.1)
            }
            _ => Listener::bind(config, metrics, outside),
        }
    }

    /// Makes the change. Listeners that are gone accept no more; one at another address accepts there instead.
    pub(super) fn make(
        &mut self,
        next: Next,
        gateway: &Arc<Gateway>,
        (tasks, stop): (&TaskTracker, &CancellationToken),
    ) {
        let mut before = std::mem::take(&mut self.0);
        for (name, step) in next.0 {
            let open = before.remove(&name);
            let open = match (step, open) {
                (Step::Stays, Some(open)) => open,
                (Step::Changes(config, change), Some(open)) => {
                    change.make();
                    Open { config, ..open }
                }
                (Step::Opens(config, listener), open) => {
                    open.inspect(|open| open.stop.cancel());
                    let open = Open {
                        address: listener.local_address().unwrap_or(config.address),
                        control: listener.control(),
                        socket: listener.socket(),
                        bound: Fixed::of(&config),
                        stop: stop.child_token(),
                        config,
                    };
                    tasks.spawn(listener.run(Arc::clone(gateway), open.stop.clone()));
                    open
                }
                // Only what was open stays or changes.
                (Step::Stays | Step::Changes(..), None) => continue,
            };
            self.0.insert(name, open);
        }
        for open in before.values() {
            open.stop.cancel();
        }
    }

    /// What has changed of them and takes a restart.
    pub(super) fn needs_restart(&self) -> Vec<String> {
        let changed = self
            .0
            .values()
            .filter(|open| open.bound != Fixed::of(&open.config));
        let name = |open: &Open| {
            let name = &open.config.name;
            format!("reuse_port, backlog or max_handshakes of the listener {name}")
        };
        changed.map(name).collect()
    }

    /// Their names and the addresses they have bound.
    pub(super) fn addresses(&self) -> Vec<(String, SocketAddr)> {
        let address = |(name, open): (&String, &Open)| (name.clone(), open.address);
        self.0.iter().map(address).collect()
    }
}
