//! The driver: the small program around a client that the kit starts once per check.

use std::collections::VecDeque;
use std::process::Stdio;
use std::time::Duration;

use linkgate_filter::Form;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command as Process};

use super::settings;

/// Lines of a driver's standard error that are kept.
const LINES: usize = 10;

/// What a driver is told.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Where to connect; says which check it is.
    pub url: String,
    /// The check.
    pub check: String,
    /// The form to ask for.
    pub form: Form,
    /// The token to connect with.
    pub token: String,
    /// Where a `GET` gives a fresh one.
    pub token_url: String,
}

impl Offer {
    /// As environment variables.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let millis = |time: Duration| time.as_millis().to_string();
        let form = match self.form {
            Form::Protobuf => "protobuf",
            Form::Json => "json",
        };
        vec![
            ("LINKGATE_KIT_URL", self.url.clone()),
            ("LINKGATE_KIT_CHECK", self.check.clone()),
            ("LINKGATE_KIT_FORM", form.into()),
            ("LINKGATE_KIT_TOKEN", self.token.clone()),
            ("LINKGATE_KIT_TOKEN_URL", self.token_url.clone()),
            (
                "LINKGATE_KIT_ANSWER_TIMEOUT_MS",
                millis(settings::ANSWER_TIMEOUT),
            ),
            ("LINKGATE_KIT_BACKOFF_MS", millis(settings::BACKOFF)),
            ("LINKGATE_KIT_HEARTBEAT_MS", millis(settings::HEARTBEAT)),
            ("LINKGATE_KIT_HEARTBEAT_TIMEOUT_MS", millis(settings::ECHO)),
        ]
    }

    /// What [`variables`](Self::variables) says, read from the environment of this process.
    ///
    /// # Errors
    /// Says which variable is missing.
    pub fn from_environment() -> Result<Self, String> {
        let get = |name: &str| {
            std::env::var(name).map_err(|_| {
                format!("{name} is not set: a driver is started by `linkgate test --client --run`")
            })
        };
        Ok(Self {
            url: get("LINKGATE_KIT_URL")?,
            check: get("LINKGATE_KIT_CHECK")?,
            form: match &*get("LINKGATE_KIT_FORM")? {
                "json" => Form::Json,
                _ => Form::Protobuf,
            },
            token: get("LINKGATE_KIT_TOKEN")?,
            token_url: get("LINKGATE_KIT_TOKEN_URL")?,
        })
    }
}

/// A command that is a driver.
#[derive(Clone, Debug)]
pub struct Command(pub String);

impl Command {
    /// Runs it to its end, and tells how that was. Dropping the future kills it, and what it has started.
    pub async fn drive(&self, offer: Offer) -> String {
        let mut process = Process::new("sh");
        process
            .args(["-c", &self.0])
            .envs(offer.variables())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut group = match process.spawn() {
            Ok(child) => Group(child),
            Err(error) => return format!("the driver cannot be started: {error}"),
        };
        let mut said = VecDeque::new();
        if let Some(stderr) = group.0.stderr.take() {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if said.len() == LINES {
                    said.pop_front();
                }
                said.push_back(line);
            }
        }
        let ended = match group.0.wait().await {
            Ok(status) => format!("the driver has ended: {status}"),
            Err(error) => format!("the driver has ended: {error}"),
        };
        let said = said.iter().map(|line| format!("\n    {line}"));
        std::iter::once(ended).chain(said).collect()
    }
}

/// A process and what it has started.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // Only while the first of them has not been waited for is its number surely its own.
        let Some(id) = self.0.id() else { return };
        let mut kill = std::process::Command::new("sh");
        kill.args(["-c", &format!("kill -9 -{id}")]);
        kill.stderr(Stdio::null()).status().ok();
    }
}
