//! Real services: Redis, etcd and Apache Kafka, each a process of its own on a free port with a folder that is thrown
//! away. They can be stopped, killed and started again in the middle of a test, and end with the test, even if that is
//! killed.
//!
//! Where a service cannot be had, CI fails; elsewhere the test says loudly that it was left out.

mod etcd;
mod guard;
pub(crate) mod kafka;
mod quiet;
mod redis;
pub(crate) mod redis_cluster;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};

pub(crate) use self::etcd::Etcd;
pub(crate) use self::kafka::Kafka;
pub(crate) use self::quiet::Quiet;
pub(crate) use self::redis::Redis;

/// What a test that needs the service does without it: says so, or fails in CI.
fn left_out(service: &str, why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(
        std::env::var_os("CI").is_none(),
        "CI needs {service} for {test}: {why}"
    );
    let left_out =
        format!("\n*** LEFT OUT: {test} needs {service}: {why} (`make test` installs it)\n");
    // Not by `eprintln`: of a test that passes nobody would see that.
    let mut stderr = std::io::stderr();
    stderr.write_all(left_out.as_bytes()).unwrap();
}

fn is_there(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$1\"", "sh", program])
        .stdout(Stdio::null())
        .status();
    found.is_ok_and(|status| status.success())
}

/// An address that nobody uses now.
pub(crate) fn free_address() -> SocketAddr {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.local_addr().unwrap()
}
