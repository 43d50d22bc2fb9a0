//! `linkgate test`: runs the cases of configurations.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use linkgate_filter::Registry;

use crate::conformance::suite;

/// Run the cases of configurations, offline and in virtual time.
///
/// Exit code: 0 if all cases are good, 1 if one is not or cannot be read, 2 if the command line is wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Case files, configurations with a `*.test.yaml` beside them, or directories that are looked through
    #[arg(value_name = "PATH", default_value = ".")]
    pub paths: Vec<PathBuf>,
    /// Only cases whose names have this in them
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, registry: &Registry) -> ExitCode {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let found = match suite::find(&args.paths) {
        Ok(found) => found,
        Err(why) => {
            super::text::complain(why);
            return ExitCode::FAILURE;
        }
    };
    let (files, invalid) = suite::read(&found);
    for invalid in &invalid {
        let _ = write!(io::stderr(), "{}", invalid.render(colour));
    }
    let ran = suite::run(&files, args.only.as_deref(), registry);
    let mut failed = invalid.len();
    for ran in &ran {
        let case = &files[ran.file].cases[ran.case];
        let verdict = if ran.run.failure.is_some() {
            "FAIL"
        } else {
            "ok"
        };
        let _ = writeln!(io::stdout(), "{verdict} {} ({:?})", case.name, ran.took);
        if let Some(failure) = &ran.run.failure {
            failed += 1;
            let _ = writeln!(
                io::stdout(),
                "   at {:?}: {}",
                failure.step.map(|s| &case.steps[s].text),
                failure.message
            );
        }
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
