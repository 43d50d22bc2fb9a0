//! `linkgate plan`: what would change, and what of it wants care.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hyper::Method;
use linkgate_core::config::compare::{Difference, compare};
use linkgate_core::config::diagnostics::count;
use linkgate_core::config::{self, documents};
use linkgate_core::reload::Proposal;
use linkgate_filter::Registry;

use super::admin_client::Asking;
use super::{admin_client, text};

/// Say what a change of the configuration would do: which businesses and links it touches, which state of filters goes on,
/// and what wants care.
///
/// Nothing is changed, and no secret is shown.
///
/// Exit code: 0 if nothing wants care, 3 if something does, 1 if a configuration has problems or a node does not answer, 2
/// if the command line is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What runs now: a file or a directory. Left out with --node
    #[arg(value_name = "OLD", required_unless_present = "node")]
    old: Option<PathBuf>,
    /// What is to run: a file or a directory
    #[arg(value_name = "NEW", required_unless_present = "node")]
    new: Option<PathBuf>,
    /// Ask the node with this admin address instead of reading OLD: it knows its links, variables and secrets
    #[arg(long, value_name = "URL")]
    node: Option<String>,
    #[command(flatten)]
    asking: Asking,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a change that wants care ends with.
const CARE: u8 = 3;

/// Runs the command.
pub(crate) async fn run(args: Args, registry: &Registry) -> ExitCode {
    let differences = match (&args.node, &args.old, &args.new) {
        (Some(node), Some(new), None) => ask((node, &args.asking), new).await,
        (None, Some(old), Some(new)) => offline(old, new, registry),
        _ => {
            text::complain("give OLD and NEW, or --node and NEW");
            return ExitCode::from(2);
        }
    };
    match differences {
        Ok(differences) => {
            if args.json {
                text::say(serde_json::to_string_pretty(&differences).unwrap_or_default());
            } else {
                show(&differences);
            }
            let wants_care = differences.iter().any(|part| !part.risks.is_empty());
            ExitCode::from(if wants_care { CARE } else { 0 })
        }
        Err(problem) => {
            let _ = write!(io::stderr(), "{}", problem.trim_end().to_owned() + "\n");
            ExitCode::FAILURE
        }
    }
}

fn offline(old: &Path, new: &Path, registry: &Registry) -> Result<Vec<Difference>, String> {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let load = |path: &Path| {
        let config = config::load(&[path.to_owned()], registry);
        config.map_err(|invalid| invalid.render(colour))
    };
    Ok(compare(&load(old)?, &load(new)?))
}

async fn ask((node, asking): (&str, &Asking), new: &Path) -> Result<Vec<Difference>, String> {
    let documents: BTreeMap<String, String> =
        documents::texts(new).map_err(|invalid| invalid.render(false))?;
    let proposal = serde_json::to_vec(&Proposal { documents }).map_err(|e| e.to_string())?;
    if proposal.len() > Proposal::LARGEST {
        return Err(Proposal::too_large());
    }
    let (status, answer) =
        admin_client::call((node, asking), (Method::POST, "/v1/plan"), proposal).await?;
    let said = String::from_utf8_lossy(&answer);
    match status {
        200 => serde_json::from_slice(&answer)
            .map_err(|e| format!("the node at {node} answers in another way: {e}")),
        422 => Err(said.into_owned()),
        _ => Err(format!("the node at {node} answers {status}: {said}")),
    }
}

fn show(differences: &[Difference]) {
    if differences.is_empty() {
        return text::say("nothing changes");
    }
    for part in differences {
        let links = part
            .links
            .map(|links| format!(" ({})", count(links, "link")));
        text::say(format_args!(
            "{}: {}{}",
            part.part,
            part.what,
            links.unwrap_or_default()
        ));
        for detail in &part.details {
            text::say(format_args!("    {detail}"));
        }
        for risk in &part.risks {
            text::say(format_args!("  ! {risk}"));
        }
    }
    let care = differences
        .iter()
        .filter(|part| !part.risks.is_empty())
        .count();
    let parts = count(differences.len(), "part");
    text::say(format_args!(
        "{parts} of the configuration would change, {care} with care (!)"
    ));
}
