//! A gateway that runs elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::backend::ScriptedBackends;
use super::log::{Log, Marks};

/// A gateway that runs elsewhere.
#[derive(Clone)]
pub struct There {
    /// Where its listener is: `ws://host:port/path`.
    pub url: String,
    /// The token of all clients, where the case runner cannot sign them.
    pub token: Option<String>,
    /// The backends that it calls here.
    pub backends: ScriptedBackends,
    /// Stands behind the names of a case's users there: what earlier cases have left is not theirs.
    pub mark: String,
    /// How the marks of all cases begin.
    run: String,
    cases: Arc<AtomicU32>,
}

impl There {
    /// What is done has its first effects after this long.
    pub const SETTLES: Duration = Duration::from_millis(50);
    /// How long something may take.
    pub const PATIENCE: Duration = Duration::from_secs(5);

    /// A gateway at this URL.
    pub fn new(url: &str, token: Option<String>) -> Self {
        Self {
            url: url.to_owned(),
            token,
            backends: ScriptedBackends::new(&Log::begin(&[])),
            mark: String::new(),
            run: format!("~{:08x}-", fastrand::u32(..)),
            cases: Arc::default(),
        }
    }

    /// Who of those that are named in what is seen is of another case.
    pub(super) fn marks(&self) -> Marks {
        Marks {
            own: self.mark.clone(),
            all: self.run.clone(),
        }
    }

    /// Scheme, host and port of its listener.
    pub fn base(&self) -> &str {
        let host = self.url.find("://").map_or(0, |at| at + 3);
        let end = self.url[host..]
            .find('/')
            .map_or(self.url.len(), |at| host + at);
        &self.url[..end]
    }

    /// The path of its listener, if the URL has one.
    pub fn path(&self) -> Option<&str> {
        Some(&self.url[self.base().len()..]).filter(|path| !path.is_empty())
    }

    /// The same for the next case.
    pub(super) fn anew(&self) -> Self {
        let number = self.cases.fetch_add(1, Ordering::Relaxed);
        Self {
            mark: format!("{}{number}~", self.run),
            ..self.clone()
        }
    }
}
