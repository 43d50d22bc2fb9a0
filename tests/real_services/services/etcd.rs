//! etcd.

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::guard::Guard;
use super::{free_address, is_there, left_out};
use crate::common::tls::Authority;
use crate::common::wait::until;

/// An etcd of the test's own, which keeps its data while it is stopped.
pub(crate) struct Etcd {
    name: String,
    address: SocketAddr,
    peer: SocketAddr,
    /// All members, as etcd is told of them.
    cluster: String,
    /// What the id of the cluster is made of, besides its members.
    token: u32,
    folder: TempDir,
    /// A second address for clients who know each other by certificates.
    secure: Option<Secure>,
    guard: Option<Guard>,
}

struct Secure {
    address: SocketAddr,
    ca: String,
    cert: String,
    key: String,
}

impl Etcd {
    /// Starts one, and waits until it answers.
    pub(crate) async fn start() -> Option<Self> {
        Self::cluster(1).await?.pop()
    }

    /// Starts the members of one cluster, and waits until they answer.
    pub(crate) async fn cluster(members: usize) -> Option<Vec<Self>> {
        if !is_there("etcd") {
            left_out("etcd", "there is no `etcd`");
            return None;
        }
        let mut cluster: Vec<Self> = (0..members)
            .map(|number| Self {
                name: format!("member{number}"),
                address: free_address(),
                peer: free_address(),
                cluster: String::new(),
                token: 1,
                folder: tempfile::tempdir().unwrap(),
                secure: None,
                guard: None,
            })
            .collect();
        let all: Vec<String> = cluster
            .iter()
            .map(|member| format!("{}=http://{}", member.name, member.peer))
            .collect();
        for member in &mut cluster {
            member.cluster = all.join(",");
            member.launch(member.address);
        }
        for member in &cluster {
            member.wait_until_it_answers().await;
        }
        Some(cluster)
    }

    /// From the next start on it also listens where client and server have to bear certificates of this authority.
    pub(crate) fn secure(&mut self, authority: &Authority) -> SocketAddr {
        let address = free_address();
        self.secure = Some(Secure {
            address,
            ca: authority.file("ca.pem"),
            cert: authority.file("cert.pem"),
            key: authority.file("key.pem"),
        });
        address
    }

    /// Where clients reach it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it as if its power had gone.
    pub(crate) fn stop(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.kill();
        }
    }

    /// Starts it again at the same address with the same data.
    pub(crate) async fn resume(&mut self) {
        self.launch(self.address);
        self.wait_until_it_answers().await;
    }

    /// Stops it and starts it where no client looks for it, until it is resumed.
    pub(crate) async fn hide(&mut self) -> SocketAddr {
        self.stop();
        let (hidden, address) = (free_address(), self.address);
        self.address = hidden;
        self.launch(hidden);
        self.wait_until_it_answers().await;
        self.address = address;
        hidden
    }

    /// Its data as they are now, for [`restore`](Self::restore). It has to be stopped.
    pub(crate) fn backup(&self) -> TempDir {
        assert!(self.guard.is_none(), "stop it first");
        let backup = tempfile::tempdir().unwrap();
        copy(&self.folder.path().join("data"), backup.path());
        backup
    }

    /// Puts older data in place of its own. It has to be stopped.
    pub(crate) fn restore(&self, backup: &TempDir) {
        assert!(self.guard.is_none(), "stop it first");
        let data = self.folder.path().join("data");
        std::fs::remove_dir_all(&data).unwrap();
        std::fs::create_dir(&data).unwrap();
        copy(backup.path(), &data);
    }

    /// Puts nothing in place of its data, for a cluster of another id. It has to be stopped.
    pub(crate) fn renew(&mut self) {
        assert!(self.guard.is_none(), "stop it first");
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
        self.token += 1;
    }

    /// It stands still until it [goes on](Self::go_on), and its connections stay open.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// The end of [`freeze`](Self::freeze).
    pub(crate) fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        self.guard.as_ref().expect("it runs").signal(name);
    }

    /// Whether it leads its cluster.
    pub(crate) async fn leads(&self) -> bool {
        let said = self.post("/v3/maintenance/status", "{}").await;
        let said = said.unwrap_or_default();
        let number = |key: &str| {
            let rest = said.split(&format!(r#""{key}":""#)).nth(1)?;
            rest.split('"').next().map(str::to_owned)
        };
        number("leader").is_some_and(|leader| number("member_id") == Some(leader))
    }

    fn launch(&mut self, address: SocketAddr) {
        let (mut own, peer) = (format!("http://{address}"), format!("http://{}", self.peer));
        let token = format!("token{}", self.token);
        let mut certificates = Vec::new();
        if let Some(secure) = &self.secure {
            own = format!("{own},https://{}", secure.address);
            certificates = vec![
                ("--cert-file", secure.cert.as_str()),
                ("--key-file", &secure.key),
                ("--trusted-ca-file", &secure.ca),
                ("--client-cert-auth", "true"),
            ];
        }
        let args = [
            ("--name", self.name.as_str()),
            ("--data-dir", "data"),
            ("--listen-client-urls", &own),
            ("--advertise-client-urls", &own),
            ("--listen-peer-urls", &peer),
            ("--initial-advertise-peer-urls", &peer),
            ("--initial-cluster", &self.cluster),
            ("--initial-cluster-token", &token),
        ];
        let args: Vec<_> = args
            .into_iter()
            .chain(certificates)
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        self.guard = Some(Guard::start(self.folder.path(), "etcd", &args));
    }

    async fn wait_until_it_answers(&self) {
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

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
