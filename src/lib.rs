//! The program: its command line, one file per subcommand. Only here anything is printed.

mod admin_client;
mod backend;
mod bench;
mod client;
mod cluster;
#[cfg(feature = "etcd")]
mod etcd;
mod gateway;
#[cfg(feature = "mimalloc")]
mod memory;
mod plan;
mod quickstart;
mod run;
mod schema;
mod test;
mod text;
mod validate;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
pub use linkgate_core::program::Program;
use linkgate_core::telemetry::panics;
use linkgate_filter::Registry;
use tracing_subscriber::EnvFilter;

/// A config-driven gateway for long-lived WebSocket connections.
#[derive(Debug, Parser)]
#[command(
    name = "linkgate",
    version,
    propagate_version = true,
    max_term_width = 100
)]
struct Cli {
    /// What is logged, such as `info` or `linkgate=debug,warn`. Default: info, and off for `test`
    #[arg(
        long,
        global = true,
        env = "LINKGATE_LOG",
        value_name = "FILTER",
        value_parser = log_filter
    )]
    log: Option<String>,
    /// How log lines look
    #[arg(
        long,
        global = true,
        env = "LINKGATE_LOG_FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

impl Cli {
    /// What the command line says; ends the program if that is wrong, or asks for help.
    fn of(program: Program) -> Self {
        let command = Self::command()
            .name(program.name)
            .version(program.to_string());
        let matches = command.get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// A JSON object per line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Validate(validate::Args),
    Test(test::Args),
    Plan(plan::Args),
    #[cfg(feature = "etcd")]
    Push(etcd::PushArgs),
    #[cfg(feature = "etcd")]
    Status(etcd::StatusArgs),
    #[cfg(feature = "etcd")]
    Rollback(etcd::RollbackArgs),
    Nodes(cluster::NodesArgs),
    Where(cluster::WhereArgs),
    Schema(schema::Args),
    Quickstart(quickstart::Args),
    Client(client::Args),
    Backend(backend::Args),
    Bench(Box<bench::Args>),
}

/// Who the program is: the name and version of the package in which this stands.
#[macro_export]
macro_rules! program {
    () => {
        $crate::Program {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
        }
    };
}

/// Runs the program with these filters: `linkgate_filters::all()`, and those of your own. It calls itself what `program`
/// says, in `--version`, the log, the metrics and the status.
///
/// ```no_run
/// # use linkgate_filter::Registry;
/// fn main() -> std::process::ExitCode {
///     linkgate::main(linkgate::program!(), Registry::new())
/// }
/// ```
#[allow(
    clippy::needless_pass_by_value,
    reason = "a program has one registry and gives it away"
)]
pub fn main(program: Program, registry: Registry) -> ExitCode {
    let cli = Cli::of(program);
    start_logging(&cli);
    panics::log_panics();
    // Fails only if a provider is there already, which then serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match cli.command {
        Command::Run(args) => on_runtime(run::run(args, program, &registry)),
        Command::Validate(args) => validate::run(&args, &registry),
        Command::Test(args) => test::run(args, &registry),
        Command::Plan(args) => on_runtime(plan::run(args, &registry)),
        #[cfg(feature = "etcd")]
        Command::Push(args) => on_runtime(etcd::push(args, &registry)),
        #[cfg(feature = "etcd")]
        Command::Status(args) => on_runtime(etcd::status(args)),
        #[cfg(feature = "etcd")]
        Command::Rollback(args) => on_runtime(etcd::rollback(args)),
        Command::Nodes(args) => on_runtime(cluster::nodes(args)),
        Command::Where(args) => on_runtime(cluster::locate(args)),
        Command::Schema(args) => schema::run(&args, &registry),
        Command::Quickstart(args) => on_runtime(quickstart::run(args, &registry)),
        Command::Client(args) => on_runtime(client::run(args)),
        Command::Backend(args) => on_runtime(backend::run(args)),
        Command::Bench(args) => on_runtime(bench::run(*args)),
    }
}

/// Takes what tells which lines are logged.
fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "{error}; write a level (`error`, `warn`, `info`, `debug`, `trace` or `off`), or levels of modules with \
             commas between, such as `linkgate=debug,warn`"
        )),
    }
}

fn on_runtime(command: impl Future<Output = ExitCode>) -> ExitCode {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    #[cfg(feature = "mimalloc")]
    builder.on_thread_park(crate::memory::collect);
    match builder.enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(command);
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            tracing::error!(%error, "cannot start the runtime");
            ExitCode::FAILURE
        }
    }
}

fn start_logging(cli: &Cli) {
    // What nodes of cases say is not what their author looks for.
    let usual = match cli.command {
        Command::Test(_) => "off",
        _ => "info",
    };
    let filter = EnvFilter::new(cli.log.as_deref().unwrap_or(usual));
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour);
    match cli.log_format {
        LogFormat::Text => logs.with_target(false).init(),
        LogFormat::Json => logs.json().init(),
    }
}

#[cfg(test)]
mod tests;
