//! Serves the chat page: one file, nothing from elsewhere.

use std::io;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use tokio::net::TcpListener;

use super::places::Places;

const PAGE: &str = include_str!("page.html");

/// Serves it for ever.
pub(super) async fn serve(listener: TcpListener, places: &Places) -> io::Result<()> {
    let gateway = format!("ws://{}/ws", places.gateway);
    let policy = format!(
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src ws://{}",
        places.gateway
    );
    let page = PAGE.replace("{{GATEWAY}}", &gateway);
    let answer = async move || {
        (
            [
                (CONTENT_SECURITY_POLICY, policy),
                (CACHE_CONTROL, "no-store".to_owned()),
            ],
            Html(page),
        )
    };
    axum::serve(listener, Router::new().route("/", get(answer))).await
}
