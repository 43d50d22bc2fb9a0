//! `linkgate schema`: prints what a configuration may say, for editors and other tools.

use std::io::{self, Write};
use std::process::ExitCode;

use linkgate_filter::Registry;

use crate::config::schema::schema;

/// Print the JSON Schema (draft 2020-12) of a configuration document.
///
/// Editors that speak to yaml-language-server use it where a document begins with
/// `# yaml-language-server: $schema=PATH`.
///
/// Exit code: 0 if it was printed, 1 if not, 2 if the command line is wrong.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_: &Args, registry: &Registry) -> ExitCode {
    match write!(io::stdout(), "{}", schema(registry)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
