//! The program itself, in a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How long a process may take to say something or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Lines that may wait to be read; beyond it the process waits.
const LINES: usize = 1000;

/// A running program; it ends with this value.
pub(crate) struct Process {
    /// Its arguments.
    name: String,
    child: Child,
    log: mpsc::Receiver<String>,
    said: Vec<String>,
}

impl Process {
    /// Starts `program` in `folder`.
    pub(crate) fn start(program: &Path, folder: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let (said, log) = mpsc::channel(LINES);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if said.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            name: args.join(" "),
            child,
            log,
            said: Vec::new(),
        }
    }

    /// The address in the next line of the log that holds `what`.
    pub(crate) async fn address(&mut self, what: &str) -> SocketAddr {
        let line = self.line(what).await;
        let address = line.split("address=").nth(1);
        let address = address.and_then(|text| text.trim().parse().ok());
        address.unwrap_or_else(|| panic!("no address: {:#?}", self.said))
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends the signal of this name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let mut shell = Command::new("sh");
        shell.args(["-c", "kill -\"$1\" \"$2\"", "sh", name, &id]);
        assert!(shell.status().expect("a shell").success());
    }

    /// Waits for a line of the log that holds `what`.
    pub(crate) async fn line(&mut self, what: &str) -> String {
        while let Ok(Some(line)) = timeout(PATIENCE, self.log.recv()).await {
            self.said.push(line.clone());
            if line.contains(what) {
                return line;
            }
        }
        panic!("no line with `{what}`: {:#?}", self.said)
    }

    /// The exit code, and the log; `None` in place of the code if a signal ended it.
    pub(crate) async fn exit(mut self) -> (Option<i32>, Vec<String>) {
        match timeout(PATIENCE, self.end()).await {
            Ok(status) => (status.code(), std::mem::take(&mut self.said)),
            Err(_) => panic!("it does not end: {:#?}", self.said),
        }
    }

    async fn end(&mut self) -> ExitStatus {
        while let Some(line) = self.log.recv().await {
            self.said.push(line);
        }
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Process {
    #[allow(
        clippy::print_stdout,
        reason = "whoever reads of a failed test wants to know"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            while let Ok(line) = self.log.try_recv() {
                self.said.push(line);
            }
            println!("{}: {:#?}", self.name, self.said);
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
