//! A session against a scripted gateway on a real socket.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use linkgate_filter::{CloseCode, Form};
use linkgate_proto::v1::{Command, Fault, Message, Redirect};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::*;

/// The gateway's end of one connection.
struct Gate(WebSocketStream<TcpStream>, Form);

impl Gate {
    #[allow(clippy::result_large_err, reason = "the callback's type is given")]
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        let mut form = Form::Protobuf;
        let answer = |request: &Request, mut response: Response| {
            let name = request.headers()["sec-websocket-protocol"].clone();
            form = if name == linkgate_proto::SUBPROTOCOL_JSON {
                Form::Json
            } else {
                Form::Protobuf
            };
            response
                .headers_mut()
                .insert("sec-websocket-protocol", name);
            Ok(response)
        };
        let ws = tokio_tungstenite::accept_hdr_async(stream, answer)
            .await
            .unwrap();
        Self(ws, form)
    }

    async fn next(&mut self) -> Message {
        let frame = self.0.next().await.unwrap().unwrap();
        assert_eq!(frame.is_text(), self.1 == Form::Json);
        decode(frame).unwrap()
    }

    /// The next message, which must be business.
    async fn business(&mut self) -> String {
        let message = self.next().await;
        assert_eq!(message.cmd(), Command::UpstreamMessage);
        message.key
    }

    async fn say(&mut self, cmd: Command, key: &str, fill: impl FnOnce(&mut Message)) {
        let mut message = Message {
            cmd: cmd.into(),
            key: key.into(),
            ..Message::default()
        };
        fill(&mut message);
        self.0.send(encode(self.1, &message)).await.unwrap();
    }

    async fn close(mut self, code: CloseCode) {
        let frame = CloseFrame {
            code: code.code().into(),
            reason: code.name().into(),
        };
        self.0.close(Some(frame)).await.unwrap();
        while let Some(Ok(_)) = self.0.next().await {}
    }
}

async fn listen() -> (TcpListener, Target) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    (
        listener,
        Target {
            url,
            ..Target::default()
        },
    )
}

fn quick() -> Options {
    Options {
        backoff: Duration::from_millis(1),
        ..Options::default()
    }
}

/// The next event that is not about sending or connecting.
async fn outcome(events: &mut mpsc::Receiver<Event>) -> Event {
    loop {
        match events.recv().await.unwrap() {
            Event::Sent { .. }
            | Event::Connected { .. }
            | Event::Disconnected {
                again_in: Some(_), ..
            } => {}
            event => return event,
        }
    }
}

#[tokio::test]
async fn both_forms_send_and_hear_the_answer() {
    for form in [Form::Protobuf, Form::Json] {
        let (listener, target) = listen().await;
        let (mut session, mut events) = Session::start(Target { form, ..target }, quick());
        let key = session.send(Bytes::from_static(b"hi")).await.unwrap();
        let mut gate = Gate::accept(&listener).await;
        let message = gate.next().await;
        assert_eq!(
            (message.key.as_str(), &message.body[..]),
            (key.as_str(), &b"hi"[..])
        );
        gate.say(Command::UpstreamAck, &key, |m| m.body = "yes".into())
            .await;
        match outcome(&mut events).await {
            Event::Acked {
                key: acked, answer, ..
            } => assert_eq!((acked, answer), (key, "yes".into())),
            event => panic!("{event:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_unanswered_is_sent_again_in_order_under_its_key() {
    let (listener, target) = listen().await;
    let (mut session, mut events) = Session::start(target, quick());
    let mut keys = Vec::new();
    for body in ["a", "b", "c"] {
        keys.push(session.send(body.into()).await.unwrap());
    }
    let mut gate = Gate::accept(&listener).await;
    for key in &keys {
        assert_eq!(gate.business().await, *key);
    }
    gate.say(Command::UpstreamAck, &keys[1], |_| {}).await;
    assert!(matches!(outcome(&mut events).await, Event::Acked { key, .. } if key == keys[1]));
    gate.close(CloseCode::SHUTDOWN).await;

    let mut gate = Gate::accept(&listener).await;
    assert_eq!(gate.business().await, keys[0]);
    assert_eq!(gate.business().await, keys[2]);
}

#[tokio::test]
async fn a_close_code_that_forbids_it_ends_the_session() {
    let (listener, target) = listen().await;
    let (mut session, mut events) = Session::start(target, quick());
    Gate::accept(&listener)
        .await
        .close(CloseCode::REPLACED)
        .await;
    match outcome(&mut events).await {
        Event::Disconnected {
            why,
            again_in: None,
        } => assert_eq!(why, "closed with 4500 replaced"),
        event => panic!("{event:?}"),
    }
    assert!(events.recv().await.is_none());
    assert!(session.send(Bytes::new()).await.is_none());
}

#[tokio::test]
async fn a_retryable_refusal_is_followed_and_a_final_one_is_not() {
    let (listener, target) = listen().await;
    let (mut session, mut events) = Session::start(target, quick());
    let key = session.send(Bytes::new()).await.unwrap();
    let mut gate = Gate::accept(&listener).await;
    gate.business().await;
    let fault = |retryable| Fault {
        code: "x.y".into(),
        retryable,
        retry_after_ms: 1,
        ..Fault::default()
    };
    gate.say(Command::RateLimitExceeded, &key, |m| {
        m.fault = Some(fault(true));
    })
    .await;
    assert!(matches!(
        outcome(&mut events).await,
        Event::Refused {
            limited: true,
            again_in: Some(_),
            ..
        }
    ));
    assert_eq!(gate.business().await, key);
    gate.say(Command::UpstreamNack, &key, |m| {
        m.fault = Some(fault(false));
    })
    .await;
    assert!(matches!(
        outcome(&mut events).await,
        Event::Refused {
            limited: false,
            again_in: None,
            ..
        }
    ));
    session.close().await;
    assert!(gate.0.next().await.unwrap().unwrap().is_close());
}

#[tokio::test]
async fn pushes_are_acknowledged_each_time_and_known_again() {
    let (listener, target) = listen().await;
    let (_session, mut events) = Session::start(target, quick());
    let mut gate = Gate::accept(&listener).await;
    for expected in [false, true] {
        gate.say(Command::DownstreamMessage, "p-1", |m| {
            m.body = "news".into();
        })
        .await;
        assert!(
            matches!(outcome(&mut events).await, Event::Push { again, .. } if again == expected)
        );
        let ack = gate.next().await;
        assert_eq!(
            (ack.cmd(), ack.key.as_str()),
            (Command::DownstreamAck, "p-1")
        );
    }
}

#[tokio::test]
async fn a_redirect_is_followed_with_what_is_unanswered() {
    let (old, target) = listen().await;
    let (new, Target { url, .. }) = listen().await;
    let (mut session, mut events) = Session::start(target, quick());
    let key = session.send(Bytes::new()).await.unwrap();
    let mut gate = Gate::accept(&old).await;
    gate.business().await;
    let redirect = Redirect {
        urls: vec![url],
        reason: "drain".into(),
        ..Redirect::default()
    };
    gate.say(Command::Redirect, "", |m| {
        m.body = serde_json::to_vec(&redirect).unwrap().into();
    })
    .await;
    assert!(matches!(outcome(&mut events).await, Event::Redirected(r) if r == redirect));
    // The old gateway answers the goodbye.
    let farewell = tokio::spawn(async move { while let Some(Ok(_)) = gate.0.next().await {} });
    assert_eq!(Gate::accept(&new).await.business().await, key);
    farewell.await.unwrap();
}

#[tokio::test]
async fn a_silent_gateway_is_left() {
    let (listener, target) = listen().await;
    // Long enough for a busy machine to read the first heartbeat before the client leaves.
    let heartbeat = Duration::from_millis(250);
    let (_session, mut events) = Session::start(
        target,
        Options {
            heartbeat,
            ..quick()
        },
    );
    let mut silent = Gate::accept(&listener).await;
    assert_eq!(silent.next().await.cmd(), Command::Heartbeat);
    let _next = Gate::accept(&listener).await;
    assert!(matches!(events.recv().await, Some(Event::Connected { .. })));
    assert!(
        matches!(events.recv().await, Some(Event::Disconnected { why, .. }) if why.contains("nothing heard"))
    );
}

#[tokio::test]
async fn a_refused_handshake_says_why() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (listener, target) = listen().await;
    let (_session, mut events) = Session::start(target, quick());
    let (mut stream, _) = listener.accept().await.unwrap();
    stream
        .read_buf(&mut Vec::with_capacity(4096))
        .await
        .unwrap();
    stream
        .write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 13\r\n\r\ntoken expired")
        .await
        .unwrap();
    match outcome(&mut events).await {
        Event::Disconnected {
            why,
            again_in: None,
        } => assert_eq!(why, "refused with 401 Unauthorized: token expired"),
        event => panic!("{event:?}"),
    }
}
