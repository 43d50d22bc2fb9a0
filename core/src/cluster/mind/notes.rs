//! What is said of changes to whoever runs the node.

use linkgate_filter::CloseCode;

use super::Mind;
use crate::cluster::machine::Note;
use crate::cluster::registry::Incarnation;
use crate::cluster::state::Standing;

impl Mind {
    /// Another process has this node's id: there is nothing to be done here any more.
    pub(super) fn lets_go(&mut self) {
        let node = self.registrar.record().id.clone();
        let other = self.view.nodes.get(&node);
        let place = other.map_or("an address that it does not tell", |other| &*other.peer);
        tracing::error!(
            node = &*node,
            other = place,
            "another process of the cluster has the id of this node: all links are closed, and this process ends; give each \
             node an id of its own (`node.id`)"
        );
        for link in self.links.all() {
            link.close(CloseCode::SHUTDOWN);
        }
        self.state.set(Standing::Taken);
    }

    pub(super) fn note(&self, note: Note) {
        let name = |life: &Incarnation| {
            let boot = self.view.boots.get(life);
            boot.map_or_else(|| life.to_string(), |boot| boot.node.to_string())
        };
        match note {
            Note::Ended(life) => {
                tracing::info!(node = name(&life), incarnation = %life, "a node is no more: its links count as gone");
            }
            Note::Suspected(life) => {
                tracing::warn!(node = name(&life), incarnation = %life, "a node is not registered any more and does not answer; it is \
                    given up if it stays so");
            }
            Note::Reborn(life) => {
                tracing::warn!(incarnation = %life, "other nodes have given this one up: it registers anew, with the links that it has");
            }
            Note::Paused(pause) => {
                tracing::warn!(
                    ?pause,
                    "this process did not run for a while: nothing is claimed until the registry or a node says that \
                    it still counts"
                );
            }
            Note::Confirmed => tracing::info!("this node still counts: it claims its links again"),
            Note::Behind(shard) => {
                tracing::warn!(
                    shard = shard.0,
                    "links of this node may be missing in the directory; they are entered as soon as it \
                    answers"
                );
            }
            Note::Asserted(shard, life) => {
                tracing::info!(shard = shard.0, %life, "all links of this node stand in the directory");
            }
            Note::Lags(life) => {
                tracing::error!(node = name(&life), incarnation = %life, "a node's links have been missing in the directory for a minute: while \
                    they are, each push to a user who is not there asks that node; see its log, and whether it reaches the directory");
            }
            Note::Lost(shard) => {
                tracing::error!(
                    shard = shard.0,
                    "a claim of this node is missing in the directory, which should have kept it: all are \
                    entered again; see that the store evicts nothing (`maxmemory-policy noeviction`)"
                );
            }
        }
        self.state.note(note);
    }
}
