//! `linkgate test`: runs the cases of configurations, or judges a client. Only says which.

mod cases;
mod client;

use std::process::ExitCode;

use linkgate_filter::Registry;

use linkgate_conformance::report::Format;

/// Run the cases of configurations, offline and in virtual time, or judge a client.
///
/// Cases stand in files named `*.test.yaml`; docs/testing-pipelines.md says how to write them. Each runs on a node of its
/// own, with the filters of this program, in a world that the case scripts: no port is opened.
///
/// With `--client` linkgate plays a gateway on loopback that loses, doubles, delays and cuts, and judges any client of the
/// protocol by a checklist. With `--run COMMAND` the command, a small program around the client, is started once per check,
/// in each form; without, the kit serves until Ctrl-C and judges whatever connects. docs/client-conformance.md shows how
/// such a program is written.
///
/// Exit code: 0 if all cases are good, or every MUST of the checklist passes, 1 if one is not or cannot be read, or coverage
/// is lower than asked for, or nothing was judged, 2 if the command line is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    cases: cases::Options,
    /// Judge a client of the protocol, in place of cases
    #[arg(long, conflicts_with_all = ["paths", "only", "coverage", "least", "bless", "watch", "against", "backend"])]
    client: bool,
    #[command(flatten)]
    kit: client::Kit,
    /// How the report looks
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Runs the command.
pub(crate) fn run(args: Args, registry: &Registry) -> ExitCode {
    let Args {
        cases,
        client,
        kit,
        format,
    } = args;
    if client {
        return super::on_runtime(client::run(kit, format));
    }
    match (&cases.against, cases.watch) {
        (Some(_), _) => super::on_runtime(cases::against(cases, format, registry)),
        (None, true) => super::on_runtime(cases::watch(cases, format, registry)),
        (None, false) => cases::run(&cases, format, registry),
    }
}
