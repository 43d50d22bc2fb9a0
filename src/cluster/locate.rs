//! `linkgate where`: the links of a user, by the directory and by the nodes' own tables, side by side.

use std::process::ExitCode;

use linkgate_core::cluster::{LinkReport, Whereabouts};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::ask;
use super::nodes::table;
use crate::admin_client::Asking;
use crate::text;

/// Show where a user is: what the directory says, and what each node has in its own table, which is the truth.
///
/// Exit code: 0 if both say the same, 3 if they do not or somebody does not answer, 1 if the node does not answer, 2 if the
/// command line is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The user
    #[arg(value_name = "USER")]
    user: String,
    /// The business of the user
    #[arg(long, value_name = "BIZ")]
    biz: String,
    /// The admin address of any node of the cluster
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9901")]
    node: String,
    #[command(flatten)]
    asking: Asking,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What the command ends with if the two do not say the same.
const CARE: u8 = 3;

/// Runs the command.
pub(crate) async fn run(args: Args) -> ExitCode {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let path = format!(
        "/v1/where?biz_id={}&user_id={}",
        encoded(&args.biz),
        encoded(&args.user)
    );
    let (found, json) = match ask::<Whereabouts>(&args.node, &args.asking, &path).await {
        Ok(answer) => answer,
        Err(problem) => {
            text::complain(problem);
            return ExitCode::FAILURE;
        }
    };
    match args.json {
        true => text::say(json),
        false => text::say(shown(&found)),
    }
    match agree(&found) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(CARE),
    }
}

/// A link, so that both sides can be compared.
type Link<'a> = (&'a str, u64, Option<&'a str>);

fn link(link: &LinkReport) -> Link<'_> {
    (&link.node, link.link, link.device.as_deref())
}

fn agree(found: &Whereabouts) -> bool {
    let Ok(directory) = &found.directory else {
        return false;
    };
    if found.nodes.values().any(Option::is_none) {
        return false;
    }
    let mut claimed: Vec<_> = directory.claims.iter().map(link).collect();
    let tables = found.nodes.values().flatten().flatten();
    let mut held: Vec<_> = tables.map(link).collect();
    claimed.sort_unstable();
    held.sort_unstable();
    claimed == held
}

fn shown(found: &Whereabouts) -> String {
    let row = |link: &LinkReport, directory: &str, table: &str| {
        let device = link.device.clone().unwrap_or_else(|| "-".to_owned());
        let cells = [
            &*link.node,
            &link.link.to_string(),
            &device,
            directory,
            table,
        ];
        cells.map(str::to_owned)
    };
    let mut rows = vec![["NODE", "LINK", "DEVICE", "DIRECTORY", "NODE'S TABLE"].map(str::to_owned)];
    let held: Vec<&LinkReport> = found.nodes.values().flatten().flatten().collect();
    let (claims, displaced) = match &found.directory {
        Ok(directory) => (&*directory.claims, &*directory.displaced),
        Err(_) => (&[][..], &[][..]),
    };
    for claim in claims {
        let is_silent = found.nodes.get(&claim.node).is_some_and(Option::is_none);
        let table = match held.iter().any(|held| link(held) == link(claim)) {
            true => "open",
            false if is_silent => "does not answer",
            false => "not there",
        };
        let state = if claim.is_resumable {
            "resumable"
        } else {
            "online"
        };
        rows.push(row(
            claim,
            &format!("{state}, epoch {}", claim.epoch),
            table,
        ));
    }
    for gone in displaced {
        rows.push(row(gone, "displaced", "-"));
    }
    for held in &held {
        if !claims.iter().any(|claim| link(claim) == link(held)) {
            rows.push(row(held, "not there", "open"));
        }
    }
    let mut lines = Vec::new();
    match rows.len() {
        1 => lines.push("no link, by the directory and by all nodes that answer".to_owned()),
        _ => lines.push(table(&rows)),
    }
    if let Err(why) = &found.directory {
        lines.push(format!("the directory does not answer: {why}"));
    }
    for (node, links) in &found.nodes {
        if links.is_none() {
            lines.push(format!("node {node} does not answer"));
        }
    }
    lines.join("\n")
}
