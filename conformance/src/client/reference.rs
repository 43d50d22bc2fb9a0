//! A driver around linkgate's own client: an example for those who write one, and how the client is judged itself.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use linkgate_client::{Event, Options, Session, Target, Tokens};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::driver::Offer;
use super::settings::{ANSWER_TIMEOUT, BACKOFF, HEARTBEAT};

/// Plays the application until the client is closed or turned away, and tells which.
pub async fn drive(offer: Offer) -> String {
    let token_url = offer.token_url;
    let tokens: Tokens = Arc::new(move || Box::pin(fresh_token(token_url.clone())));
    let target = Target {
        url: offer.url,
        form: offer.form,
        token: Some(offer.token),
        tokens: Some(tokens),
        ..Target::default()
    };
    let options = Options {
        answer_timeout: ANSWER_TIMEOUT,
        backoff: BACKOFF,
        heartbeat: HEARTBEAT,
        ..Options::default()
    };
    let (mut session, mut events) = Session::start(target, options);
    let mut to_send: VecDeque<Bytes> = VecDeque::new();
    let mut under_way: HashMap<String, Bytes> = HashMap::new();
    loop {
        tokio::select! {
            biased;
            event = events.recv() => match event {
                None => return "turned away".into(),
                Some(Event::Push { body, .. }) if body == "close" => {
                    let rest = tokio::spawn(async move { while events.recv().await.is_some() {} });
                    session.close().await;
                    rest.abort();
                    return "closed".into();
                }
                Some(Event::Push { body, again: false, .. }) => to_send.push_back(body),
                Some(Event::Acked { key, answer, .. }) => {
                    let body = under_way.remove(&key).unwrap_or_default();
                    to_send.extend(report("accepted", &body, &answer));
                }
                Some(Event::Refused { key, again_in: None, .. }) => {
                    let body = under_way.remove(&key).unwrap_or_default();
                    to_send.extend(report("refused", &body, b""));
                }
                Some(_) => {}
            },
            key = session.send(to_send.front().cloned().unwrap_or_default()), if !to_send.is_empty() => {
                let body = to_send.pop_front().unwrap_or_default();
                let Some(key) = key else { return "turned away".into() };
                under_way.insert(key, body);
            }
        }
    }
}

/// Work is reported; all else is not.
fn report(what: &str, body: &[u8], answer: &[u8]) -> Option<Bytes> {
    let mut report = [what.as_bytes(), b" ", body].concat();
    if !answer.is_empty() {
        report.push(b' ');
        report.extend(answer);
    }
    body.starts_with(b"work").then(|| report.into())
}

/// What `GET` of the URL gives.
async fn fresh_token(url: String) -> Option<String> {
    let (address, path) = url.strip_prefix("http://")?.split_once('/')?;
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream
        .take(16 * 1024)
        .read_to_string(&mut answer)
        .await
        .ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200 ")
        .then(|| body.trim().to_owned())
}
