//! What a server says on the connection, frame by frame.

use std::sync::Arc;

use linkgate_filter::{Effect, Outcome};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::memory::{Backend, Memory, caller, deliver, fault};

const SETTINGS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn reset(reason: u32) -> Vec<u8> {
    frame(3, 0, 1, &reason.to_be_bytes())
}

fn goaway(last: u32, reason: u32) -> Vec<u8> {
    let payload = [last.to_be_bytes(), reason.to_be_bytes()].concat();
    frame(7, 0, 0, &payload)
}

/// A response of headers alone.
fn http(status: &str) -> Vec<u8> {
    headers(END, &[(":status", status)])
}

const OPEN: u8 = 0;
const END: u8 = 1;

/// Headers or trailers, after which the stream is open or at its end.
fn headers(end: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    frame(1, 4 | end, 1, &block)
}

/// An answer without a field.
fn empty_answer() -> Vec<u8> {
    frame(0, OPEN, 1, &[0; 5])
}

/// A server that reads the first message in full and then says this, and no more.
async fn raw(mut wire: DuplexStream, says: Vec<u8>) {
    let mut preface = [0; 24];
    wire.read_exact(&mut preface).await.unwrap();
    wire.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    loop {
        let mut header = [0; 9];
        wire.read_exact(&mut header).await.unwrap();
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut payload = vec![0; length as usize];
        wire.read_exact(&mut payload).await.unwrap();
        let (kind, flags) = (header[3], header[4]);
        if kind == 0 && flags & 1 == 1 {
            break;
        }
    }
    wire.write_all(&says).await.unwrap();
    let _ = wire.read_to_end(&mut Vec::new()).await;
}

/// The first connection ends like this; the others lead to a backend that works.
async fn after(says: Vec<u8>) -> (Outcome, usize) {
    let memory = Arc::new(Memory::default());
    let backend = Backend::echo();
    memory.serve_raw_at_first("a:1", &backend, move |wire| raw(wire, says.clone()));
    let config = json!({ "retry": { "max_attempts": 1 }, "breaker": { "failures": 1 } });
    let caller = caller(&memory, &["a:1"], config);
    (deliver(&caller, "k").await, backend.keys().len())
}

#[tokio::test(start_paused = true)]
async fn what_the_server_never_looked_at_is_sent_again_on_another_connection() {
    const REFUSED_STREAM: u32 = 7;
    const ENHANCE_YOUR_CALM: u32 = 11;
    for says in [
        reset(REFUSED_STREAM),
        goaway(0, 0),
        goaway(0, ENHANCE_YOUR_CALM),
    ] {
        let (outcome, calls) = after(says.clone()).await;
        assert_eq!(
            (outcome, calls),
            (Outcome::accepted("hello"), 1),
            "{says:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_server_may_have_looked_at_is_not() {
    let (internal, cancel, calm) = (2, 8, 11);
    // A goodbye that names the stream as looked at says nothing yet; then the stream ends.
    let late = [goaway(1, 0), reset(internal)].concat();
    // Who has begun to answer has looked at it.
    let begun = || headers(OPEN, &[(":status", "200")]);
    let refused = [begun(), reset(7)].concat();
    let left = [begun(), goaway(0, 0)].concat();
    for says in [
        reset(internal),
        reset(cancel),
        reset(calm),
        late,
        refused,
        left,
    ] {
        let (outcome, calls) = after(says.clone()).await;
        assert!(
            matches!(outcome, Outcome::Unknown(_)),
            "{says:?}: {outcome:?}"
        );
        assert_eq!(calls, 0, "{says:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_ends_the_stream_has_the_backends_status() {
    let ok = (":status", "200");
    let (well, bad, broken) = (
        ("grpc-status", "0"),
        ("grpc-status", "3"),
        ("grpc-status", "13"),
    );
    let rows = [
        (headers(END, &[ok, bad]), "grpc.invalid_argument"),
        (
            [headers(OPEN, &[ok]), headers(END, &[bad])].concat(),
            "grpc.invalid_argument",
        ),
        (
            [headers(OPEN, &[ok, bad]), reset(2)].concat(),
            "grpc.unavailable",
        ),
        (
            [
                headers(OPEN, &[ok, bad]),
                empty_answer(),
                headers(END, &[broken]),
            ]
            .concat(),
            "grpc.internal",
        ),
        (
            [
                headers(OPEN, &[ok, well]),
                empty_answer(),
                headers(END, &[broken]),
            ]
            .concat(),
            "grpc.internal",
        ),
        (
            [headers(OPEN, &[ok, well]), empty_answer(), reset(2)].concat(),
            "grpc.unavailable",
        ),
    ];
    for (says, code) in rows {
        let (outcome, _) = after(says.clone()).await;
        let known = code == "grpc.invalid_argument";
        match outcome {
            Outcome::Failed(fault) if known => assert_eq!(fault.code, code),
            Outcome::Unknown(fault) if !known => assert_eq!(fault.code, code, "{says:?}"),
            other => panic!("{says:?}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_answers_in_http_alone_is_understood() {
    for (status, code, effect) in [
        ("404", "grpc.refused_by_proxy", Effect::None),
        ("429", "grpc.refused_by_proxy", Effect::None),
        ("503", "grpc.unavailable", Effect::Unknown),
    ] {
        let (outcome, _) = after(http(status)).await;
        let (Outcome::Failed(fault) | Outcome::Unknown(fault)) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!((&*fault.code, fault.effect), (code, effect), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_for_ever_is_given_up() {
    let memory = Arc::new(Memory::default());
    memory.serve_raw("a:1", |wire| raw(wire, reset(7)));
    let caller = caller(&memory, &["a:1"], json!({ "retry": { "max_attempts": 2 } }));
    let fault = fault(&caller).await;
    assert_eq!(
        (&*fault.code, fault.effect),
        ("grpc.unreachable", Effect::None)
    );
    assert_eq!(memory.connections("a:1"), 3, "a free try and two");
}
