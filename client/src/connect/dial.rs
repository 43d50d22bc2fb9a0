//! The TCP connection under the handshake.

use std::io;
use std::net::{IpAddr, SocketAddr};

use http::Uri;
use tokio::net::{TcpSocket, TcpStream};

use super::refused::ConnectError;

/// Connects to the host of `uri`, from the address `source` if it is given.
pub async fn dial(uri: &Uri, source: Option<IpAddr>) -> Result<TcpStream, ConnectError> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri
        .port_u16()
        .unwrap_or(if uri.scheme_str() == Some("wss") {
            443
        } else {
            80
        });
    let stream = match source {
        None => TcpStream::connect((host, port)).await,
        Some(source) => dial_from(source, host, port).await,
    };
    let stream = stream.map_err(|source| ConnectError::Unreachable {
        address: format!("{host}:{port}"),
        source,
    })?;
    stream.set_nodelay(true).ok();
    Ok(stream)
}

async fn dial_from(source: IpAddr, host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failed = io::Error::other(format!(
        "{host} has no address of the same family as the source address {source}"
    ));
    let family = |address: &SocketAddr| address.is_ipv4() == source.is_ipv4();
    for address in tokio::net::lookup_host((host, port)).await?.filter(family) {
        match bound(source)?.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// A socket of which the address is given and the port is the system's choice. Each address has its own ports, so more
/// addresses give more connections.
fn bound(source: IpAddr) -> io::Result<TcpSocket> {
    let socket = if source.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    let failed =
        |error| io::Error::other(format!("cannot use the source address {source}: {error}"));
    socket.bind((source, 0).into()).map_err(failed)?;
    Ok(socket)
}
