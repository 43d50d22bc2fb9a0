//! What has become of a configuration: for the log, and for the node's status.

use linkgate_filter::Clock;

use crate::clock::SystemClock;
use crate::config::hash_of;
use crate::config::standing::Document;
use crate::node::{Changed, DocumentStatus, Shared};

fn now() -> i64 {
    crate::node::unix_ms(SystemClock.wall())
}

/// Says of each document what became of it, to the log only what is new.
pub(super) fn report(status: &Shared, documents: &[Document]) {
    let shown = |document: &Document| DocumentStatus {
        name: document.path.display().to_string(),
        hash: document.hash.clone(),
        refused: document.refused.clone(),
    };
    let documents_now: Vec<_> = documents.iter().map(shown).collect();
    let before = status.get();
    let is_known = |document: &&DocumentStatus| before.documents.contains(document);
    let refused = documents_now.iter().filter(|own| own.refused.is_some());
    let new: Vec<_> = refused.filter(|own| !is_known(own)).cloned().collect();
    for document in &new {
        let (name, problems) = (&document.name, document.refused.as_deref());
        let goes_on = match document.hash.is_empty() {
            true => "it is left out",
            false => "its last good version goes on",
        };
        let problems = problems.unwrap_or_default().trim_end();
        tracing::error!("{name} is refused, and {goes_on}:\n{problems}");
    }
    status.update(|status| {
        status.accepted = documents_now.iter().all(|own| own.refused.is_none());
        status.rejected += u64::from(!new.is_empty());
        status.documents = documents_now;
        status.hash = hash_of(documents);
        status.read_at = now();
        status.refused = None;
    });
}

pub(super) fn announce(
    status: &Shared,
    documents: &[Document],
    changed: Changed,
    restart: Vec<String>,
) {
    let before = status.get();
    report(status, documents);
    for part in restart
        .iter()
        .filter(|part| !before.needs_restart.contains(part))
    {
        tracing::warn!("{part} has changed: that takes effect with a restart");
    }
    let hash = status.get().hash;
    let is_change = changed.is_change || hash != before.hash;
    status.update(|status| {
        status.generation += u64::from(is_change);
        if is_change {
            status.since = now();
        }
        status.needs_restart = restart;
    });
    if is_change {
        let Changed { links, leaving, .. } = changed;
        let (generation, hash) = (before.generation + 1, hash.get(..12).unwrap_or_default());
        tracing::info!(
            generation,
            hash,
            links,
            leaving,
            "the configuration has changed"
        );
    }
}

pub(super) fn refuse(status: &Shared, why: String) {
    status.update(|status| {
        status.accepted = false;
        status.rejected += 1;
        status.read_at = now();
        status.refused = Some(why);
    });
}
