//! `linkgate client`: talks to a gateway from a terminal or a script.

mod input;

use std::collections::HashSet;
use std::process::ExitCode;

use bytes::Bytes;
use linkgate_client::{Event, Options, Session, Target};
use linkgate_filter::Form;
use linkgate_filter::units::HumanDuration;
use linkgate_proto::v1::Redirect;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use self::input::Input;
use super::gateway::Gateway;
use super::text;

/// Connect to a gateway as a client: send lines, see answers and pushes.
///
/// Each line typed is sent as an UPSTREAM_MESSAGE. Pushes are acknowledged and shown. A lost connection is made again
/// unless the close code says not to, and what was not answered is sent again under its key. At the end of the input
/// (Ctrl-D) the client waits for the last answer and leaves.
///
/// Exit code: 0 if every message was accepted, 1 if not, or if the gateway turned the client away, 2 if the command
/// line is wrong.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    gateway: Gateway,
    /// The user to be, for a listener with `auth: insecure_query`
    #[arg(long, value_name = "USER_ID")]
    user: Option<String>,
    /// The user's device, for a listener with `auth: insecure_query`
    #[arg(long, value_name = "DEVICE_ID")]
    device: Option<String>,
    /// The token, sent as `Authorization: Bearer`
    #[arg(long, env = "LINKGATE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Speak JSON in text frames
    #[arg(long)]
    json: bool,
    /// Speak protobuf in binary frames (the default)
    #[arg(long, conflicts_with = "json")]
    proto: bool,
    /// Send this first; `{i}` in it becomes 1, 2, ...
    #[arg(long, value_name = "TEXT")]
    send: Option<String>,
    /// Send the text so many times
    #[arg(long, value_name = "N", default_value_t = 1, requires = "send")]
    count: u64,
    /// Read no input; leave when all that was sent is answered
    #[arg(long)]
    exit_when_answered: bool,
    /// Stay for pushes after the end of the input
    #[arg(long, conflicts_with = "exit_when_answered")]
    stay: bool,
    /// Leave after this time, answered or not
    #[arg(long, value_name = "TIME")]
    timeout: Option<HumanDuration>,
    /// The time between heartbeats; a gateway that is silent for two of them is left
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = some_time)]
    heartbeat: HumanDuration,
    /// Send a message again at most so many times when the gateway asks for it
    #[arg(long, value_name = "N", default_value_t = 3)]
    retries: u32,
    /// Do not connect again
    #[arg(long)]
    no_reconnect: bool,
}

/// Runs it until the input has ended, the gateway turns it away, or Ctrl-C.
pub(super) async fn run(args: Args) -> ExitCode {
    let target = match target(&args) {
        Ok(target) => target,
        Err(problem) => {
            text::complain(problem);
            return ExitCode::from(2);
        }
    };
    let options = Options {
        heartbeat: *args.heartbeat,
        reconnect: !args.no_reconnect,
        retries: args.retries,
        ..Options::default()
    };
    let input = Input::new(args.send.as_deref(), args.count, !args.exit_when_answered);
    let (session, events) = Session::start(target, options);
    let talk = Talk {
        input: Some(input),
        stay: args.stay,
        pending: HashSet::new(),
        refused: 0,
    };
    talk.run(
        session,
        events,
        args.timeout.map(|after| Instant::now() + *after),
    )
    .await
}

fn some_time(text: &str) -> Result<HumanDuration, String> {
    match text.parse::<HumanDuration>() {
        Ok(time) if time.is_zero() => Err("it has to be longer than 0s".to_owned()),
        time => time.map_err(|error| error.to_string()),
    }
}

fn target(args: &Args) -> Result<Target, String> {
    let form = if args.json {
        Form::Json
    } else {
        Form::Protobuf
    };
    Ok(Target {
        user_id: args.user.clone(),
        device_id: args.device.clone(),
        token: args.token.clone(),
        ..args.gateway.target(form)?
    })
}

struct Talk {
    /// `None` once it has ended.
    input: Option<Input>,
    stay: bool,
    pending: HashSet<String>,
    refused: u64,
}

impl Talk {
    async fn run(
        mut self,
        mut session: Session,
        mut events: mpsc::Receiver<Event>,
        until: Option<Instant>,
    ) -> ExitCode {
        loop {
            if self.input.is_none() && self.pending.is_empty() && !self.stay {
                break;
            }
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.show(event),
                    None => return ExitCode::FAILURE,
                },
                line = next(&mut self.input) => match line {
                    Some(line) => self.send(&mut session, &mut events, line).await,
                    None => self.input = None,
                },
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => break,
                _ = tokio::signal::ctrl_c() => break,
            }
        }
        // Events that still come are of no interest, but a session stands still when nobody takes them.
        let drain = tokio::spawn(async move { while events.recv().await.is_some() {} });
        session.close().await;
        drain.abort();
        if !self.pending.is_empty() {
            text::say(format_args!("{} without an answer", self.pending.len()));
        }
        if self.pending.is_empty() && self.refused == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    /// Sends a line. Events go on meanwhile: while too many messages are under way, answers make room.
    async fn send(
        &mut self,
        session: &mut Session,
        events: &mut mpsc::Receiver<Event>,
        line: Bytes,
    ) {
        let mut sending = std::pin::pin!(session.send(line));
        loop {
            tokio::select! {
                biased;
                key = &mut sending => {
                    self.pending.extend(key);
                    return;
                }
                Some(event) = events.recv() => self.show(event),
            }
        }
    }

    fn show(&mut self, event: Event) {
        text::say(self.heard(event));
    }

    /// Notes what is answered; gives the line to show.
    fn heard(&mut self, event: Event) -> String {
        match event {
            Event::Connected { url, resent: 0 } => format!("connected to {url}"),
            Event::Connected { url, resent } => format!("connected to {url}, {resent} sent again"),
            Event::Disconnected {
                why,
                again_in: None,
            } => why,
            Event::Disconnected {
                why,
                again_in: Some(wait),
            } => {
                format!("{why}; trying again in {}", text::duration(wait))
            }
            Event::Sent { key, again: false } => format!("sent {key}"),
            Event::Sent { key, again: true } => format!("sent {key} again"),
            Event::Acked { key, answer, took } => {
                self.pending.remove(&key);
                let answer = if answer.is_empty() {
                    String::new()
                } else {
                    format!(": {}", text::body(&answer))
                };
                format!("accepted {key} in {}{answer}", text::duration(took))
            }
            Event::Refused {
                key,
                limited,
                fault,
                again_in,
            } => {
                let what = if limited {
                    "too many, not taken"
                } else {
                    "refused"
                };
                let advice = match again_in {
                    Some(wait) => format!("trying again in {}", text::duration(wait)),
                    None => {
                        self.pending.remove(&key);
                        self.refused += 1;
                        if fault.retryable {
                            "given up"
                        } else {
                            "a retry does not help"
                        }
                        .to_owned()
                    }
                };
                format!("{what} {key}: {}; {advice}", text::fault(&fault))
            }
            Event::Push { key, body, again } => {
                let again = if again { " (again)" } else { "" };
                format!(
                    "push {}{again}: {}",
                    text::body(key.as_bytes()),
                    text::body(&body)
                )
            }
            Event::Redirected(Redirect {
                urls,
                after_ms,
                reason,
            }) => {
                let to = if urls.is_empty() {
                    "anew".to_owned()
                } else {
                    format!("to {}", urls.join(" or "))
                };
                format!("asked to connect {to} in {after_ms}ms ({reason})")
            }
            Event::Odd(what) => format!("not understood: {what}"),
        }
    }
}

async fn next(input: &mut Option<Input>) -> Option<Bytes> {
    match input {
        Some(input) => input.next().await,
        None => std::future::pending().await,
    }
}
