//! Opening a connection, and keeping it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Ping, PingPong};
use linkgate_filter::backend::KeepAlive;
use tokio::time::{sleep, timeout};

use crate::address::Address;
use crate::connector::{Connector, Io};
use crate::error::ConnectError;
use crate::gather::Behind;

/// What an answer may send before it is read.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
/// What all answers of a connection may.
const WINDOW: u32 = 5 * 1024 * 1024;
const MAX_HEADERS: u32 = 16 * 1024;

/// A connection. Clones are one connection; when the last is gone, it closes.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) requests: SendRequest<Bytes>,
    pub(crate) calls: Arc<Calls>,
}

/// The calls of a connection.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    under_way: AtomicUsize,
    /// Answers that have begun.
    answers: AtomicU64,
}

impl Calls {
    /// A call is under way, until what is given is dropped; and how many are, with this one.
    pub(crate) fn begin(self: &Arc<Self>) -> (UnderWay, usize) {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        (UnderWay(Arc::clone(self)), before + 1)
    }
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Calls>);

impl UnderWay {
    /// Its answer begins.
    pub(crate) fn heard(&self) {
        self.0.answers.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Opens a connection, in time.
pub(crate) fn open(
    address: &Address,
    connector: &Arc<dyn Connector>,
) -> impl Future<Output = Result<Connection, ConnectError>> + Send + use<> {
    let settings = Arc::clone(&address.settings);
    let connecting = connector.connect(address);
    async move {
        let opened = timeout(*settings.connect_timeout, shake(connecting)).await;
        let (requests, mut http2) = opened.map_err(|_| ConnectError::Late)??;
        let calls = Arc::new(Calls::default());
        let pings = http2.ping_pong();
        let alive = alive(pings, settings.keep_alive.clone(), Arc::clone(&calls));
        tokio::spawn(Behind::others(Box::pin(async move {
            let mut alive = pin!(alive);
            tokio::select! {
                biased;
                // Calls hear themselves why it has ended.
                _ = http2 => {}
                () = &mut alive => tracing::debug!("a connection to a backend is dead"),
            }
        })));
        Ok(Connection { requests, calls })
    }
}

type Http2 = (SendRequest<Bytes>, h2::client::Connection<Box<dyn Io>>);

async fn shake(
    connecting: impl Future<Output = Result<Box<dyn Io>, ConnectError>>,
) -> Result<Http2, ConnectError> {
    let stream = connecting.await?;
    let mut http2 = h2::client::Builder::new();
    http2
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(MAX_HEADERS)
        .enable_push(false);
    Ok(http2.handshake(stream).await?)
}

/// Ends when the far end does not answer any more.
async fn alive(pings: Option<PingPong>, keep_alive: KeepAlive, calls: Arc<Calls>) {
    let Some(mut pings) = pings else {
        return std::future::pending().await;
    };
    let mut heard = 0;
    loop {
        sleep(*keep_alive.interval).await;
        let is_idle = calls.under_way.load(Ordering::Relaxed) == 0;
        let answers = calls.answers.load(Ordering::Relaxed);
        if std::mem::replace(&mut heard, answers) != answers || is_idle && !keep_alive.while_idle {
            continue;
        }
        match timeout(*keep_alive.timeout, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // The connection says why itself.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => return,
        }
    }
}
