//! Apache Kafka: one broker that is its own controller.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::guard::Guard;
use super::{free_address, is_there, left_out};
use crate::common::tls::Authority;
use crate::common::wait::PATIENCE;

/// A broker, which keeps its data while it is stopped.
pub(crate) struct Kafka {
    address: SocketAddr,
    controller: SocketAddr,
    folder: TempDir,
    jars: PathBuf,
    /// A second way in, for those who can show who they are.
    secured: Option<SocketAddr>,
    guard: Option<Guard>,
}

/// The one who may use the secured way in, and what he shows: by SASL, beside a certificate of the authority.
pub(crate) const USER: &str = "gate";
pub(crate) const PASSWORD: &str = "hunter2";

/// Starting a broker takes seconds: tests that do it no harm share one.
static SHARED: LazyLock<Mutex<Option<Kafka>>> = LazyLock::new(Mutex::default);

/// A broker has a minute to start on a machine that is busy with other things.
const START: Duration = Duration::from_secs(60);

impl Kafka {
    /// Where the broker is that tests share which do not stop it. Each test has topics of its own.
    pub(crate) async fn shared() -> Option<SocketAddr> {
        let mut shared = SHARED.lock().await;
        if shared.is_none() {
            *shared = Self::start().await;
        }
        shared.as_ref().map(|kafka| kafka.address)
    }

    /// Starts a broker of the test's own, and waits until it answers.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(None).await
    }

    /// Likewise; with a line of settings that counts more than what stands in the file.
    pub(crate) async fn start_set(setting: &str) -> Option<Self> {
        Self::start_as(None, setting).await
    }

    /// Likewise; with a second way in over TLS, for clients with a certificate of this authority and a password.
    pub(crate) async fn start_with(authority: Option<&Authority>) -> Option<Self> {
        Self::start_as(authority, "").await
    }

    async fn start_as(authority: Option<&Authority>, setting: &str) -> Option<Self> {
        let jars = match std::env::var_os("KAFKA_HOME") {
            Some(home) => Path::new(&home).join("libs"),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/services/kafka"),
        };
        if !is_there("java") || !jars.is_dir() {
            left_out("Kafka", "there is no `java`, or no jars of the broker");
            return None;
        }
        let mut kafka = Self {
            address: free_address(),
            controller: free_address(),
            folder: tempfile::tempdir().unwrap(),
            jars,
            secured: authority.map(|_| free_address()),
            guard: None,
        };
        kafka.format(authority, setting);
        kafka.resume().await;
        Some(kafka)
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The second way in.
    pub(crate) fn secured(&self) -> SocketAddr {
        self.secured.expect("it was started with an authority")
    }

    /// Settings of the second way in.
    fn secure(&self, authority: &Authority) -> String {
        // The broker wants its key and its certificate in one file.
        let keys = self.folder.path().join("keys.pem");
        let read = |name| std::fs::read_to_string(authority.file(name)).unwrap();
        std::fs::write(&keys, read("key.pem") + &read("cert.pem")).unwrap();
        let keys = keys.display();
        let ca = authority.file("ca.pem");
        format!(
            "listener.name.secured.ssl.keystore.type=PEM
listener.name.secured.ssl.keystore.location={keys}
listener.name.secured.ssl.truststore.type=PEM
listener.name.secured.ssl.truststore.location={ca}
listener.name.secured.ssl.client.auth=required
listener.name.secured.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.secured.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";
listener.name.secured.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secured.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
"
        )
    }

    fn format(&self, authority: Option<&Authority>, setting: &str) {
        let (address, controller) = (self.address, self.controller);
        let (listener, secured) = match (self.secured, authority) {
            (Some(address), Some(authority)) => {
                (format!(",SECURED://{address}"), self.secure(authority))
            }
            _ => Default::default(),
        };
        let settings = format!(
            "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
listeners=PLAINTEXT://{address},CONTROLLER://{controller}{listener}
advertised.listeners=PLAINTEXT://{address}{listener}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL
log.dirs={folder}/data
num.partitions=4
auto.create.topics.enable=true
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.flush.interval.messages=1000
# One that was killed may come back when its session is over.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
{setting}
{secured}",
            folder = self.folder.path().display(),
        );
        std::fs::write(self.folder.path().join("server.properties"), settings).unwrap();
        let mut args = self.java("kafka.tools.StorageTool");
        args.extend(
            [
                "format",
                "-t",
                "bGlua2dhdGUtdGVzdHMtMQ",
                "-c",
                "server.properties",
            ]
            .map(str::to_owned),
        );
        if self.secured.is_some() {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                args.push("--add-scram".to_owned());
                args.push(format!("{mechanism}=[name={USER},password={PASSWORD}]"));
            }
        }
        let formatted = Command::new("java")
            .args(args)
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(formatted.status.success(), "{formatted:?}");
    }

    /// Quick to start and small, rather than fast.
    fn java(&self, class: &str) -> Vec<String> {
        let jars = format!("{}/*", self.jars.display());
        let args = [
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            &jars,
            class,
        ];
        args.map(str::to_owned).to_vec()
    }

    /// Ends it as if its power had gone.
    pub(crate) fn stop(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.kill();
        }
    }

    /// Freezes it: connections stay open, and nothing is answered.
    pub(crate) fn freeze(&self) {
        self.guard.as_ref().unwrap().signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.guard.as_ref().unwrap().signal("CONT");
    }

    /// Starts it again at the same address with the same data.
    pub(crate) async fn resume(&mut self) {
        let mut args = self.java("kafka.Kafka");
        args.push("server.properties".to_owned());
        self.guard = Some(Guard::start(self.folder.path(), "java", &args));
        let address = self.address.to_string();
        let answers = tokio::task::spawn_blocking(move || answers(&address));
        if !answers.await.unwrap() {
            let log = std::fs::read_to_string(self.folder.path().join("log"));
            panic!("Kafka does not answer: {}", log.unwrap_or_default());
        }
        assert!(self.guard.as_ref().unwrap().runs());
    }

    /// Makes a topic.
    pub(crate) async fn topic(address: SocketAddr, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = client(address).create().unwrap();
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let made = admin.create_topics(&[topic], &options).await.unwrap();
        made[0].as_ref().unwrap();
    }
}

/// A client's first settings.
pub(crate) fn client(address: SocketAddr) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address.to_string());
    config
}

fn answers(address: &str) -> bool {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address);
    // Attempts against a broker that is not there yet are no news.
    config.set("log_level", "0");
    let client: BaseConsumer = config.create().unwrap();
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < START {
        if client
            .fetch_metadata(None, Duration::from_millis(500))
            .is_ok()
        {
            return true;
        }
    }
    false
}
