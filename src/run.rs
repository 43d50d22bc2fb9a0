//! `linkgate run`: a node in the foreground.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use linkgate_core::program::Program;
use linkgate_core::reload::{BeginError, Reloader};
use linkgate_filter::Registry;
use linkgate_filter::units::HumanDuration;
use tokio::signal::unix::{SignalKind, signal};

use super::text;

/// Run a node until SIGTERM or Ctrl-C.
///
/// A change of a file takes effect at once, and no link is closed for it; a document that is wrong keeps its last good
/// version, and the log and `/v1/config` on the admin address say why.
///
/// SIGHUP has all of it read again now.
///
/// At the end it accepts no more, answers what its clients have sent, tells them to go, and waits for what is unsettled. A
/// second signal ends it at once.
///
/// Exit code: 0 if nothing was left when the time was over, 1 if something was, or if the node could not start, 2 if
/// the command line is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files, or directories whose `*.yaml` and `*.yml` files are read; together they are one configuration
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// How long a stop waits for links and their unsettled messages
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) grace: HumanDuration,
}

/// Runs the command.
pub(crate) async fn run(args: Args, program: Program, registry: &Registry) -> ExitCode {
    // From the beginning on to the end, it ends nothing.
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        return deaf();
    };
    let mut reloader = match Reloader::begin(&args.paths, registry).await {
        Ok(reloader) => reloader,
        Err(BeginError::Invalid(invalid)) => {
            let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let _ = write!(io::stderr(), "{}", invalid.render(colour));
            return ExitCode::FAILURE;
        }
        Err(error) => {
            text::complain(error);
            return ExitCode::FAILURE;
        }
    };
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return deaf();
    };
    let node = match reloader.start(program).await {
        Ok(node) => node,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    tracing::info!(version = %program, "{} runs", program.name);
    for (name, address) in node.listeners() {
        tracing::info!(listener = name, %address, "accepting links");
    }
    for address in node.push_sources() {
        tracing::info!(%address, "taking pushes by gRPC");
    }
    if let Some(address) = node.admin_address() {
        tracing::info!(%address, "admin: /healthz, /readyz, /metrics, /v1/config");
    }
    let read_again = reloader.read_again();
    let mut signalled =
        async || tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} };
    let asked = async {
        while hangup.recv().await.is_some() {
            tracing::info!("SIGHUP: the configuration is read again");
            read_again.notify_one();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = reloader.run(&node) => {}
        () = asked => {}
        () = signalled() => {}
        () = node.is_taken() => {
            node.stop(*args.grace).await;
            return ExitCode::FAILURE;
        }
    }
    tracing::info!(grace = %args.grace, "stopping");
    tokio::select! {
        left = node.stop(*args.grace) => match left {
            0 => ExitCode::SUCCESS,
            left => {
                tracing::warn!(left, "links were not done in time");
                ExitCode::FAILURE
            }
        },
        () = signalled() => ExitCode::FAILURE,
    }
}

fn deaf() -> ExitCode {
    tracing::error!("cannot listen for signals");
    ExitCode::FAILURE
}
