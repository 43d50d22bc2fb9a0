//! One connection of a client, from the gateway's end.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use linkgate_filter::{CloseCode, Form};
use linkgate_proto::v1::{Command, Fault, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::frames::{self, Frame};
use super::log::{Heard, Log, ms};
use super::{Checked, Failure};

/// How long a client may leave what is sent to it unread.
const WRITE: Duration = Duration::from_secs(2);
/// The largest message, in all its pieces, that is taken of a client.
const LARGEST: usize = 4 << 20;

/// An open connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    number: u32,
    form: Form,
    log: Log,
    buffer: BytesMut,
    /// The pieces of a message so far.
    pieces: Option<BytesMut>,
    /// Messages of the application are accepted at once. Its reports always are.
    pub(super) answers: bool,
    /// Heartbeats are echoed.
    pub(super) echoes: bool,
}

/// What a read has brought.
#[derive(Debug)]
pub(super) enum Step {
    /// Something; the log has it.
    Went,
    /// The client's close frame, with its code; 1005 where it has none.
    Closed(u16),
    /// The end of the stream without one.
    Gone,
}

impl Link {
    pub(super) fn new(stream: TcpStream, number: u32, form: Form, log: Log) -> Self {
        Self {
            stream,
            number,
            form,
            log,
            buffer: BytesMut::with_capacity(4096),
            pieces: None,
            answers: true,
            echoes: true,
        }
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// Reads one frame and does what a gateway does about it. Safe to cancel between frames.
    pub(super) async fn step(&mut self) -> Checked<Step> {
        loop {
            let bad = |seen| Failure::new("frames as RFC 6455 has them", seen);
            if let Some(frame) = frames::parse(&mut self.buffer).map_err(bad)? {
                return self.took(frame).await;
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => {
                    self.log.note(self.number, "<- the end of the connection");
                    return Ok(Step::Gone);
                }
                Ok(_) => {}
            }
        }
    }

    async fn took(&mut self, frame: Frame) -> Checked<Step> {
        match frame.opcode {
            frames::CLOSE => {
                let code = match frame.payload[..] {
                    [high, low, ..] => u16::from_be_bytes([high, low]),
                    _ => 1005,
                };
                self.log.note(self.number, format!("<- close {code}"));
                Ok(Step::Closed(code))
            }
            frames::PING => {
                self.log.note(self.number, "<- ping");
                let pong = frames::build(true, frames::PONG, &frame.payload);
                self.write(&pong).await?;
                Ok(Step::Went)
            }
            frames::PONG => {
                self.log.pong(self.number, frame.payload);
                Ok(Step::Went)
            }
            frames::CONTINUATION | frames::TEXT | frames::BINARY => self.data(frame).await,
            opcode => Err(Failure::new(
                "frames as RFC 6455 has them",
                format!("a frame with the opcode {opcode}"),
            )),
        }
    }

    async fn data(&mut self, frame: Frame) -> Checked<Step> {
        let first = frame.opcode != frames::CONTINUATION;
        if first && frame.opcode != frames::opcode(self.form) {
            let form = match self.form {
                Form::Protobuf => "binary frames, as the form is protobuf",
                Form::Json => "text frames, as the form is JSON",
            };
            return Err(Failure::new(form, "a data frame of the other kind"));
        }
        if first == self.pieces.is_some() {
            return Err(Failure::new(
                "frames as RFC 6455 has them",
                "a message that begins within another, or goes on without having begun",
            ));
        }
        let mut whole = self.pieces.take().unwrap_or_default();
        whole.extend_from_slice(&frame.payload);
        if whole.len() > LARGEST {
            return Err(Failure::new("messages of at most 4 MiB", "a larger one"));
        }
        if !frame.last {
            self.pieces = Some(whole);
            return Ok(Step::Went);
        }
        let message = frames::decode(self.form, whole.freeze())
            .map_err(|why| Failure::new("frames that hold a message each", why))?;
        self.log.said(self.number, message.clone());
        self.heard(message).await?;
        Ok(Step::Went)
    }

    /// What a gateway does about a message by itself.
    async fn heard(&mut self, message: Message) -> Checked {
        match message.cmd() {
            Command::Heartbeat if self.echoes => self.say(&message).await,
            Command::Heartbeat => Ok(()),
            Command::UpstreamMessage | Command::DownstreamAck if message.key.is_empty() => {
                Err(Failure::new(
                    "a key in every message but heartbeats",
                    "a message without one",
                ))
            }
            Command::UpstreamMessage => {
                let report = [&b"accepted "[..], b"refused "]
                    .iter()
                    .any(|word| message.body.starts_with(word));
                if report || self.answers {
                    self.accept(&message.key, "").await?;
                }
                Ok(())
            }
            Command::DownstreamAck => Ok(()),
            cmd => Err(Failure::new(
                "commands that are a client's to send",
                format!("{} from the client", cmd.as_str_name()),
            )),
        }
    }

    /// Reads until what the log has heard is enough.
    pub(super) async fn until(
        &mut self,
        expected: &str,
        within: Duration,
        enough: impl Fn(&Heard) -> bool,
    ) -> Checked {
        let deadline = Instant::now() + within;
        while !self.log.ask(&enough) {
            let failed =
                |seen: String| Failure::new(format!("{expected}, within {}", ms(within)), seen);
            match timeout_at(deadline, self.step()).await {
                Err(_) => return Err(failed("nothing of the kind".into())),
                Ok(step) => match step? {
                    Step::Went => {}
                    Step::Closed(code) => {
                        return Err(failed(format!("the client closed with {code} instead")));
                    }
                    Step::Gone => return Err(failed("the client hung up instead".into())),
                },
            }
        }
        Ok(())
    }

    /// Reads what comes in that time. The client must stay.
    pub(super) async fn during(&mut self, time: Duration) -> Checked {
        let deadline = Instant::now() + time;
        let failed = |seen: String| Failure::new("a client that stays connected", seen);
        loop {
            match timeout_at(deadline, self.step()).await {
                Err(_) => return Ok(()),
                Ok(step) => match step? {
                    Step::Went => {}
                    Step::Closed(code) => return Err(failed(format!("it closed with {code}"))),
                    Step::Gone => return Err(failed("it hung up".into())),
                },
            }
        }
    }

    /// Reads until the client closes or hangs up: its close code, if it sent one.
    pub(super) async fn left(&mut self, expected: &str, within: Duration) -> Checked<Option<u16>> {
        let deadline = Instant::now() + within;
        loop {
            match timeout_at(deadline, self.step()).await {
                Err(_) => {
                    return Err(Failure::new(
                        format!("{expected}, within {}", ms(within)),
                        "the connection stays open",
                    ));
                }
                Ok(step) => match step? {
                    Step::Went => {}
                    Step::Closed(code) => {
                        let answer = frames::build(true, frames::CLOSE, &code_bytes(code));
                        self.write(&answer).await.ok();
                        return Ok(Some(code));
                    }
                    Step::Gone => return Ok(None),
                },
            }
        }
    }

    /// Sends a message as it should be.
    pub(super) async fn say(&mut self, message: &Message) -> Checked {
        self.log.sent(self.number, message);
        let frame = self.framed(message);
        self.write(&frame).await
    }

    /// The frame of a message.
    pub(super) fn framed(&self, message: &Message) -> Vec<u8> {
        let payload = frames::encode(self.form, message);
        frames::build(true, frames::opcode(self.form), &payload)
    }

    pub(super) async fn push(&mut self, key: &str, body: &str) -> Checked {
        self.say(&push(key, body)).await
    }

    pub(super) async fn accept(&mut self, key: &str, answer: &str) -> Checked {
        let body = Bytes::copy_from_slice(answer.as_bytes());
        self.say(&Message {
            body,
            ..message(Command::UpstreamAck, key)
        })
        .await
    }

    pub(super) async fn refuse(&mut self, cmd: Command, key: &str, fault: Fault) -> Checked {
        let fault = Some(fault);
        self.say(&Message {
            fault,
            ..message(cmd, key)
        })
        .await
    }

    pub(super) async fn ping(&mut self, payload: &[u8]) -> Checked {
        self.raw("ping", &frames::build(true, frames::PING, payload))
            .await
    }

    /// Sends bytes of any kind; `what` is for the timeline.
    pub(super) async fn raw(&mut self, what: &str, bytes: &[u8]) -> Checked {
        self.log.note(self.number, format!("-> {what}"));
        self.write(bytes).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Checked {
        match timeout(WRITE, self.stream.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Failure::new(
                "a client that stays connected",
                "it hung up while something was sent to it",
            )),
            Err(_) => Err(Failure::new(
                "a client that reads what is sent to it",
                format!("it has read nothing for {}", ms(WRITE)),
            )),
        }
    }

    /// Closes with a code, and sees whether the client answers the close frame. What else still comes is heard.
    pub(super) async fn close(mut self, code: CloseCode) -> Checked<bool> {
        let mut payload = code_bytes(code.code());
        payload.extend(code.name().as_bytes());
        let frame = frames::build(true, frames::CLOSE, &payload);
        self.answers = false;
        // A client that is gone already has not answered.
        if self.raw(&format!("close {code}"), &frame).await.is_err() {
            return Ok(false);
        }
        let answered = async {
            loop {
                match self.step().await {
                    Ok(Step::Closed(_)) => return true,
                    Ok(Step::Went) => {}
                    Ok(Step::Gone) | Err(_) => return false,
                }
            }
        };
        Ok(timeout(Duration::from_secs(1), answered)
            .await
            .unwrap_or(false))
    }

    /// Answers the client's close frame.
    pub(super) async fn farewell(&mut self) {
        let answer = frames::build(true, frames::CLOSE, &code_bytes(1000));
        self.write(&answer).await.ok();
        self.stream.shutdown().await.ok();
    }

    /// Ends the connection without a word.
    pub(super) fn cut(self) {
        self.log.note(self.number, "-> cut");
    }
}

fn code_bytes(code: u16) -> Vec<u8> {
    if code == 1005 {
        Vec::new()
    } else {
        code.to_be_bytes().to_vec()
    }
}

pub(super) fn message(cmd: Command, key: &str) -> Message {
    Message {
        cmd: cmd.into(),
        key: key.to_owned(),
        ..Message::default()
    }
}

pub(super) fn push(key: &str, body: &str) -> Message {
    Message {
        body: Bytes::copy_from_slice(body.as_bytes()),
        ..message(Command::DownstreamMessage, key)
    }
}
