//! Cases of configurations, run once or at every change.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use linkgate_client::Target;
use linkgate_conformance::cases::bless::{Blessed, blessed};
use linkgate_conformance::cases::coverage::{self, Coverage};
use linkgate_conformance::cases::language::{self, CaseFile};
use linkgate_conformance::cases::suite::{self, Ran, Unreadable};
use linkgate_conformance::cases::timeline;
use linkgate_conformance::cases::world::There;
use linkgate_conformance::report::{Format, Outcome, Report, Suite, Verdict};
use linkgate_core::config::diagnostics::count;
use linkgate_core::config::standing::Watched;
use linkgate_core::reload::watch::{Mark, Watcher};
use linkgate_filter::Registry;
use linkgate_filter::units::HumanDuration;

use tokio::net::TcpListener;

use crate::text;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Case files, configurations with a `*.test.yaml` beside them, or directories that are looked through
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Only cases whose names have this in them
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Say which branches of the configurations' filters no case reaches
    #[arg(long)]
    coverage: bool,
    /// Fail below this coverage, in percent
    #[arg(long, value_name = "PERCENT", value_parser = percentage, requires = "coverage")]
    least: Option<f64>,
    /// Write what happens into new cases: those whose steps only do something
    #[arg(long)]
    bless: bool,
    /// Run against the gateway at this URL, in real time: cases that script no more than clients, and the backends of
    /// `--backend`. Others are skipped
    #[arg(long, value_name = "URL", value_parser = Target::check_url, conflicts_with_all = ["bless", "coverage", "watch"])]
    pub(super) against: Option<String>,
    /// With --against: play the backend NAME at ADDRESS, where the gateway calls it
    #[arg(long, value_name = "NAME=ADDRESS", value_parser = backend_at, requires = "against")]
    backend: Vec<(String, SocketAddr)>,
    /// With --against: the token of all clients. Default: signed by the secret of the listener, if the configuration has it
    #[arg(
        long,
        value_name = "TOKEN",
        env = "LINKGATE_TEST_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
    /// With --against: skip cases in which more time passes
    #[arg(long, value_name = "TIME", default_value = "15s")]
    longest: HumanDuration,
    /// Run again at every change of a file, until Ctrl-C
    #[arg(long, conflicts_with = "bless")]
    pub(super) watch: bool,
}

/// Runs the cases once.
pub(super) fn run(options: &Options, format: Format, registry: &Registry) -> ExitCode {
    match once(options, format, registry) {
        Ok((true, _)) => ExitCode::SUCCESS,
        Ok((false, _)) => ExitCode::FAILURE,
        Err(why) => {
            text::complain(why);
            ExitCode::FAILURE
        }
    }
}

/// Runs the cases against a gateway that runs elsewhere.
pub(super) async fn against(options: Options, format: Format, registry: &Registry) -> ExitCode {
    match there(&options, format, registry).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            text::complain(why);
            ExitCode::FAILURE
        }
    }
}

async fn there(options: &Options, format: Format, registry: &Registry) -> Result<bool, String> {
    let (files, invalid) = suite::read(&suite::find(&options.paths)?);
    let url = options.against.as_deref().unwrap_or_default();
    let there = There::new(url, options.token.clone());
    for (name, address) in &options.backend {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|error| {
            format!("the backend `{name}` cannot be played at {address}: {error}")
        })?;
        let (backends, name) = (there.backends.clone(), name.clone());
        tokio::spawn(async move { backends.listen(&name, listener).await });
    }
    let played: Vec<_> = options
        .backend
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    let around = (&there, played.as_slice(), *options.longest);
    let ran = suite::run_against(&files, options.only.as_deref(), registry, around).await;
    let report = report(&files, &invalid, &ran);
    show(&report, format, "")?;
    let tally = report.tally();
    if tally.passed + tally.failed == 0 {
        return Err("no case could be run against a gateway elsewhere".to_owned());
    }
    Ok(invalid.is_empty() && tally.failed == 0)
}

/// From 0 to 100.
fn percentage(text: &str) -> Result<f64, String> {
    let number = text
        .parse::<f64>()
        .ok()
        .filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| "write a percentage such as 90".to_owned())
}

/// `NAME=ADDRESS`.
fn backend_at(text: &str) -> Result<(String, SocketAddr), String> {
    let (name, address) = text
        .split_once('=')
        .ok_or("write it as NAME=ADDRESS, such as chat=127.0.0.1:50051")?;
    let address = address
        .parse()
        .map_err(|_| format!("`{address}` is no address such as 127.0.0.1:50051"))?;
    Ok((name.to_owned(), address))
}

/// Runs the cases at every change.
pub(super) async fn watch(options: Options, format: Format, registry: &Registry) -> ExitCode {
    const AT_THE_LATEST: Duration = Duration::from_secs(10);
    let mut watcher = Watcher::start();
    loop {
        // Cases have runtimes of their own, which cannot be started within this one.
        let run = || once(&options, format, registry);
        let ran = std::thread::scope(|scope| scope.spawn(run).join());
        let ran = ran.unwrap_or_else(|_| Err("the cases could not be run".to_owned()));
        let watched = match ran {
            Ok((_, files)) => watched(&options, &files),
            Err(why) => {
                text::complain(why);
                watched(&options, &[])
            }
        };
        watcher.watch(&watched);
        let mark = Mark::of(&watched);
        while Mark::of(&watched) == mark {
            tokio::select! {
                () = watcher.changed(AT_THE_LATEST) => {}
                _ = tokio::signal::ctrl_c() => return ExitCode::SUCCESS,
            }
        }
    }
}

/// What the cases depend on.
fn watched(options: &Options, files: &[CaseFile]) -> Watched {
    let mut watched = Watched::default();
    let configs = files.iter().flat_map(|file| &file.config);
    for path in options.paths.iter().chain(configs) {
        match path.is_dir() {
            true => watched.directories.insert(path.clone()),
            false => watched.files.insert(path.clone()),
        };
    }
    for file in files {
        watched.files.insert(file.path.clone());
        watched.files.extend(file.others().cloned());
    }
    let folders: BTreeSet<_> = files.iter().filter_map(|file| file.path.parent()).collect();
    let folders = folders.into_iter().filter(|folder| folder.is_dir());
    watched.directories.extend(folders.map(ToOwned::to_owned));
    watched
}

/// Whether all is good, and the files that were read.
fn once(
    options: &Options,
    format: Format,
    registry: &Registry,
) -> Result<(bool, Vec<CaseFile>), String> {
    let found = suite::find(&options.paths)?;
    let (mut files, mut invalid) = suite::read(&found);
    if options.bless && bless(&files, options.only.as_deref(), registry)? {
        (files, invalid) = suite::read(&found);
    }
    let ran = suite::run(&files, options.only.as_deref(), registry);
    if ran.is_empty() && invalid.is_empty() {
        return Err(match &options.only {
            Some(only) => format!("no case has `{only}` in its name"),
            None => "there are no cases".to_owned(),
        });
    }
    let mut report = report(&files, &invalid, &ran);
    let mut told = String::new();
    if options.coverage {
        let all = coverage::coverage(&files, &ran);
        told = all.iter().map(show_coverage).collect();
        let least = options.least.unwrap_or(0.0);
        let poor = all.iter().filter_map(|one| too_little(one, least));
        let results: Vec<_> = poor.collect();
        if !results.is_empty() {
            let name = "coverage".to_owned();
            report.suites.push(Suite { name, results });
        }
    }
    show(&report, format, &told)?;
    Ok((report.tally().failed == 0, files))
}

/// Prints the report, and what is told beside it.
fn show(report: &Report, format: Format, beside: &str) -> Result<(), String> {
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut shown = report.render(format, colour);
    match format {
        Format::Text => shown += beside,
        // The report has to stay what its readers take.
        _ => drop(write!(io::stderr(), "{beside}")),
    }
    let written = io::stdout().write_all(shown.as_bytes());
    written.map_err(|error| format!("the report cannot be written: {error}"))
}

/// Writes what happens into new cases. Whether there were any.
fn bless(files: &[CaseFile], only: Option<&str>, registry: &Registry) -> Result<bool, String> {
    let mut any = false;
    for file in files {
        let path = file.path.display();
        let say = |what: String| drop(writeln!(io::stderr(), "{path}: {what}"));
        let Some(Blessed { text, cases, left }) = blessed(file, only, registry) else {
            continue;
        };
        left.into_iter().for_each(say);
        if cases == 0 {
            continue;
        }
        let write = |text: &str| {
            std::fs::write(&file.path, text).map_err(|error| format!("{path}: {error}"))
        };
        write(&text)?;
        if language::read(&file.path).is_err() {
            write(&file.text)?;
            say("a name in it does not stand in a step: write by hand what happens".to_owned());
            continue;
        }
        let cases = count(cases, "new case");
        say(format!("written into {cases}; read it before you keep it"));
        any = true;
    }
    Ok(any)
}

fn report(files: &[CaseFile], invalid: &[Unreadable], ran: &[Ran]) -> Report {
    let unreadable = invalid.iter().map(|(path, invalid)| {
        let outcome = failed("it can be read", invalid.render(false));
        Suite {
            name: path.display().to_string(),
            results: vec![outcome],
        }
    });
    let suites = files.iter().enumerate().map(|(number, file)| Suite {
        name: file.path.display().to_string(),
        results: ran
            .iter()
            .filter(|ran| ran.file == number)
            .map(|ran| outcome(file, ran))
            .collect(),
    });
    Report {
        by: vec![("linkgate".to_owned(), env!("CARGO_PKG_VERSION").to_owned())],
        suites: suites
            .filter(|suite| !suite.results.is_empty())
            .chain(unreadable)
            .collect(),
    }
}

/// Something beside the cases that is not as it has to be.
fn failed(name: &str, why: String) -> Outcome {
    Outcome {
        name: name.to_owned(),
        about: String::new(),
        time: Duration::ZERO,
        verdict: Verdict::Failed(why),
    }
}

fn outcome(file: &CaseFile, ran: &Ran) -> Outcome {
    let case = &file.cases[ran.case];
    let verdict = match (&ran.skipped, &ran.run.failure) {
        (Some(why), _) => Verdict::Skipped(why.clone()),
        (None, None) => Verdict::Passed,
        (None, Some(failure)) => {
            let span = failure.step.map_or(case.span, |step| case.steps[step].span);
            let before = &file.text[..span.start.min(file.text.len())];
            let line = before.matches('\n').count() + 1;
            Verdict::Failed(format!(
                "{}\nat {}:{line}\n\n{}",
                failure.message.trim_end(),
                file.path.display(),
                timeline::render(case, &ran.run, failure)
            ))
        }
    };
    // Virtual time is told where any has passed.
    let passed = u64::try_from(ran.run.passed.as_millis()).unwrap_or(u64::MAX);
    let about = match passed {
        0 => String::new(),
        ms => format!("{} pass", HumanDuration::from(Duration::from_millis(ms))),
    };
    Outcome {
        name: case.name.clone(),
        about,
        time: ran.took,
        verdict,
    }
}

/// What is wrong with the coverage of a configuration, if anything is.
fn too_little(coverage: &Coverage, least: f64) -> Option<Outcome> {
    let percent = coverage.percent();
    let mut wrong = coverage.wrong.clone();
    if percent < least {
        wrong.insert(
            0,
            format!("{percent:.1} % is less than the {least} % asked for"),
        );
    }
    let config = coverage
        .config
        .iter()
        .map(|path| path.display().to_string());
    let config = config.collect::<Vec<_>>().join(", ");
    (!wrong.is_empty()).then(|| failed(&config, wrong.join("\n")))
}

fn show_coverage(coverage: &Coverage) -> String {
    let config = coverage
        .config
        .iter()
        .map(|path| path.display().to_string());
    let missed: Vec<_> = coverage.missed().collect();
    let mut text = format!(
        "coverage of {}: {:.1} %, {} of {} branches\n",
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
