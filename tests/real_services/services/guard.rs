//! A process that does not outlive the test.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// A service's process. A shell stands between it and the test: when the pipe to the shell closes, which it does even if
/// the test is killed, the shell kills the service.
pub(super) struct Guard {
    shell: Child,
    pipe: Option<ChildStdin>,
    pid: String,
}

const SCRIPT: &str = r#"
"$@" </dev/null >>"$LOG" 2>&1 &
service=$!
echo "$service"
cat >/dev/null
kill -KILL "$service" 2>/dev/null
wait
"#;

impl Guard {
    /// Starts a program in `folder`, where its log goes too.
    pub(super) fn start(folder: &Path, program: &str, args: &[String]) -> Self {
        let log = folder.join("log");
        File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh", program])
            .args(args)
            .env("LOG", &log)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pid = String::new();
        let said = shell.stdout.take().unwrap();
        BufReader::new(said).read_line(&mut pid).unwrap();
        let pipe = shell.stdin.take();
        Self {
            shell,
            pipe,
            pid: pid.trim().to_owned(),
        }
    }

    /// Sends a signal, such as `TERM` or `STOP`.
    pub(super) fn signal(&self, name: &str) {
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -\"$1\" \"$2\"", "sh", name, &self.pid]);
        assert!(
            kill.status().unwrap().success(),
            "SIG{name} to {}",
            self.pid
        );
    }

    /// Whether the process still runs.
    pub(super) fn runs(&self) -> bool {
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -0 \"$1\" 2>/dev/null", "sh", &self.pid]);
        kill.status().unwrap().success()
    }

    /// Ends it as if its power had gone.
    pub(super) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.pipe.take());
        self.shell.wait().ok();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end();
    }
}
