//! `linkgate backend`: a sample backend to try a gateway with.

pub(crate) mod behaviour;
mod chat;
mod service;
#[cfg(test)]
mod tests;
mod watch;

use std::process::ExitCode;

use linkgate_client::Pusher;
use linkgate_filter::units::HumanDuration;
use linkgate_proto::v1::OnReceiveRequest;
use linkgate_proto::v1::presence_event::Kind;
use tokio::net::TcpListener;

pub(crate) use self::behaviour::Behaviour;
use self::behaviour::{FailCode, Share};
pub(crate) use self::chat::Chat;
pub(crate) use self::service::{Mode, Sample};
pub(crate) use self::watch::{Seen, Watch};
use super::text;

/// Pushes that a chatting backend has under way at most.
pub(crate) const MAX_PUSHES: usize = 1024;

/// Run a sample gRPC backend: it answers, and is slow, fails or hangs on demand.
///
/// Exit code: 0 if it ran until the end, 1 if it could not, 2 if the command line is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:50051")]
    listen: String,
    /// Wait so long before each answer
    #[arg(long, value_name = "TIME", default_value = "0s")]
    delay: HumanDuration,
    /// Fail this share of the messages, for example 10%
    #[arg(long, value_name = "SHARE")]
    fail: Option<Share>,
    /// Fail with this gRPC status; without --fail every message fails [default: UNAVAILABLE]
    #[arg(long, value_name = "STATUS")]
    fail_code: Option<FailCode>,
    /// Never answer this share of the calls
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    hang: Share,
    /// Answer with the message's own body
    #[arg(long)]
    echo: bool,
    /// Send bodies like {"to": "bob", "text": "hi"} on to that user; others are accepted and go no further
    #[arg(long, conflicts_with = "echo")]
    chat: bool,
    /// The gateway's push service, for --chat
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
    /// Do not print what comes in
    #[arg(long, short)]
    quiet: bool,
}

/// Serves until Ctrl-C.
pub(crate) async fn run(args: Args) -> ExitCode {
    match serve(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            text::complain(problem);
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: &Args) -> Result<(), String> {
    let cannot = |e| {
        format!(
            "cannot listen on {}: {e}; choose another address by --listen",
            args.listen
        )
    };
    let listener = TcpListener::bind(&args.listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    text::say(format_args!("the sample backend listens on {address}"));
    let sample = Sample {
        behaviour: args.behaviour(),
        mode: args.mode()?,
        watch: if args.quiet {
            Watch::default()
        } else {
            Watch::new(|seen| text::say(shown(&seen)))
        },
    };
    // Calls that hang by order do not keep the process.
    tokio::select! {
        served = sample.serve(listener, std::future::pending()) => served.map_err(|e| format!("the server failed: {e}")),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

impl Args {
    fn behaviour(&self) -> Behaviour {
        let (none, unavailable) = (Share::default(), FailCode(tonic::Code::Unavailable));
        let some = self.fail.unwrap_or(if self.fail_code.is_some() {
            Share::ALL
        } else {
            none
        });
        Behaviour {
            delay: *self.delay,
            fail: (some, self.fail_code.unwrap_or(unavailable)),
            hang: self.hang,
        }
    }

    fn mode(&self) -> Result<Mode, String> {
        if !self.chat {
            return Ok(if self.echo { Mode::Echo } else { Mode::Accept });
        }
        let address = self.push_to.clone();
        let refused = move |status: tonic::Status| {
            text::complain(format_args!(
                "cannot push to {address}: {}",
                status.message()
            ));
        };
        let pusher = Pusher::start(
            &self.push_to,
            self.push_token.as_deref(),
            MAX_PUSHES,
            refused,
        );
        pusher
            .map(|pusher| Mode::Chat(Chat::new(pusher)))
            .map_err(|e| e.to_string())
    }
}

/// One line.
pub(crate) fn shown(seen: &Seen<'_>) -> String {
    match seen {
        Seen::Message(message, result) => {
            let OnReceiveRequest {
                key,
                body,
                biz_id,
                user_id,
                device_id,
                attempt,
                ..
            } = message;
            let device = if device_id.is_empty() {
                String::new()
            } else {
                format!(" on {device_id}")
            };
            let again = if *attempt > 1 {
                format!(" (attempt {attempt})")
            } else {
                String::new()
            };
            let failed = match result {
                Ok(()) => String::new(),
                Err(status) => format!(" -> {}", FailCode(status.code())),
            };
            let names =
                text::body(biz_id.as_bytes()).into_owned() + " " + &text::body(user_id.as_bytes());
            format!(
                "{names}{device} {}{again}: {}{failed}",
                text::body(key.as_bytes()),
                text::body(body)
            )
        }
        Seen::Report(report) => {
            let status = report.status().as_str_name();
            format!(
                "report {} to {}: {status}",
                text::body(report.key.as_bytes()),
                text::body(report.receiver_id.as_bytes())
            )
        }
        Seen::Presence(event) => {
            let kind = event.kind().as_str_name();
            let who = match event.kind() {
                Kind::NodeStarted => &event.node,
                _ => &event.user_id,
            };
            format!("{} {kind}", text::body(who.as_bytes()))
        }
        Seen::Pushed { key, to, state } => {
            format!(
                "{} to {}: {state}",
                text::body(key.as_bytes()),
                text::body(to.as_bytes())
            )
        }
    }
}
