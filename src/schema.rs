//! `linkgate schema`: prints what a configuration may say, for editors and other tools.

use std::io::{self, Write};
use std::process::ExitCode;

use linkgate_filter::Registry;

use linkgate_conformance::cases::language;
use linkgate_core::config::schema::schema;

/// Print the JSON Schema (draft 2020-12) of a configuration document, or of a file of cases.
///
/// Editors that speak to yaml-language-server use it where a document begins with
/// `# yaml-language-server: $schema=PATH`.
///
/// Exit code: 0 if it was printed, 1 if not, 2 if the command line is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of `*.test.yaml` files
    #[arg(long)]
    cases: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args, registry: &Registry) -> ExitCode {
    let schema = match args.cases {
        true => language::schema::schema(),
        false => schema(registry),
    };
    match io::stdout().write_all(schema.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
