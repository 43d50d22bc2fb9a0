//! What is a node's own: only a restart changes it.

use crate::config::document::{Admin, Node};
use crate::config::source::Origin;
use crate::config::{self, Config, Places};

/// The parts of the first configuration that only a restart changes.
pub(super) struct Own {
    node: Node,
    admin: Option<Admin>,
    places: Places,
}

impl Own {
    pub(super) fn of(config: &Config, places: &Places) -> Self {
        Self {
            node: config.node.clone(),
            admin: config.admin.clone(),
            places: places.clone(),
        }
    }

    /// Which of them are others by now.
    pub(super) fn changed(&self, config: &Config, origin: &Origin) -> Vec<String> {
        let parts = [
            ("`node:`", self.node != config.node),
            ("`admin:`", self.admin != config.admin),
            (
                "`etcd` or `cache` of `config:`",
                self.places != config::places(origin),
            ),
        ];
        let changed = parts.iter().filter(|(_, is_changed)| *is_changed);
        changed.map(|(part, _)| (*part).to_owned()).collect()
    }
}
