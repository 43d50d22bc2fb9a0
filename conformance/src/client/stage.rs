//! Where a check is played: the connections that its client makes, one by one.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use linkgate_filter::Form;
use linkgate_proto::{SUBPROTOCOL_JSON, SUBPROTOCOL_PROTO};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::frames;
use super::link::{Link, Step};
use super::log::{Log, ms};
use super::{Checked, Failure};

/// How long a client may take to come back, once it may.
pub(super) const COMES: Duration = Duration::from_secs(3);

/// A client that asks for a connection.
#[derive(Debug)]
pub(super) struct Knock {
    pub(super) stream: TcpStream,
    pub(super) request: Request<()>,
    pub(super) at: Instant,
}

impl Knock {
    fn offered(&self) -> impl Iterator<Item = &str> {
        self.request
            .headers()
            .get_all("sec-websocket-protocol")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
    }

    /// A parameter of the query.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        parameter(&self.request, name)
    }

    pub(super) fn token(&self) -> Option<String> {
        let bearer = self.request.headers().get("authorization");
        let bearer = bearer.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let offered = || {
            self.offered()
                .find_map(|one| one.strip_prefix("linkgate.token."))
        };
        bearer
            .or_else(offered)
            .map(str::to_owned)
            .or_else(|| self.parameter("token"))
    }

    /// The form that it asks for first, if it asks for any.
    fn form(&self) -> Option<Form> {
        self.offered().find_map(|offer| match offer {
            SUBPROTOCOL_PROTO => Some(Form::Protobuf),
            SUBPROTOCOL_JSON => Some(Form::Json),
            _ => None,
        })
    }
}

/// A parameter of a request's query.
pub(super) fn parameter(request: &Request<()>, name: &str) -> Option<String> {
    form_urlencoded::parse(request.uri().query()?.as_bytes())
        .find_map(|(key, value)| (key == name).then(|| value.into_owned()))
}

/// A check in progress.
#[derive(Debug)]
pub(super) struct Stage {
    knocks: mpsc::Receiver<Knock>,
    /// The form that is judged; where it is left open, the client's first choice.
    form: Arc<Mutex<Option<Form>>>,
    pub(super) log: Log,
    /// Where the client connects, without the node.
    pub(super) url: String,
    /// How long the first connection may take: drivers have to start.
    pub(super) first: Duration,
    count: u32,
}

impl Stage {
    pub(super) fn new(
        knocks: mpsc::Receiver<Knock>,
        form: Arc<Mutex<Option<Form>>>,
        log: Log,
        url: String,
        first: Duration,
    ) -> Self {
        Self {
            knocks,
            form,
            log,
            url,
            first,
            count: 0,
        }
    }

    /// Another address of this gateway, as a redirect names it.
    pub(super) fn other(&self) -> String {
        format!("{}&node=2", self.url)
    }

    /// The client's next attempt to connect. The first may take longer.
    pub(super) async fn knock(&mut self, within: Duration) -> Checked<Knock> {
        let expected = if self.count == 0 {
            "the driver's first connection"
        } else {
            "a new connection"
        };
        let within = if self.count == 0 { self.first } else { within };
        let failed = || {
            Failure::new(
                format!("{expected}, within {}", ms(within)),
                "no attempt to connect",
            )
        };
        let deadline = Instant::now() + within;
        let knock = timeout_at(deadline, self.knocks.recv()).await;
        let knock = knock.map_err(|_| failed())?.ok_or_else(failed)?;
        self.came(&knock);
        Ok(knock)
    }

    /// The same, while an older connection is read. What ends the older one is the client's choice.
    pub(super) async fn knock_beside(
        &mut self,
        link: &mut Link,
        within: Duration,
    ) -> Checked<Knock> {
        let deadline = Instant::now() + within;
        let mut open = true;
        loop {
            tokio::select! {
                knock = self.knocks.recv() => {
                    let knock = knock.ok_or_else(|| Failure::new("a new connection", "none"))?;
                    self.came(&knock);
                    return Ok(knock);
                }
                step = link.step(), if open => match step? {
                    Step::Went => {}
                    Step::Closed(_) => link.farewell().await,
                    Step::Gone => open = false,
                },
                () = tokio::time::sleep_until(deadline) => return Err(Failure::new(
                    format!("a new connection, within {}", ms(within)),
                    "no attempt to connect",
                )),
            }
        }
    }

    fn came(&mut self, knock: &Knock) {
        self.count += 1;
        let node = knock
            .parameter("node")
            .map(|node| format!(" to node {node}"));
        let token = knock
            .token()
            .map(|token| match token.strip_prefix("token-") {
                Some(number) if number.parse::<u64>().is_ok() => format!(" with the token {token}"),
                // It may be a real one.
                _ => " with a token that is not the kit's".to_owned(),
            });
        let (node, token) = (node.unwrap_or_default(), token.unwrap_or_default());
        self.log
            .note(self.count, format!("<- connects{node}{token}"));
    }

    /// Sees that the client makes no attempt in that time.
    pub(super) async fn nobody(&mut self, time: Duration, expected: &str) -> Checked {
        match timeout_at(Instant::now() + time, self.knocks.recv()).await {
            Ok(Some(knock)) => {
                self.came(&knock);
                Err(Failure::new(expected, "it connects again"))
            }
            _ => Ok(()),
        }
    }

    /// The next connection, open.
    pub(super) async fn link(&mut self) -> Checked<Link> {
        let knock = self.knock(COMES).await?;
        self.open(knock).await
    }

    /// Answers with the handshake.
    pub(super) async fn open(&mut self, knock: Knock) -> Checked<Link> {
        self.open_with(knock, None).await
    }

    /// The same, with a frame right behind the answer, in one piece.
    pub(super) async fn open_with(
        &mut self,
        mut knock: Knock,
        push: Option<&linkgate_proto::v1::Message>,
    ) -> Checked<Link> {
        let form = {
            let mut form = self.form.lock();
            *form.get_or_insert_with(|| knock.form().unwrap_or_default())
        };
        let name = linkgate_client::subprotocol(form);
        let offered = knock.offered().any(|offer| offer == name);
        if !offered && (form == Form::Json || knock.form().is_some()) {
            return Err(Failure::new(
                format!("a handshake that offers the subprotocol {name}"),
                format!("it offers {:?}", knock.offered().collect::<Vec<_>>()),
            ));
        }
        let headers = knock.request.headers();
        let Some(key) = headers.get("sec-websocket-key") else {
            return Err(Failure::new(
                "a WebSocket handshake",
                "a request without Sec-WebSocket-Key",
            ));
        };
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {}\r\n",
            derive_accept_key(key.as_bytes())
        );
        if offered {
            answer.push_str(&format!("Sec-WebSocket-Protocol: {name}\r\n"));
        }
        answer.push_str("\r\n");
        let mut answer = answer.into_bytes();
        if let Some(message) = push {
            let payload = frames::encode(form, message);
            answer.extend(frames::build(true, frames::opcode(form), &payload));
        }
        self.log.note(self.count, format!("-> open, {name}"));
        if let Some(message) = push {
            self.log.sent(self.count, message);
        }
        let written = knock.stream.write_all(&answer).await;
        written.map_err(|_| Failure::new("a client that waits for the answer", "it hung up"))?;
        Ok(Link::new(knock.stream, self.count, form, self.log.clone()))
    }

    /// Answers with an HTTP status in place of the handshake. `headers` are whole lines.
    pub(super) async fn refuse(
        &mut self,
        mut knock: Knock,
        status: &str,
        headers: &str,
    ) -> Instant {
        let answer =
            format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n{headers}\r\n");
        self.log
            .note(self.count, format!("-> {status} {}", headers.trim()));
        knock.stream.write_all(answer.as_bytes()).await.ok();
        knock.stream.shutdown().await.ok();
        Instant::now()
    }
}
