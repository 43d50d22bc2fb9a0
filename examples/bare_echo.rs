//! The baseline of docs/performance.md: an echo server of tokio-tungstenite and nothing else.
//!
//! `cargo run --release --example bare_echo -- [ADDRESS] [--per-message]`: answers all that has been read before it
//! writes once, or with `--per-message` writes each answer by itself. `scripts/bench.sh` compares it with linkgate.

use std::error::Error;

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (flags, addresses): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|arg| arg.starts_with("--"));
    let per_message = flags.iter().any(|flag| flag == "--per-message");
    let address = addresses.first().map_or("127.0.0.1:9001", String::as_str);
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            stream.set_nodelay(true).ok();
            // As small as linkgate's own: a larger one would be filled with zeros at each read.
            let config = WebSocketConfig::default().read_buffer_size(4096);
            if let Ok(ws) = tokio_tungstenite::accept_async_with_config(stream, Some(config)).await
            {
                if per_message {
                    one_by_one(ws).await;
                } else {
                    in_batches(ws).await;
                }
            }
        });
    }
}

async fn in_batches(mut ws: WebSocketStream<TcpStream>) {
    while let Some(Ok(message)) = ws.next().await {
        let mut message = Some(message);
        while let Some(echo) = message
            .take()
            .filter(|message| message.is_binary() || message.is_text())
        {
            if ws.feed(echo).await.is_err() {
                return;
            }
            message = ws.next().now_or_never().flatten().and_then(Result::ok);
        }
        if ws.flush().await.is_err() {
            return;
        }
    }
}

async fn one_by_one(mut ws: WebSocketStream<TcpStream>) {
    while let Some(Ok(message)) = ws.next().await {
        if (message.is_binary() || message.is_text()) && ws.send(message).await.is_err() {
            return;
        }
    }
}
