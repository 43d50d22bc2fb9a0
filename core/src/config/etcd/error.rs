//! What can go wrong with a push, for the one who can mend it. No error holds the text of a document.

use super::keys::{MOST_BYTES, MOST_DOCUMENTS};
use super::snapshot::{Head, LARGEST};
use crate::edges::etcd::EtcdError;

/// Why a push or a roll-back did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Somebody else was quicker. Nothing was written.
    #[error(
        "{} meanwhile{}, so that the push is refused; read again, look at the difference, and push again",
        changed(documents),
        by_whom(head.as_deref())
    )]
    ChangedMeanwhile {
        /// The documents that are not what they were.
        documents: Vec<String>,
        /// The push that came between, if it was one.
        head: Option<Box<Head>>,
    },
    /// A push in several transactions ended in the middle.
    #[error(
        "the push was interrupted after {} of {} documents ({cause}); nodes may have taken these over already: push again, \
         or roll back",
        written.len(),
        written.len() + missing.len()
    )]
    Interrupted {
        /// The documents that are written or removed.
        written: Vec<String>,
        /// Those that are not.
        missing: Vec<String>,
        /// Why.
        cause: Box<PushError>,
    },
    /// etcd may have taken it or not.
    #[error(
        "it is not known whether the push took effect: {error}; look at the history before you push again"
    )]
    Unknown {
        /// What happened.
        error: EtcdError,
    },
    /// No name for a document.
    #[error("{name:?} cannot be the name of a document: {why}")]
    Name {
        /// As given.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A document that no node would read.
    #[error("{name} has {bytes} bytes, and a document has at most {} KiB; split it into several", LARGEST >> 10)]
    TooLarge {
        /// Which.
        name: String,
        /// Its size.
        bytes: usize,
    },
    /// More than may be.
    #[error("these are more than {MOST_DOCUMENTS} documents or {} MiB", MOST_BYTES >> 20)]
    TooMuch,
    /// The history does not go back so far, or not yet.
    #[error("there is no generation {wanted}; {}", kept_ones(kept))]
    NoSuchGeneration {
        /// As asked for.
        wanted: u64,
        /// What there is, the newest first.
        kept: Vec<u64>,
    },
    /// A text of the history is gone.
    #[error(
        "the text that {document} had in generation {generation} is not kept any more; push it from its source"
    )]
    TextIsGone {
        /// As asked for.
        generation: u64,
        /// Which.
        document: String,
    },
    /// etcd. Nothing was written that nodes read.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
}

fn changed(documents: &[String]) -> String {
    const SHOWN: usize = 5;
    match documents {
        [] => "somebody pushed".to_owned(),
        few if few.len() <= SHOWN => format!("somebody changed {}", few.join(", ")),
        many => {
            let (first, rest) = many.split_at(SHOWN);
            format!(
                "somebody changed {} and {} more",
                first.join(", "),
                rest.len()
            )
        }
    }
}

fn by_whom(head: Option<&Head>) -> String {
    match head {
        Some(head) => format!(" (generation {} is by {:?})", head.generation, head.by),
        None => String::new(),
    }
}

fn kept_ones(kept: &[u64]) -> String {
    if kept.is_empty() {
        return "nothing was pushed so far".to_owned();
    }
    let shown: Vec<String> = kept.iter().map(u64::to_string).collect();
    format!("these are kept: {}", shown.join(", "))
}
