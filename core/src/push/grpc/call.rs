//! One call: its body in, its answer out.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt;
use linkgate_grpc::write;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt;

use super::intake;
use crate::reception::Guest;

/// What calls are answered by, and what they may bring.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) routes: Routes,
    pub(super) largest: usize,
    pub(super) patience: Duration,
}

impl Desk {
    /// Answers a call. It ends at once when the caller gives it up.
    pub(super) async fn answer(
        self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        guest: Guest,
    ) {
        let _busy = guest.asks();
        if guest.asks_too_much() {
            // As it has not been looked at, the caller may send it again.
            return respond.send_reset(Reason::REFUSED_STREAM);
        }
        let (parts, stream) = request.into_parts();
        let (intake, messages) = intake::open(stream, &guest, (self.largest, self.patience));
        let mut request = Request::from_parts(parts, Body::new(messages));
        request.extensions_mut().insert(guest.clone());
        let answered = async {
            let answer = tokio::select! {
                answer = self.routes.oneshot(request) => answer,
                _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
            };
            let Ok::<_, Infallible>(answer) = answer;
            let Some(_answering) = guest.answer() else {
                return respond.send_reset(Reason::ENHANCE_YOUR_CALM);
            };
            // The caller or its connection is gone: there is nobody to tell.
            let _ = send(answer, respond).await;
        };
        let mut answered = pin!(answered);
        tokio::select! {
            biased;
            () = intake.run() => answered.await,
            () = &mut answered => {}
        }
    }
}

async fn send(answer: Response<Body>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let (parts, body) = answer.into_parts();
    let head = Response::from_parts(parts, ());
    if body.is_end_stream() {
        respond.send_response(head, true)?;
        return Ok(());
    }
    let mut stream = respond.send_response(head, false)?;
    let mut body = pin!(body);
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            _ = poll_fn(|cx| stream.poll_reset(cx)) => return Ok(()),
        };
        match frame {
            None => return stream.send_data(Bytes::new(), true),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => write(&mut stream, data, false).await?,
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return stream.send_trailers(trailers);
                    }
                }
            },
            Some(Err(_)) => {
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Ok(());
            }
        }
    }
}
