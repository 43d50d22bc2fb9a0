//! What a proposal would change, worked out beside the task that hears of changes and of the end.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::task::{JoinHandle, spawn_blocking};

use super::Reloader;
use super::questions::{Answer, Proposal, Question};
use crate::config::compare::compare;
use crate::config::source::Origin;
use crate::config::{self, Invalid};
use crate::node::Node;

impl Reloader {
    /// Answers what a proposal would change.
    pub(super) fn plan(&self, question: Question, node: &Node) -> JoinHandle<()> {
        let Question { proposal, answer } = question;
        let (now, then) = self.both(proposal);
        let (registry, directories) = (self.registry.clone(), self.watched.directories.clone());
        let links = node.links();
        let plan = move || -> Answer {
            let both = config::load_both(now, then, &registry, &directories);
            let (now, then) = both.map_err(|invalid| explained(&invalid))?;
            let mut differences = compare(&now, &then);
            for part in &mut differences {
                let of = |biz_id: &String| links.get(biz_id.as_str()).copied().unwrap_or(0);
                part.links = part.biz_id.as_ref().map(of);
            }
            Ok(differences)
        };
        spawn_blocking(move || {
            // Who has gone waits for nothing.
            if !answer.is_closed() {
                let _ = answer.send(plan());
            }
        })
    }

    /// What runs, and what would run.
    fn both(&self, proposal: Proposal) -> (Origin, Origin) {
        let as_it_runs = |(path, text): (&PathBuf, &String)| (path.clone(), Some(text.clone()));
        let now = Origin {
            instead: self.good.iter().map(as_it_runs).collect(),
            ..self.origin.clone()
        };
        let mut proposed = proposal.documents;
        let mut instead = BTreeMap::new();
        for path in self.good.keys() {
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            let text = name.and_then(|name| proposed.remove(&name));
            if text.is_some() || !self.origin.paths.contains(path) {
                instead.insert(path.clone(), text);
            }
        }
        let mut then = Origin {
            instead,
            ..self.origin.clone()
        };
        if self.remote.is_some() {
            then.fetched = Some(proposed);
        } else {
            let folder = self
                .watched
                .directories
                .first()
                .cloned()
                .unwrap_or_default();
            let new = proposed.into_iter();
            let new = new.map(|(name, text)| (folder.join(name), Some(text)));
            then.instead.extend(new);
        }
        (now, then)
    }
}

fn explained(invalid: &Invalid) -> String {
    let mut said = invalid.render(false);
    if invalid.diagnostics.has_unfilled() {
        said += "note: references are not filled in here; `linkgate validate` checks them where their values are\n";
    }
    said
}
