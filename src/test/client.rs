//! `linkgate test --client`: the client conformance kit.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::ValueEnum;
use futures_util::{StreamExt, stream};
use linkgate_conformance::client::{
    self as kit, CHECKLIST, CHECKS, Check, Command, Offer, Options,
};
use linkgate_conformance::report::{Format, Outcome, Report, Suite};
use linkgate_filter::Form;
use linkgate_filter::units::HumanDuration;
use tokio::signal::unix::{SignalKind, signal};

use crate::text;

#[derive(Debug, clap::Args)]
pub(super) struct Kit {
    /// The driver, as a shell command; what it has to know is in the environment as LINKGATE_KIT_URL and others
    #[arg(long, value_name = "COMMAND", requires = "client")]
    run: Option<String>,
    /// Be a driver around linkgate's own client, for `--run 'linkgate test --client --drive'`
    #[arg(long, requires = "client", conflicts_with_all = ["run", "check", "form", "jobs", "port", "start"])]
    drive: bool,
    /// Only the checks of these names
    #[arg(long, value_name = "NAME", requires = "run", value_delimiter = ',', value_parser = known)]
    check: Vec<String>,
    /// Only this form of messages, for a client that speaks no other
    #[arg(long, value_name = "FORM", requires = "run")]
    form: Option<OneForm>,
    /// Checks at the same time
    #[arg(long, value_name = "N", requires = "run", default_value = "8", value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// The port on 127.0.0.1; 0 is any that is free
    #[arg(long, requires = "client", default_value_t = 0)]
    port: u16,
    /// How long the driver may take to connect first
    #[arg(long, value_name = "TIME", requires = "client", default_value = "10s")]
    start: HumanDuration,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OneForm {
    /// Binary frames
    Protobuf,
    /// Text frames
    Json,
}

fn known(name: &str) -> Result<String, String> {
    if CHECKS.iter().any(|check| check.id == name) {
        return Ok(name.to_owned());
    }
    let names: Vec<_> = CHECKS.iter().map(|check| check.id).collect();
    Err(format!(
        "there is no such check; there are {}",
        names.join(", ")
    ))
}

pub(super) async fn run(args: Kit, format: Format) -> ExitCode {
    if args.drive {
        return match Offer::from_environment() {
            Ok(offer) => {
                kit::drive(offer).await;
                ExitCode::SUCCESS
            }
            Err(problem) => {
                text::complain(problem);
                ExitCode::from(2)
            }
        };
    }
    let options = Options {
        port: args.port,
        by_hand: args.run.is_none(),
        start: *args.start,
    };
    let (kit, finished) = match kit::Kit::start(options).await {
        Ok(started) => started,
        Err(error) => {
            text::complain(format_args!(
                "cannot listen on 127.0.0.1:{}: {error}",
                args.port
            ));
            return ExitCode::FAILURE;
        }
    };
    let suites = match &args.run {
        Some(command) => {
            let command = Command(command.clone());
            // The drivers have process groups of their own: they end with the future, not by the terminal's signal.
            tokio::select! {
                suites = Box::pin(judged(&kit, &command, &args)) => suites,
                () = interrupted() => Vec::new(),
            }
        }
        None => by_hand(&kit, finished).await,
    };
    let report = Report {
        by: vec![
            ("linkgate".into(), env!("CARGO_PKG_VERSION").into()),
            ("checklist".into(), CHECKLIST.to_string()),
        ],
        suites,
    };
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    text::say(report.render(format, colour).trim_end());
    let tally = report.tally();
    if tally.failed == 0 && tally.passed + tally.warned > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn interrupted() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        // Then the signals end the process.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn suite(form: Form, results: Vec<Outcome>) -> Suite {
    let form = match form {
        Form::Protobuf => "protobuf",
        Form::Json => "json",
    };
    Suite {
        name: format!("client, {form}"),
        results,
    }
}

/// Goes through the checklist, several checks at a time.
async fn judged(kit: &kit::Kit, command: &Command, args: &Kit) -> Vec<Suite> {
    let forms = match args.form {
        None => vec![Form::Protobuf, Form::Json],
        Some(OneForm::Protobuf) => vec![Form::Protobuf],
        Some(OneForm::Json) => vec![Form::Json],
    };
    let wanted =
        |check: &&Check| args.check.is_empty() || args.check.iter().any(|name| name == check.id);
    let checks: Vec<_> = CHECKS.iter().filter(wanted).collect();
    let all = forms
        .iter()
        .flat_map(|form| checks.iter().map(|check| (*form, *check)));
    let runs = all.map(|(form, check)| kit.judge(check, form, |offer| command.drive(offer)));
    let results: Vec<_> = stream::iter(runs)
        .buffered(args.jobs.into())
        .collect()
        .await;
    let per_form = results.chunks(checks.len().max(1));
    forms
        .iter()
        .zip(per_form)
        .map(|(form, results)| suite(*form, results.to_vec()))
        .collect()
}

/// Judges what connects, until Ctrl-C.
async fn by_hand(
    kit: &kit::Kit,
    mut finished: tokio::sync::mpsc::Receiver<kit::Finished>,
) -> Vec<Suite> {
    let address = kit.address();
    text::complain(format_args!(
        "checks:  http://{address}/checks\n\
         connect: ws://{address}/ws?check=NAME&biz_id=kit&user_id=ann\n\
         tokens:  http://{address}/token\n\
         A check begins when a client connects. Ctrl-C ends, and prints the report."
    ));
    // The last verdict of each check counts.
    let mut results: BTreeMap<(bool, usize), Outcome> = BTreeMap::new();
    loop {
        let finished = tokio::select! {
            finished = finished.recv() => finished,
            () = interrupted() => None,
        };
        let Some(kit::Finished { form, outcome }) = finished else {
            break;
        };
        let one = Report {
            by: Vec::new(),
            suites: vec![suite(form, vec![outcome.clone()])],
        };
        text::complain(one.render(Format::Text, false).trim_end());
        let at = CHECKS.iter().position(|check| check.id == outcome.name);
        results.insert((form == Form::Json, at.unwrap_or(0)), outcome);
    }
    let (mut protobuf, mut json) = (Vec::new(), Vec::new());
    for ((is_json, _), outcome) in results {
        if is_json { &mut json } else { &mut protobuf }.push(outcome);
    }
    [(Form::Protobuf, protobuf), (Form::Json, json)]
        .into_iter()
        .filter(|(_, results)| !results.is_empty())
        .map(|(form, results)| suite(form, results))
        .collect()
}
