//! One connection: TLS, HTTP/2, its calls, and its end.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use h2::{Ping, PingPong};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::call::Desk;
use crate::network;
use crate::reception::credentials::Shown;
use crate::reception::{Acceptor, Leaves, Reason, Seat, passed};

/// What the connections of a source have in common.
#[derive(Clone)]
pub(super) struct Around {
    pub(super) tls: Acceptor,
    pub(super) desk: Desk,
    pub(super) max_calls: u32,
    pub(super) keep_alive: Duration,
}

/// What a stream may send before its messages are taken.
const STREAM_WINDOW: u32 = 256 * 1024;
/// What all streams of a connection may.
const WINDOW: u32 = 1024 * 1024;
const MAX_HEADERS: u32 = 16 * 1024;
/// How long a connection may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection that is told to go may take for calls that are on their way.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a connection until it ends, or until `stop` and the calls that are open then are answered.
pub(super) async fn serve(
    connection: network::Connection,
    seat: Seat,
    around: Around,
    stop: CancellationToken,
) {
    let opened = tokio::select! {
        opened = around.tls.open(connection) => opened,
        _ = seat.leaves() => return,
        () = stop.cancelled() => return,
    };
    match opened {
        Ok((stream, shown)) => speak(stream, shown, &seat, around, stop).await,
        Err(error) => {
            tracing::debug!(peer = %seat.guest().peer(), %error, "a caller's TLS handshake failed");
        }
    }
}

async fn speak(
    stream: network::Stream,
    shown: Option<Shown>,
    seat: &Seat,
    around: Around,
    stop: CancellationToken,
) {
    let mut leaves = pin!(seat.leaves());
    let mut http2 = h2::server::Builder::new();
    http2
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_concurrent_streams(around.max_calls)
        .max_header_list_size(MAX_HEADERS)
        // Small frames do not stay: a call takes them out as they come, and the windows bound what they carry.
        .data_frame_budget(usize::MAX);
    let begun = tokio::select! {
        begun = http2.handshake::<_, Bytes>(stream) => begun,
        _ = &mut leaves => return,
        () = stop.cancelled() => return,
    };
    let mut connection = match begun {
        Ok(connection) => connection,
        Err(error) => return ended(&error, seat),
    };
    let mut alive = pin!(alive(connection.ping_pong(), around.keep_alive));
    let mut is_stopping = false;
    let mut farewell = None;
    loop {
        tokio::select! {
            call = connection.accept() => match call {
                Some(Ok((mut request, respond))) => {
                    if let Some(shown) = &shown {
                        request.extensions_mut().insert(shown.clone());
                    }
                    let guest = seat.guest().clone();
                    tokio::spawn(around.desk.clone().answer(request, respond, guest));
                }
                Some(Err(error)) => return ended(&error, seat),
                None => return,
            },
            () = stop.cancelled(), if !is_stopping => {
                is_stopping = true;
                connection.graceful_shutdown();
            }
            why = &mut leaves, if farewell.is_none() => match why {
                Leaves::MakesRoom => return,
                Leaves::Silent => {
                    connection.graceful_shutdown();
                    farewell = Some(Instant::now() + FAREWELL);
                }
            },
            () = passed(farewell) => return,
            () = &mut alive => {
                tracing::debug!(peer = %seat.guest().peer(), "a caller's connection is dead");
                return;
            }
        }
    }
}

/// Resolves when the far end does not answer any more.
async fn alive(pings: Option<PingPong>, every: Duration) {
    let Some(mut pings) = pings else {
        return std::future::pending().await;
    };
    loop {
        sleep(every).await;
        match timeout(PING_TIMEOUT, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // The connection says why itself.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => return,
        }
    }
}

/// The connection has ended, and with it the calls that were open.
fn ended(error: &h2::Error, seat: &Seat) {
    if error.is_go_away() {
        seat.guest().refused(Reason::Protocol, error);
    } else {
        tracing::debug!(peer = %seat.guest().peer(), %error, "a caller's connection broke");
    }
}
