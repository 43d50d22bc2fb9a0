//! `linkgate validate`: says what is wrong with a configuration, and opens nothing.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use linkgate_filter::Registry;

use linkgate_core::config::diagnostics::count;
use linkgate_core::config::{self, Config};

/// Check a configuration and show every problem at its place.
///
/// Warnings are shown too: of what is not wrong, and promises less than one may think.
///
/// Exit code: 0 if there is no problem, 1 if there are some, 2 if the command line is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files, or directories whose `*.yaml` and `*.yml` files are read; together they are one configuration
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, registry: &Registry) -> ExitCode {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let written = match config::load(&args.paths, registry) {
        Ok(config) => write!(io::stderr(), "{}", config.warnings.render(colour))
            .and_then(|()| writeln!(io::stdout(), "{}", summary(&config)))
            .map(|()| ExitCode::SUCCESS),
        Err(invalid) => {
            write!(io::stderr(), "{}", invalid.render(colour)).map(|()| ExitCode::FAILURE)
        }
    };
    written.unwrap_or(ExitCode::FAILURE)
}

fn summary(config: &Config) -> String {
    let parts = [
        count(config.documents, "document"),
        count(config.listeners.len(), "listener"),
        count(config.backends.len(), "backend"),
        count(config.pipelines.len(), "pipeline"),
        count(config.push.sources.len(), "push source"),
    ];
    format!("ok: {}", parts.join(", "))
}
