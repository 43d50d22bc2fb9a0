//! What a node counts, as its admin address shows it.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wait::within;

/// One scrape.
pub(crate) struct Metrics(String);

impl Metrics {
    /// Asks the admin address.
    pub(crate) async fn of(admin: SocketAddr) -> Self {
        let (status, body) = get(admin, "/metrics").await;
        assert_eq!(status, 200, "{body}");
        Self(body)
    }

    /// The sum of a family's values over all lines with these labels.
    pub(crate) fn sum(&self, family: &str, labels: &[(&str, &str)]) -> u64 {
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        let value = |line: &str| {
            let rest = line.strip_prefix(family)?;
            let (found, value) = rest.rsplit_once(' ')?;
            let fits = found.is_empty() || found.starts_with('{');
            let has = labels.iter().all(|label| found.contains(label.as_str()));
            (fits && has).then(|| value.parse::<f64>().expect(line) as u64)
        };
        self.0.lines().filter_map(value).sum()
    }

    /// Links closed for this reason.
    pub(crate) fn closed(&self, reason: &str) -> u64 {
        self.sum("linkgate_links_closed_total", &[("reason", reason)])
    }

    /// Connections that became no links for this reason.
    pub(crate) fn refused(&self, reason: &str) -> u64 {
        self.sum("linkgate_listener_refused_total", &[("reason", reason)])
    }

    /// Links with a socket.
    pub(crate) fn links(&self) -> u64 {
        self.sum("linkgate_links", &[])
    }

    /// What a filter counts of its own.
    pub(crate) fn events(&self, filter: &str, event: &str) -> u64 {
        self.sum(
            "linkgate_filter_events_total",
            &[("filter", filter), ("event", event)],
        )
    }

    /// Messages that a filter refused.
    pub(crate) fn faults(&self, filter: &str, code: &str) -> u64 {
        self.sum(
            "linkgate_filter_faults_total",
            &[("filter", filter), ("code", code)],
        )
    }

    /// Business messages that ended so: `accepted`, or the code of the fault.
    pub(crate) fn messages(&self, outcome: &str) -> u64 {
        self.sum("linkgate_messages_total", &[("outcome", outcome)])
    }
}

/// The status and the body of a page.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = within(path, asked)
        .await
        .expect("the admin address answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("an HTTP status"), body.to_owned())
}
