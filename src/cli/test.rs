//! `linkgate test`: runs the cases of configurations.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use linkgate_filter::Registry;
use linkgate_filter::units::HumanDuration;

use crate::config::diagnostics::count;
use crate::conformance::coverage::{self, Coverage};
use crate::conformance::language::CaseFile;
use crate::conformance::suite::{self, Ran};
use crate::conformance::timeline;

/// Run the cases of configurations, offline and in virtual time.
///
/// Cases stand in files named `*.test.yaml`; docs/testing-pipelines.md says how to write them. Each runs on a node of its
/// own, with the filters of this program, in a world that the case scripts: no port is opened.
///
/// Exit code: 0 if all cases are good, 1 if one is not or cannot be read, or coverage is lower than asked for, 2 if the
/// command line is wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Case files, configurations with a `*.test.yaml` beside them, or directories that are looked through
    #[arg(value_name = "PATH", default_value = ".")]
    pub paths: Vec<PathBuf>,
    /// Only cases whose names have this in them
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
    /// Say which branches of the configurations' filters no case reaches
    #[arg(long)]
    pub coverage: bool,
    /// Fail below this coverage, in percent
    #[arg(long, value_name = "PERCENT", requires = "coverage")]
    pub least: Option<f64>,
}

/// Runs the command.
pub fn run(args: &Args, registry: &Registry) -> ExitCode {
    let colour = |terminal: bool| terminal && std::env::var_os("NO_COLOR").is_none();
    let found = match suite::find(&args.paths) {
        Ok(found) => found,
        Err(why) => {
            super::text::complain(why);
            return ExitCode::FAILURE;
        }
    };
    let (files, invalid) = suite::read(&found);
    for invalid in &invalid {
        let _ = write!(
            io::stderr(),
            "{}",
            invalid.render(colour(io::stderr().is_terminal()))
        );
    }
    let ran = suite::run(&files, args.only.as_deref(), registry);
    let failed = ran.iter().filter(|ran| ran.run.failure.is_some()).count();
    let mut text = report(&files, &ran, colour(io::stdout().is_terminal()));
    if !invalid.is_empty() {
        text += &format!(", {} that cannot be read", count(invalid.len(), "file"));
    }
    text += "\n";
    let mut is_covered = true;
    if args.coverage {
        for coverage in coverage::coverage(&files, &ran) {
            text += &shown(&coverage);
            let least = args.least.unwrap_or(0.0);
            is_covered &= coverage.percent() >= least && coverage.wrong.is_empty();
        }
    }
    let written = io::stdout().write_all(text.as_bytes());
    if written.is_ok() && failed == 0 && invalid.is_empty() && is_covered {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn report(files: &[CaseFile], ran: &[Ran], colour: bool) -> String {
    let paint = |code: &str, text: &str| match colour {
        true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        false => text.to_owned(),
    };
    let mut text = String::new();
    let mut last = None;
    for ran in ran {
        let file = &files[ran.file];
        let case = &file.cases[ran.case];
        if last.replace(ran.file) != Some(ran.file) {
            text += &format!("{}\n", file.path.display());
        }
        let passed = ran.run.passed.as_millis().try_into().unwrap_or(u64::MAX);
        let passed = HumanDuration::from(Duration::from_millis(passed));
        let times = format!("{passed} in {}ms", ran.took.as_millis());
        match &ran.run.failure {
            None => {
                let verdict = paint("32", "ok  ");
                text += &format!(
                    "  {verdict} {}  {}
",
                    case.name,
                    paint("2", &times)
                );
            }
            Some(failure) => {
                text += &format!(
                    "  {} {}  {}\n",
                    paint("31", "FAIL"),
                    case.name,
                    paint("2", &times)
                );
                let span = failure.step.map_or(case.span, |step| case.steps[step].span);
                let line = file.text[..span.start.min(file.text.len())]
                    .matches('\n')
                    .count()
                    + 1;
                text += &format!("\n  {}:{line}\n", file.path.display());
                for line in failure.message.lines() {
                    text += &format!("  {}\n", paint("31", line));
                }
                text += &format!("\n{}\n", timeline::render(case, &ran.run, failure, colour));
            }
        }
    }
    let failed = ran.iter().filter(|ran| ran.run.failure.is_some()).count();
    let sums = format!("\n{}, {failed} failed", count(ran.len(), "case"));
    text + &sums
}

fn shown(coverage: &Coverage) -> String {
    let config = coverage
        .config
        .iter()
        .map(|path| path.display().to_string());
    let missed: Vec<_> = coverage.missed().collect();
    let mut text = format!(
        "\ncoverage of {}: {:.1} %, {} of {} branches\n",
        config.collect::<Vec<_>>().join(", "),
        coverage.percent(),
        coverage.taken.len() - missed.len(),
        coverage.taken.len(),
    );
    for (place, name) in missed {
        text += &format!("  no case reaches {place}: {name}\n");
    }
    for wrong in &coverage.wrong {
        text += &format!("  unreachable: {wrong}\n");
    }
    text
}
