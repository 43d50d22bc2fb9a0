//! The command line: one file per subcommand. Only here and in `main` anything is printed.

pub mod schema;
pub mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use linkgate_filter::Registry;

/// A config-driven gateway for long-lived WebSocket connections.
#[derive(Debug, Parser)]
#[command(name = "linkgate", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Validate(validate::Args),
    Schema(schema::Args),
}

/// Reads the command line and does what it says, with the filters of `registry`.
pub fn run(registry: &Registry) -> ExitCode {
    match Cli::parse().command {
        Command::Validate(args) => validate::run(&args, registry),
        Command::Schema(args) => schema::run(&args, registry),
    }
}
