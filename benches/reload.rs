//! What changes of the configuration leave behind, and what each costs: `cargo bench --bench reload`.
//!
//! A node with 100 businesses and 200 links, whose filters all change 10,000 times, while each link has traffic.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::time::Duration;

// For its allocator: the memory of the process is measured.
use linkgate as _;
use linkgate_client::{Limits, Socket, Target};
use linkgate_core::config::{self, Config};
use linkgate_core::node::Node;
use linkgate_proto::v1::{Command, Message};
use tokio::time::{Instant, sleep};

const BUSINESSES: usize = 100;
const LINKS: usize = 200;
const CHANGES: u32 = 10_000;

fn write(file: &Path, burst: u32) {
    let mut text = format!(
        "schema: 1
listeners:
  - {{ name: public, address: \"127.0.0.1:0\", auth: insecure_query, admission: {{ handshakes_per_ip: 1024 }} }}
profiles:
  standard:
    - {{ use: codec }}
    - {{ use: rate_limit, config: {{ per: link, rate: 10000/s, burst: {burst} }} }}
    - {{ use: ack_retry }}
    - {{ use: batch, config: {{ max_messages: 32 }} }}
    - {{ use: mq_upstream, config: {{ broker: main, topic: t }} }}
brokers: {{ main: {{ memory: {{ max_records: 100 }} }} }}
pipelines:
"
    );
    for n in 0..BUSINESSES {
        let line = format!("  - {{ biz_id: biz{n}, listeners: [public], profile: standard }}\n");
        text += &line;
    }
    std::fs::write(file, text).unwrap();
}

fn load(file: &Path) -> Config {
    config::load(&[file.to_owned()], &linkgate_filters::all()).unwrap()
}

/// Sends and hears one message after the other until the link ends.
async fn traffic(mut socket: Socket) {
    for n in 0_u64.. {
        let message = Message {
            cmd: Command::UpstreamMessage.into(),
            key: n.to_string(),
            ..Message::default()
        };
        if socket.send(&message).await.is_err() || socket.next().await.is_err() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    write(&file, 100);
    let node = Node::start(load(&file)).unwrap();
    let address = node.listeners()[0].1;
    for n in 0..LINKS {
        let target = Target {
            url: format!("ws://{address}/ws"),
            biz_id: Some(format!("biz{}", n % BUSINESSES)),
            user_id: Some(format!("u{n}")),
            ..Target::default()
        };
        let socket = Socket::connect(&target, Limits::default()).await.unwrap();
        tokio::spawn(traffic(socket));
    }
    let (mut loading, mut changing) = (Duration::ZERO, Duration::ZERO);
    let mut first = 0;
    for n in 1..=CHANGES {
        write(&file, 100 + n % 2);
        let begun = Instant::now();
        let config = load(&file);
        loading += begun.elapsed();
        let begun = Instant::now();
        let changed = node.change(config).unwrap();
        changing += begun.elapsed();
        assert_eq!(
            changed.links, LINKS,
            "every link changes over, and none is lost"
        );
        tokio::task::yield_now().await;
        if n % 1000 == 0 {
            sleep(Duration::from_millis(200)).await;
            first = if first == 0 { resident_kib() } else { first };
            println!("{n} changes: {} KiB resident", resident_kib());
        }
    }
    let each = |all: Duration| all.as_secs_f64() * 1000.0 / f64::from(CHANGES);
    println!(
        "{BUSINESSES} pipelines and {LINKS} links: {:.2} ms to read, {:.2} ms to change; {} KiB more after the first 1,000",
        each(loading),
        each(changing),
        i64::try_from(resident_kib()).unwrap() - i64::try_from(first).unwrap(),
    );
}
