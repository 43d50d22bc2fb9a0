//! The linkgate program: picks the filters and hands them to the command line, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    linkgate::cli::run(&linkgate_filters::all())
}
