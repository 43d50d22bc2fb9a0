//! `linkgate test`: runs the cases of configurations.

mod cases;

use std::process::ExitCode;

use linkgate_filter::Registry;

use crate::conformance::report::Format;

/// Run the cases of configurations, offline and in virtual time.
///
/// Cases stand in files named `*.test.yaml`; docs/testing-pipelines.md says how to write them. Each runs on a node of its
/// own, with the filters of this program, in a world that the case scripts: no port is opened.
///
/// Exit code: 0 if all cases are good, 1 if one is not or cannot be read, or coverage is lower than asked for, 2 if the
/// command line is wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    cases: cases::Options,
    /// How the report looks
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Runs the command.
pub fn run(args: Args, registry: &Registry) -> ExitCode {
    let Args { cases, format } = args;
    match (&cases.against, cases.watch) {
        (Some(_), _) => super::on_runtime(cases::against(cases, format, registry)),
        (None, true) => super::on_runtime(cases::watch(cases, format, registry)),
        (None, false) => cases::run(&cases, format, registry),
    }
}
