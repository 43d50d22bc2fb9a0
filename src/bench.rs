//! `linkgate bench`: a load generator that also reads what the load costs the server.

mod open;
mod push;
mod report;
mod run;
mod server;
mod stats;
#[cfg(test)]
mod tests;
mod upstream;
mod way;

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use linkgate_filter::units::{ByteSize, HumanDuration, Rate};

use super::gateway::Gateway;
use super::text;

/// Put a load on a gateway and measure it.
///
/// Opens the links, warms up, measures, and closes them. With --server-pid the CPU time and the memory of the server,
/// on the same machine, are read before and after.
///
/// Exit code: 0 if links were opened and messages answered, 1 if not, 2 if the command line is wrong.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    gateway: Gateway,
    /// What the links do
    #[arg(long, value_enum, default_value_t = Mode::Upstream)]
    mode: Mode,
    /// How many links to open
    #[arg(long, value_name = "N", default_value_t = 100)]
    links: usize,
    /// How fast to open them
    #[arg(long, value_name = "RATE", default_value = "2000/s")]
    ramp: Rate,
    /// Link number i is the user with this name and i
    #[arg(long, value_name = "TEXT", default_value = "user-")]
    users_prefix: String,
    /// The token of all links
    #[arg(long, env = "LINKGATE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// How messages travel
    #[arg(long, value_enum, default_value_t = Wire::Proto)]
    form: Wire,
    /// Messages of each link that are under way at a time; they are sent in one write
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    depth: u32,
    /// Messages of all links together, whether or not they are answered in time
    #[arg(long, value_name = "RATE", conflicts_with = "depth")]
    rate: Option<Rate>,
    /// Bytes of a body
    #[arg(long, value_name = "SIZE", default_value = "64B")]
    size: ByteSize,
    /// How long to measure
    #[arg(long, value_name = "TIME", default_value = "10s")]
    duration: HumanDuration,
    /// Measure so many messages, in place of a time
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    messages: Option<u64>,
    /// How long to run before measuring
    #[arg(long, value_name = "TIME", default_value = "2s")]
    warmup: HumanDuration,
    /// How long an answer or an outcome may take
    #[arg(long, value_name = "TIME", default_value = "10s")]
    patience: HumanDuration,
    /// Connect from these addresses in turn, for more links than one address has ports
    #[arg(long, value_name = "IP,IP", value_delimiter = ',')]
    source_addresses: Vec<IpAddr>,
    /// Where to push, for --mode push: the gateway's push service, or kafka://HOST:PORT/TOPIC for a topic that it reads
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9902")]
    push_to: String,
    /// The token for the push service
    #[arg(
        long,
        value_name = "TOKEN",
        env = "LINKGATE_PUSH_TOKEN",
        hide_env_values = true
    )]
    push_token: Option<String>,
    /// Read what the load costs this process
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What the links do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Send messages and wait for the answers.
    Upstream,
    /// Receive pushes, which the bench pushes too, and acknowledge them.
    Push,
    /// Do nothing, to see how much memory a link takes.
    Idle,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Push => "push",
            Self::Idle => "idle",
        }
    }
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wire {
    /// Protobuf in binary frames.
    Proto,
    /// JSON in text frames.
    Json,
    /// The body alone in binary frames, for an echo server.
    Raw,
}

/// Runs the load and prints the report.
pub(super) async fn run(args: Args) -> ExitCode {
    if let Err(problem) = args.check() {
        text::complain(problem);
        return ExitCode::from(2);
    }
    let report = match run::run(&args).await {
        Ok(report) => report,
        Err(problem) => {
            text::complain(problem);
            return ExitCode::FAILURE;
        }
    };
    match serde_json::to_string(&report) {
        Ok(json) if args.json => text::say(json),
        _ => text::say(&report),
    }
    let worked = report.links > 0 && (report.messages > 0 || args.mode == Mode::Idle);
    if worked {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Args {
    /// What must be said together.
    fn check(&self) -> Result<(), &'static str> {
        if self.mode == Mode::Push && (self.form == Wire::Raw || self.gateway.biz.is_none()) {
            return Err("--mode push needs --biz, and --form proto or json");
        }
        Ok(())
    }

    /// Between two messages of one link, with a rate.
    fn interval(&self, links: usize) -> Option<Duration> {
        #[allow(clippy::cast_precision_loss, reason = "a pace need not be exact")]
        self.rate
            .map(|rate| Duration::from_secs_f64(links as f64 / rate.per_second()))
    }
}
