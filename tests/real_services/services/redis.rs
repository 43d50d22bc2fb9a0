//! Redis.

use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::guard::Guard;
use super::{free_address, is_there, left_out};
use crate::common::wait::{until, within};

/// A Redis of the test's own, which keeps its data while it is stopped.
pub(crate) struct Redis {
    address: SocketAddr,
    folder: TempDir,
    /// Of the command line, beside what all have.
    args: Vec<String>,
    guard: Option<Guard>,
}

impl Redis {
    /// Starts one, and waits until it answers.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with("").await
    }

    /// Starts one with more arguments, separated by spaces.
    pub(crate) async fn start_with(args: &str) -> Option<Self> {
        if !is_there("redis-server") {
            left_out("Redis", "there is no `redis-server`");
            return None;
        }
        let mut redis = Self {
            address: free_address(),
            folder: tempfile::tempdir().unwrap(),
            args: args.split_whitespace().map(str::to_owned).collect(),
            guard: None,
        };
        redis.resume().await;
        Some(redis)
    }

    /// A sentinel that watches this one under the name `main`.
    pub(crate) async fn sentinel(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let watched = format!(
            "sentinel monitor main 127.0.0.1 {} 1\n",
            self.address.port()
        );
        let rules =
            "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n";
        let file = folder.path().join("sentinel.conf");
        std::fs::write(&file, watched + rules).unwrap();
        let mut sentinel = Self {
            address: free_address(),
            folder,
            args: Vec::new(),
            guard: None,
        };
        let port = sentinel.address.port().to_string();
        let file = file.display().to_string();
        let args = [&*file, "--sentinel", "--bind", "127.0.0.1", "--port", &port];
        sentinel.run(&args.map(str::to_owned)).await;
        sentinel
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it as if its power had gone; what it had acknowledged is on disk.
    pub(crate) fn stop(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.kill();
        }
    }

    /// Starts it again at the same address with the same data.
    pub(crate) async fn resume(&mut self) {
        let port = self.address.port().to_string();
        let args = [
            "--bind",
            "127.0.0.1",
            "--port",
            &port,
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ];
        let mut args = args.map(str::to_owned).to_vec();
        args.extend_from_slice(&self.args);
        self.run(&args).await;
    }

    async fn run(&mut self, args: &[String]) {
        self.guard = Some(Guard::start(self.folder.path(), "redis-server", args));
        until("Redis answers", async || {
            self.call("PING").await.as_deref() == Some("+PONG")
        })
        .await;
    }

    /// The first line of the answer to an inline command.
    pub(crate) async fn call(&self, command: &str) -> Option<String> {
        let answer = self.answer(command).await?;
        answer.lines().next().map(str::to_owned)
    }

    /// The answer to an inline command, or the first part of a long one.
    pub(crate) async fn answer(&self, command: &str) -> Option<String> {
        let mut socket = TcpStream::connect(self.address).await.ok()?;
        let command = format!("{command}\r\n");
        socket.write_all(command.as_bytes()).await.ok()?;
        let mut answer = vec![0; 4096];
        let length = within("an answer of Redis", socket.read(&mut answer))
            .await
            .ok()?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }
}
