//! Calls to the admin address of a running node.

mod tls;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use std::convert::Infallible;
use std::time::Duration;

use self::tls::Certificates;
use linkgate_filter::secret::Secret;

const PATIENCE: Duration = Duration::from_secs(60);

/// How a node is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Asking {
    /// The token of an operator, for a node that asks for one (`admin.auth`)
    #[arg(
        long,
        value_name = "TOKEN",
        env = "LINKGATE_ADMIN_TOKEN",
        hide_env_values = true,
        value_parser = |text: &str| Ok::<_, Infallible>(Secret::new(text))
    )]
    token: Option<Secret>,
    #[command(flatten)]
    certificates: Certificates,
}

/// Where a node is asked.
struct Place<'a> {
    /// `host:port`, as `Host` says it.
    authority: &'a str,
    is_secure: bool,
}

impl<'a> Place<'a> {
    fn read(url: &'a str) -> Result<Self, String> {
        let is_secure = url.starts_with("https://");
        let rest = url.strip_prefix("http://").or(url.strip_prefix("https://"));
        let authority = rest.unwrap_or(url).trim_end_matches('/');
        if authority.contains("://") || authority.contains('/') {
            return Err(format!(
                "`{url}` is no admin address: write `http://127.0.0.1:9901`, or `https://` where `admin.tls` is set"
            ));
        }
        Ok(Self {
            authority,
            is_secure,
        })
    }

    fn host(&self) -> &'a str {
        let host = self
            .authority
            .rsplit_once(':')
            .map_or(self.authority, |(host, _)| host);
        host.trim_matches(['[', ']'])
    }
}

/// Opens the connection; the error is a sentence.
async fn open(
    place: &Place<'_>,
    certificates: &Certificates,
) -> Result<Either<TcpStream, Box<TlsStream<TcpStream>>>, String> {
    let stream = TcpStream::connect(place.authority).await;
    let stream = stream.map_err(|error| error.to_string())?;
    if !place.is_secure {
        return Ok(Either::Left(stream));
    }
    let connector = certificates.connector()?;
    let name = ServerName::try_from(place.host().to_owned()).map_err(|error| error.to_string())?;
    let stream = connector.connect(name, stream).await;
    Ok(Either::Right(Box::new(
        stream.map_err(|error| error.to_string())?,
    )))
}

/// Calls `path` of the node at `url` (`http://host:port` or `https://host:port`). Gives the status and what was answered; the error is a sentence.
pub(super) async fn call(
    (url, asking): (&str, &Asking),
    (method, path): (Method, &str),
    body: Vec<u8>,
) -> Result<(u16, Bytes), String> {
    let place = Place::read(url)?;
    let address = place.authority;
    let failed = |why: &dyn std::fmt::Display| format!("cannot ask the node at {address}: {why}");
    let called = async {
        let stream = open(&place, &asking.certificates)
            .await
            .map_err(|e| failed(&e))?;
        let (mut send, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| failed(&e))?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", address)
            .header("content-type", "application/json");
        if let Some(token) = &asking.token {
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| failed(&e))?;
        let answer = send.send_request(request).await.map_err(|e| failed(&e))?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(|e| failed(&e))?;
        let body = body.to_bytes();
        match status {
            401 => Err(failed(
                &"give it a token that it knows, by --token or LINKGATE_ADMIN_TOKEN",
            )),
            403 | 421 => Err(failed(&String::from_utf8_lossy(&body).trim_end())),
            _ => Ok((status, body)),
        }
    };
    let called = timeout(PATIENCE, called).await;
    called.unwrap_or_else(|_| Err(failed(&"it does not answer")))
}
