//! `linkgate status`: what was pushed, and what each node has made of it.

use std::collections::BTreeMap;
use std::process::ExitCode;

use hyper::Method;
use linkgate_core::config::documents;
use linkgate_core::config::etcd::Snapshot;
use linkgate_core::node::ConfigStatus;

use super::{etcd, told};
use crate::admin_client::Asking;
use crate::{admin_client, text};

/// Say which configuration runs: on the nodes that follow an etcd, or on the node with this admin address.
///
/// Exit code: 0 if every node runs what was pushed, 3 if one lags behind or has refused a document, 1 if nobody answers, 2
/// if the command line is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `etcd://host:2379/linkgate/prod`, `etcds://` for TLS, or `http://host:port` or `https://host:port` of a node
    #[arg(value_name = "URL")]
    url: String,
    /// Show the last pushes too
    #[arg(long)]
    history: bool,
    #[command(flatten)]
    asking: Asking,
}

/// What a node that is not in step ends with.
const OUT_OF_STEP: u8 = 3;

/// Runs the command.
pub(crate) async fn run(args: Args) -> ExitCode {
    let shown = if args.url.starts_with("http://") || args.url.starts_with("https://") {
        of_node(&args.url, &args.asking).await
    } else {
        of_all(&args).await
    };
    match shown {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(OUT_OF_STEP),
        Err(problem) => {
            text::complain(problem);
            ExitCode::FAILURE
        }
    }
}

/// Shows one node; says whether all that it read runs.
async fn of_node(url: &str, asking: &Asking) -> Result<bool, String> {
    let (status, body) =
        admin_client::call((url, asking), (Method::GET, "/v1/config"), Vec::new()).await?;
    let read = serde_json::from_slice::<ConfigStatus>(&body);
    let status = match (status, read) {
        (200, Ok(status)) => status,
        _ => return Err(format!("what answers at {url} is no linkgate of this kind")),
    };
    text::say(line(&status, "runs"));
    show_refused(&status);
    Ok(status.accepted)
}

/// Shows what was pushed, and every node; says whether they are in step.
async fn of_all(args: &Args) -> Result<bool, String> {
    let etcd = etcd(&args.url)?;
    let snapshot = etcd.read().await.map_err(|error| error.to_string())?;
    let statuses = etcd.statuses().await.map_err(|error| error.to_string())?;
    match snapshot.head() {
        Some(head) => text::say(told(head)),
        None => text::say("nothing was pushed yet"),
    }
    if snapshot.head().is_some() && !snapshot.is_whole() {
        text::say("  ! documents were changed since, by hand or by a push that is under way");
    }
    if args.history {
        let history = etcd.history().await.map_err(|error| error.to_string())?;
        for head in history.iter().skip(1) {
            text::say(format_args!("  before: {}", told(head)));
        }
    }
    let meant = meant(&snapshot);
    let mut are_in_step = true;
    for (node, status) in &statuses {
        let Ok(status) = serde_json::from_value::<ConfigStatus>(status.clone()) else {
            text::say(format_args!(
                "{node}: says what this linkgate does not understand"
            ));
            are_in_step = false;
            continue;
        };
        let behind = behind(&status, &meant);
        let word = match (status.accepted, behind.is_empty()) {
            (true, true) => "in step",
            (false, _) => "refuses",
            (true, false) => "lags",
        };
        are_in_step &= word == "in step";
        text::say(line(&status, word));
        for name in behind {
            text::say(format_args!("  ! {name} is not what was pushed"));
        }
        show_refused(&status);
    }
    if statuses.is_empty() {
        text::say("no node follows it");
    }
    Ok(are_in_step)
}

fn line(status: &ConfigStatus, word: &str) -> String {
    let hash = status.hash.get(..12).unwrap_or(&status.hash);
    let since = super::date(status.since.unsigned_abs() / 1000);
    let ConfigStatus {
        node,
        version,
        generation,
        ..
    } = status;
    format!("{node}: {word}, {hash} since {since} (change {generation} of linkgate {version})")
}

fn show_refused(status: &ConfigStatus) {
    let documents = status.documents.iter();
    let refused = documents.filter_map(|own| Some((own.name.as_str(), own.refused.as_deref()?)));
    let all = status
        .refused
        .as_deref()
        .map(|why| ("the configuration", why));
    for (name, why) in refused.chain(all) {
        text::say(format_args!("  ! {name} is refused:"));
        for line in why.trim_end().lines() {
            text::say(format_args!("      {line}"));
        }
    }
    if let Some(why) = &status.unreachable {
        text::say(format_args!("  ! {why}"));
    }
    for part in &status.needs_restart {
        text::say(format_args!(
            "  ! {part} has changed, which takes effect with a restart"
        ));
    }
}

/// What the documents mean, by their names.
fn meant(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let texts = snapshot.documents.iter();
    let texts = texts.filter_map(|(name, own)| Some((name.clone(), own.text()?.to_owned())));
    documents::meanings(&texts.collect())
}

/// The documents of which a node runs another version, or none, but those that a file of its own takes the place of.
fn behind<'a>(status: &ConfigStatus, meant: &'a BTreeMap<String, String>) -> Vec<&'a str> {
    let runs = |name: &str| {
        let mut own = status.documents.iter();
        own.find(|own| own.name.strip_prefix("etcd:") == Some(name))
            .map(|own| &own.hash)
    };
    let is_local = |name: &str| {
        let mut own = status.documents.iter();
        own.any(|own| !own.name.starts_with("etcd:") && own.name.rsplit('/').next() == Some(name))
    };
    let differs = |(name, hash): &(&String, &String)| runs(name) != Some(hash) && !is_local(name);
    meant
        .iter()
        .filter(differs)
        .map(|(name, _)| name.as_str())
        .collect()
}
