//! Serves the chat page: one file, nothing from elsewhere.

use std::io;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use tokio::net::TcpListener;

use super::nodes::Member;

const PAGE: &str = include_str!("page.html");

/// Serves it for ever. Its users find these nodes.
pub(super) async fn serve(listener: TcpListener, nodes: &[Member]) -> io::Result<()> {
    let sources: Vec<_> = nodes
        .iter()
        .map(|node| format!("ws://{}", node.gateway))
        .collect();
    let policy = format!(
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src {}",
        sources.join(" ")
    );
    let gateways = nodes.iter();
    let gateways = gateways.map(|node| {
        (
            node.id.as_deref().unwrap_or(""),
            format!("ws://{}/ws", node.gateway),
        )
    });
    let gateways: Vec<_> = gateways.collect();
    let gateways = serde_json::to_string(&gateways).unwrap_or_default();
    let page = PAGE.replace("{{GATEWAYS}}", &gateways);
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
