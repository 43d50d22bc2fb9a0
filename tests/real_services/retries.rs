//! Many messages with random retries, failures and disconnects, through `dedup` on a real Redis that goes away in the
//! middle: what was acknowledged is at the backend, and never gets there again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use linkgate_proto::v1::OnReceiveRequest;
use linkgate_proto::v1::fault::Effect;
use tokio::time::{sleep, timeout};
use tonic::Code;

use crate::common::backend::{Backend, Reply};
use crate::common::client::{Answer, Client};
use crate::common::gateway::Gateway;
use crate::services::Redis;

const LINKS: usize = 100;
const EACH: usize = 1000;
const PATIENCE: Duration = Duration::from_secs(300);

/// What is known of a key.
#[derive(Clone, Copy, Default)]
struct Known {
    /// How often the backend has had it with OK, and otherwise.
    accepted: u32,
    refused: u32,
    /// A client has seen its ACK.
    acked: bool,
    /// A client may have missed its ACK: its link was cut, or it was told that the effect is unknown.
    lost: bool,
    /// Calls after a client had seen the ACK.
    after: u32,
}

type Book = Arc<Mutex<HashMap<String, Known>>>;

fn note(book: &Book, key: &str, change: impl FnOnce(&mut Known)) {
    change(book.lock().unwrap().entry(key.to_owned()).or_default());
}

async fn start(redis: &Redis, backend: &Backend) -> Gateway {
    Gateway::start(&format!(
        "schema: 1
admin: {{ address: \"127.0.0.1:0\" }}
listeners: [{{ name: public, address: \"127.0.0.1:0\", auth: insecure_query, admission: {{ per_ip: 10000, handshakes_per_ip: 1024 }} }}]
stores: {{ main: {{ redis: {{ url: \"redis://{redis}\", timeout: 1s }} }} }}
backends: {{ chat: {{ grpc: {{ endpoints: [\"{backend}\"] }} }} }}
pipelines:
  - biz_id: chat
    listeners: [public]
    filters:
      - {{ use: codec }}
      - {{ use: ack_retry }}
      - {{ use: dedup, config: {{ store: main, reserve_for: 5s, confirm_within: 500ms }} }}
      - use: grpc_upstream
        config:
          backend: chat
          try_timeout: 10s
          deadline: 10s
          retry: {{ max_attempts: 1 }}
          breaker: {{ failures: 1000000, min_calls: 1000000 }}
",
        redis = redis.address(),
        backend = backend.address(),
    ))
    .await
}

/// The backend accepts most, and fails in each way now and then.
fn script(book: &Book) -> impl Fn(&OnReceiveRequest) -> Reply + Send + Sync + use<> {
    let book = Arc::clone(book);
    move |message| {
        let reply = match fastrand::u8(..100) {
            0..80 => Reply::Answer("ok".into()),
            80..85 => Reply::Fail(Code::Unavailable, "away"),
            85..92 => Reply::Fail(Code::ResourceExhausted, "busy"),
            92..95 => Reply::Fail(Code::Internal, "broken"),
            _ => Reply::Late(Duration::from_millis(5)),
        };
        note(&book, &message.key, |known| {
            match reply {
                Reply::Fail(..) => known.refused += 1,
                _ => known.accepted += 1,
            }
            known.after += u32::from(known.acked);
        });
        reply
    }
}

/// One user: some messages at a time, each sent until it is acknowledged, some sent twice, links cut now and then.
async fn user(gateway: &Gateway, number: usize, book: &Book, acked: &AtomicUsize) {
    const WINDOW: usize = 8;
    let target = gateway.target(&format!("user{number}"));
    let mut client = Client::connect(&target).await;
    let mut todo: Vec<String> = (0..EACH).map(|each| format!("{number}-{each}")).collect();
    // How many answers are still to come for each key.
    let mut waiting: HashMap<String, u32> = HashMap::new();
    loop {
        while waiting.len() < WINDOW
            && let Some(key) = todo.pop()
        {
            let copies = 1 + u32::from(fastrand::u8(..10) == 0);
            for _ in 0..copies {
                client.send(&key, "hello").await;
            }
            waiting.insert(key, copies);
        }
        if waiting.is_empty() {
            return;
        }
        if fastrand::u16(..1000) == 0 {
            for (key, _) in waiting.drain() {
                note(book, &key, |known| known.lost = true);
                todo.push(key);
            }
            client = Client::connect(&target).await;
            continue;
        }
        let (key, answer) = client.answer().await;
        let left = waiting.get_mut(&key).expect("an answer to what was sent");
        *left -= 1;
        if *left == 0 {
            waiting.remove(&key);
        }
        match answer {
            Answer::Ack(_) => {
                note(book, &key, |known| {
                    acked.fetch_add(usize::from(!known.acked), Ordering::Relaxed);
                    known.acked = true;
                });
                // The client may have lost its own mind, and send it once more.
                if fastrand::u8(..20) == 0 && !waiting.contains_key(&key) {
                    todo.push(key);
                }
            }
            Answer::Nack(fault) => {
                if fault.effect() == Effect::Unknown {
                    note(book, &key, |known| known.lost = true);
                }
                assert!(fault.retryable, "{fault:?}");
                if !waiting.contains_key(&key) {
                    // As a client that minds `retry_after`, but in a hurry.
                    sleep(Duration::from_millis(fault.retry_after_ms.min(20).into())).await;
                    todo.insert(todo.len() / 2, key);
                }
            }
            Answer::Limited(fault) => panic!("{fault:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_at_the_backend_and_never_gets_there_again() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let backend = Backend::start().await;
    let (book, acked) = (Book::default(), AtomicUsize::new(0));
    backend.does(script(&book));
    let gateway = start(&redis, &backend).await;
    let users = join_all((0..LINKS).map(|number| user(&gateway, number, &book, &acked)));
    let outage = async {
        while acked.load(Ordering::Relaxed) < LINKS * EACH / 2 {
            sleep(Duration::from_millis(10)).await;
        }
        redis.stop();
        sleep(Duration::from_secs(1)).await;
        redis.resume().await;
    };
    let all = async { tokio::join!(users, outage) };
    timeout(PATIENCE, all)
        .await
        .expect("all is acknowledged in time");

    let book = book.lock().unwrap();
    assert_eq!(book.len(), LINKS * EACH);
    for (key, known) in book.iter() {
        assert!(
            known.acked && known.accepted > 0,
            "{key} was acknowledged, and never accepted"
        );
        assert_eq!(known.after, 0, "{key} reached the backend after its ACK");
        assert!(
            known.accepted == 1 || known.lost,
            "{key} was accepted {} times, and no answer was lost",
            known.accepted
        );
    }
}
