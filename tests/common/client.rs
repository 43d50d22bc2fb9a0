//! A client that speaks the protocol.

use bytes::Bytes;
use linkgate_client::{ConnectError, Ended, Limits, Socket, Target};
use linkgate_proto::v1::{Command, Fault, Message};

use super::wait::within;

/// An open link, seen from its client.
pub(crate) struct Client {
    pub(crate) socket: Socket,
    user: String,
}

/// What a client hears of a message it sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// UPSTREAM_ACK with the backend's answer.
    Ack(Bytes),
    /// UPSTREAM_NACK.
    Nack(Fault),
    /// RATE_LIMIT_EXCEEDED.
    Limited(Fault),
}

impl From<Message> for Answer {
    fn from(message: Message) -> Self {
        match message.cmd() {
            Command::UpstreamAck => Self::Ack(message.body),
            Command::UpstreamNack => Self::Nack(message.fault.expect("a NACK says why")),
            Command::RateLimitExceeded => Self::Limited(message.fault.expect("it says why")),
            _ => panic!("{message:?} is no answer"),
        }
    }
}

impl Answer {
    /// The fault of a NACK.
    pub(crate) fn nack(self) -> Fault {
        match self {
            Self::Nack(fault) => fault,
            other => panic!("{other:?} instead of a NACK"),
        }
    }
}

impl Client {
    /// Opens a link.
    pub(crate) async fn connect(target: &Target) -> Self {
        let socket = Self::try_connect(target).await;
        let user = target.user_id.clone().unwrap_or_default();
        let socket = socket.unwrap_or_else(|error| panic!("{user} cannot connect: {error}"));
        Self { socket, user }
    }

    /// Opens a link, if the gateway lets it.
    pub(crate) async fn try_connect(target: &Target) -> Result<Socket, ConnectError> {
        let limits = Limits {
            handshake: super::wait::PATIENCE,
            ..Limits::default()
        };
        within("the handshake", Socket::connect(target, limits)).await
    }

    /// Sends a message with nothing but a command, a key and a body.
    pub(crate) async fn say(&mut self, cmd: Command, key: &str, body: impl Into<Bytes>) {
        let message = Message {
            cmd: cmd.into(),
            key: key.into(),
            body: body.into(),
            fault: None,
        };
        let sent = within("room in the socket", self.socket.send(&message)).await;
        sent.unwrap_or_else(|ended| panic!("{} cannot send {key}: {ended}", self.user));
    }

    /// Sends an UPSTREAM_MESSAGE.
    pub(crate) async fn send(&mut self, key: &str, body: impl Into<Bytes>) {
        self.say(Command::UpstreamMessage, key, body).await;
    }

    /// Acknowledges a push.
    pub(crate) async fn ack(&mut self, key: &str) {
        self.say(Command::DownstreamAck, key, "").await;
    }

    /// The next message from the gateway.
    pub(crate) async fn next(&mut self) -> Message {
        let what = format!("a message for {}", self.user);
        let next = within(&what, self.socket.next()).await;
        let next = next.unwrap_or_else(|ended| panic!("no message for {}: {ended}", self.user));
        next.unwrap_or_else(|frame| panic!("{}: {frame}", self.user))
    }

    /// The next message, which has to answer one that was sent: its key, and the answer.
    pub(crate) async fn answer(&mut self) -> (String, Answer) {
        let message = self.next().await;
        (message.key.clone(), message.into())
    }

    /// Sends an UPSTREAM_MESSAGE and waits for its answer, the next message to come.
    pub(crate) async fn ask(&mut self, key: &str, body: impl Into<Bytes>) -> Answer {
        self.send(key, body).await;
        let (answered, answer) = self.answer().await;
        assert_eq!(answered, key, "{answer:?}");
        answer
    }

    /// Sends an UPSTREAM_MESSAGE without a body and waits for its answer, or for the end of the link.
    pub(crate) async fn try_ask(&mut self, key: &str) -> Result<Answer, Ended> {
        let message = Message {
            cmd: Command::UpstreamMessage.into(),
            key: key.into(),
            ..Message::default()
        };
        // What cannot be sent any more may still have been told why.
        within("room in the socket", self.socket.send(&message))
            .await
            .ok();
        let what = format!("an answer for {}", self.user);
        let next = within(&what, self.socket.next()).await?;
        Ok(next.expect("a message").into())
    }

    /// The next message, which has to be a push: its key and its body.
    pub(crate) async fn push(&mut self) -> (String, Bytes) {
        let message = self.next().await;
        assert_eq!(message.cmd(), Command::DownstreamMessage, "{message:?}");
        (message.key, message.body)
    }

    /// Sends a heartbeat; the next message has to be its echo.
    pub(crate) async fn heartbeat(&mut self, key: &str) {
        self.say(Command::Heartbeat, key, "").await;
        let echo = self.next().await;
        assert_eq!((echo.cmd(), echo.key.as_str()), (Command::Heartbeat, key));
    }

    /// How the gateway ends the link; what comes before that is passed over.
    pub(crate) async fn ended(&mut self) -> Ended {
        let what = format!("the end of {}'s link", self.user);
        let ended = async {
            loop {
                if let Err(ended) = self.socket.next_frame().await {
                    break ended;
                }
            }
        };
        within(&what, ended).await
    }

    /// Says goodbye.
    pub(crate) async fn close(self) {
        self.socket.close().await;
    }
}
