//! etcd.

use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::guard::Guard;
use super::{free_address, is_there, left_out};
use crate::common::wait::until;

/// An etcd of the test's own, which keeps its data while it is stopped.
pub(crate) struct Etcd {
    address: SocketAddr,
    peer: SocketAddr,
    folder: TempDir,
    guard: Option<Guard>,
}

impl Etcd {
    /// Starts one, and waits until it answers.
    pub(crate) async fn start() -> Option<Self> {
        if !is_there("etcd") {
            left_out("etcd", "there is no `etcd`");
            return None;
        }
        let mut etcd = Self {
            address: free_address(),
            peer: free_address(),
            folder: tempfile::tempdir().unwrap(),
            guard: None,
        };
        etcd.resume().await;
        Some(etcd)
    }

    /// Ends it as if its power had gone.
    pub(crate) fn stop(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.kill();
        }
    }

    /// Starts it again at the same address with the same data.
    pub(crate) async fn resume(&mut self) {
        let (own, peer) = (
            format!("http://{}", self.address),
            format!("http://{}", self.peer),
        );
        let cluster = format!("default={peer}");
        let args = [
            ("--data-dir", "data"),
            ("--listen-client-urls", &own),
            ("--advertise-client-urls", &own),
            ("--listen-peer-urls", &peer),
            ("--initial-advertise-peer-urls", &peer),
            ("--initial-cluster", &cluster),
        ];
        let args: Vec<_> = args
            .into_iter()
            .flat_map(|(key, value)| [key.to_owned(), value.to_owned()])
            .collect();
        self.guard = Some(Guard::start(self.folder.path(), "etcd", &args));
        let healthy = async || {
            let answer = self.post("/v3/kv/range", r#"{"key":"Lw=="}"#).await;
            answer.is_some_and(|answer| answer.contains("revision"))
        };
        until("etcd answers", healthy).await;
    }

    /// The answer to a call of the JSON gateway.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Option<String> {
        let mut socket = TcpStream::connect(self.address).await.ok()?;
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: etcd\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }
}
