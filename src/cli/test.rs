//! `linkgate test`: judges what is built around linkgate. Only says which judge it is.

mod client;

use std::process::ExitCode;

use crate::conformance::report::Format;

/// Judge a client by the protocol's checklist: linkgate plays a gateway that loses, doubles, delays and cuts.
///
/// With `--run COMMAND` the command, a small program around the client, is started once per check, in each form, and a
/// report is printed. Without, the kit serves until Ctrl-C, and judges whatever connects. docs/client-conformance.md shows
/// how such a program is written.
///
/// Exit code: 0 if every MUST of the checklist passes, 1 if one fails or nothing was judged, 2 if the command line is
/// wrong.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Judge a client of the protocol
    #[arg(long, required = true)]
    client: bool,
    #[command(flatten)]
    kit: client::Kit,
    /// How the report looks
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Runs the command.
pub(super) fn run(args: Args) -> ExitCode {
    let Args { kit, format, .. } = args;
    super::on_runtime(client::run(kit, format))
}
