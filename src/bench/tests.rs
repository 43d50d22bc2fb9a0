//! The load generator against small servers on loopback.

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use linkgate_client::{decode, encode};
use linkgate_filter::Form;
use linkgate_proto::v1::{Command, Fault, Message};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn args(url: &str, line: &str) -> Args {
    let warmup = if line.contains("--warmup") {
        ""
    } else {
        "--warmup 0s"
    };
    let words = ["bench", url]
        .into_iter()
        .chain(warmup.split_whitespace())
        .chain(line.split_whitespace());
    Line::parse_from(words).args
}

/// A server that echoes frames, or answers messages: with an ACK, or a NACK for every fourth key.
async fn server(answering: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                #[allow(clippy::result_large_err, reason = "the callback's type is given")]
                let agree = |request: &Request, mut response: Response| {
                    if let Some(form) = request.headers().get("sec-websocket-protocol") {
                        response
                            .headers_mut()
                            .insert("sec-websocket-protocol", form.clone());
                    }
                    Ok(response)
                };
                let mut ws = tokio_tungstenite::accept_hdr_async(stream, agree)
                    .await
                    .unwrap();
                while let Some(Ok(frame)) = ws.next().await {
                    if frame.is_close() {
                        continue;
                    }
                    let answer = if answering { answer(frame) } else { frame };
                    if ws.send(answer).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

fn answer(
    frame: tokio_tungstenite::tungstenite::Message,
) -> tokio_tungstenite::tungstenite::Message {
    let form = if frame.is_text() {
        Form::Json
    } else {
        Form::Protobuf
    };
    let message = decode(frame).unwrap();
    let number: u64 = message.key.parse().unwrap();
    let nack = number % 4 == 3;
    let fault = Fault {
        code: "test.fourth".into(),
        ..Fault::default()
    };
    let message = Message {
        cmd: if nack {
            Command::UpstreamNack
        } else {
            Command::UpstreamAck
        }
        .into(),
        key: message.key,
        body: message.body,
        fault: nack.then_some(fault),
    };
    encode(form, &message)
}

#[tokio::test]
async fn an_echo_server_answers_each_message() {
    let url = server(false).await;
    let report = run::run(&args(
        &url,
        "--form raw --links 5 --depth 4 --messages 1000",
    ))
    .await
    .unwrap();
    assert_eq!((report.links, report.messages), (5, 1000), "{report}");
    assert!(report.errors.is_empty(), "{report}");
    let latency = report.latency.unwrap();
    assert_eq!(latency.count, 1000);
    assert!(latency.p50_us <= latency.p99_us && latency.p99_us <= latency.max_us);
}

#[tokio::test]
async fn refusals_are_counted_by_their_code() {
    let url = server(true).await;
    for form in ["proto", "json"] {
        let line = format!("--form {form} --links 1 --depth 4 --messages 400");
        let report = run::run(&args(&url, &line)).await.unwrap();
        assert_eq!(report.errors["UPSTREAM_NACK test.fourth"], 100, "{report}");
        assert_eq!(report.messages, 300, "{report}");
    }
}

#[tokio::test]
async fn a_rate_is_kept_whether_or_not_answers_come() {
    let url = server(true).await;
    let report = run::run(&args(&url, "--links 4 --rate 400/s --duration 500ms"))
        .await
        .unwrap();
    // 200 are due, a fourth of them is refused; the bounds are wide for a busy machine.
    assert!((75..=225).contains(&report.messages), "{report}");
}

#[tokio::test]
async fn idle_links_are_weighed() {
    let url = server(true).await;
    let line = format!(
        "--mode idle --links 20 --duration 50ms --server-pid {}",
        std::process::id()
    );
    let report = run::run(&args(&url, &line)).await.unwrap();
    assert_eq!((report.links, report.messages), (20, 0), "{report}");
    assert!(report.server.unwrap().resident_before > 0);
}

#[tokio::test]
async fn links_that_are_lost_while_warming_up_end_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(tokio_tungstenite::accept_async(stream).await);
        }
    });
    let line = "--form raw --links 2 --duration 50ms --warmup 60s";
    let report = run::run(&args(&url, line)).await.unwrap();
    assert_eq!((report.links, report.messages), (2, 0), "{report}");
    assert_eq!(report.errors.values().sum::<u64>(), 2, "{report}");
}

#[tokio::test]
async fn what_was_sent_while_warming_up_is_not_among_the_messages() {
    let url = server(false).await;
    let line = "--form raw --links 5 --depth 4 --messages 1000 --warmup 50ms";
    let report = run::run(&args(&url, line)).await.unwrap();
    assert_eq!(report.messages, 1000, "{report}");
    assert_eq!(report.latency.unwrap().count, 1000);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_and_no_panic() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let report = run::run(&args(&url, "--links 2")).await.unwrap();
    assert_eq!(
        (report.links, report.errors.values().sum::<u64>()),
        (0, 2),
        "{report}"
    );
    let problem = run::run(&args(&url, "--links 100000000"))
        .await
        .unwrap_err();
    assert!(problem.contains("ulimit -n"), "{problem}");
}
