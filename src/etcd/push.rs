//! `linkgate push`: a folder of documents becomes what all nodes run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use linkgate_core::config::etcd::{Etcd, Push, Snapshot};
use linkgate_core::config::{documents, source::Origin};
use linkgate_core::node::ConfigStatus;
use linkgate_filter::Registry;

use super::{etcd, somebody, told};
use crate::text;

/// Make the documents of a directory what all nodes run that follow this etcd.
///
/// They are validated first, as `linkgate validate` does it, and compared with what live nodes can read. Nothing is
/// written if somebody has changed a document meanwhile. Up to about 60 changed documents are one transaction; more are
/// written in several, what businesses share first.
///
/// Exit code: 0 if it is done or nothing differs, 1 if it is refused or etcd does not answer, 2 if the command line is
/// wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The documents: `*.yaml` and `*.yml` files. Those that are not in it any more are removed
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// `etcd://host:2379/linkgate/prod`, or `etcds://` for TLS. User and password: LINKGATE_ETCD_USER and
    /// LINKGATE_ETCD_PASSWORD
    #[arg(value_name = "URL")]
    url: String,
    /// Why, for the history
    #[arg(
        long,
        short = 'm',
        value_name = "TEXT",
        hide_default_value = true,
        default_value = ""
    )]
    note: String,
    /// Who, for the history [default: the user of this shell]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Push also what has problems here, or what a live node cannot read
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub(crate) async fn run(args: Args, registry: &Registry) -> ExitCode {
    match push(&args, registry).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            text::complain(problem.trim_end());
            ExitCode::FAILURE
        }
    }
}

async fn push(args: &Args, registry: &Registry) -> Result<(), String> {
    let etcd = etcd(&args.url)?;
    let documents = documents::texts(&args.directory).map_err(|e| e.render(false))?;
    let first = match validated(args, registry) {
        Ok(first) => first,
        Err(problems) if args.force => {
            text::complain(problems.trim_end());
            Vec::new()
        }
        Err(problems) => return Err(problems),
    };
    let snapshot = etcd.read().await.map_err(|error| error.to_string())?;
    match unread(&documents, &etcd).await {
        Ok(problems) if problems.is_empty() => {}
        Ok(problems) | Err(problems) if args.force => text::complain(problems),
        Ok(problems) | Err(problems) => return Err(problems),
    }
    let (written, removed) = difference(&snapshot, &documents);
    for name in &written {
        text::say(format_args!("write  {name}"));
    }
    for name in &removed {
        text::say(format_args!("remove {name}"));
    }
    if args.dry_run {
        return Ok(());
    }
    let push = Push {
        documents,
        first,
        by: args.by.clone().unwrap_or_else(somebody),
        note: args.note.clone(),
    };
    let pushed = etcd
        .push(&snapshot, &push)
        .await
        .map_err(|error| error.to_string())?;
    if pushed.written.is_empty() && pushed.removed.is_empty() {
        text::say(format_args!("nothing differs from {}", told(&pushed.head)));
    } else {
        text::say(told(&pushed.head));
    }
    Ok(())
}

/// The documents that hold what others need, if none has a problem.
fn validated(args: &Args, registry: &Registry) -> Result<Vec<String>, String> {
    let origin = Origin {
        for_etcd: true,
        ..Origin::paths(std::slice::from_ref(&args.directory))
    };
    documents::shared(&origin, registry).map_err(|invalid| invalid.render(false))
}

/// Which documents live nodes cannot read, as a sentence each.
async fn unread(documents: &BTreeMap<String, String>, etcd: &Etcd) -> Result<String, String> {
    let statuses = etcd.statuses().await.map_err(|error| error.to_string())?;
    let mut problems = Vec::new();
    for (node, status) in statuses {
        let Ok(status) = serde_json::from_value::<ConfigStatus>(status) else {
            continue;
        };
        for (name, schema) in documents::schemas(documents) {
            if schema > status.schema {
                problems.push(format!(
                    "the node {node} (linkgate {}) reads schema {} at the most, and `{name}` says {schema}: bring \
                     the node up to date first, or push with --force and leave it with what it has",
                    status.version, status.schema
                ));
            }
        }
    }
    Ok(problems.join("\n"))
}

fn difference(
    snapshot: &Snapshot,
    documents: &BTreeMap<String, String>,
) -> (Vec<String>, Vec<String>) {
    let known = |name: &String| snapshot.documents.get(name).and_then(|known| known.text());
    let written = documents
        .iter()
        .filter(|(name, text)| known(name) != Some(text));
    let gone = snapshot
        .documents
        .keys()
        .filter(|name| !documents.contains_key(*name));
    (
        written.map(|(name, _)| name.clone()).collect(),
        gone.cloned().collect(),
    )
}
