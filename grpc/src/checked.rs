//! A channel whose answers cannot make tonic panic: its reader of `grpc-status-details-bin` does so at what is no base64.

use std::task::{Context, Poll};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::Service;

const DETAILS: &str = "grpc-status-details-bin";

/// As tonic reads it.
const READER: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A channel to a backend that may lie.
#[derive(Clone, Debug)]
pub struct Checked(Channel);

impl From<Channel> for Checked {
    fn from(channel: Channel) -> Self {
        Self(channel)
    }
}

impl Service<Request<Body>> for Checked {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = self.0.call(request);
        Box::pin(async move {
            let mut response = response.await?;
            check(response.headers_mut());
            Ok(response.map(|body| {
                Body::new(body.map_frame(|mut frame| {
                    if let Some(trailers) = frame.trailers_mut() {
                        check(trailers);
                    }
                    frame
                }))
            }))
        })
    }
}

/// Takes details out that nobody can read. What the status says beside them stands.
fn check(headers: &mut HeaderMap) {
    let is_unreadable = |details: &http::HeaderValue| READER.decode(details.as_bytes()).is_err();
    if headers.get(DETAILS).is_some_and(is_unreadable) {
        headers.remove(DETAILS);
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;

    #[test]
    fn details_that_tonic_panics_at_are_taken_out() {
        for (details, stays) in [
            ("CAUSAmhp", true),
            ("CAUSAmg=", true),
            ("CAUSAmg", true),
            ("", true),
            ("%", false),
            ("CAUSAmhpx", false),
            ("CAU\u{2}", false),
        ] {
            let Ok(value) = http::HeaderValue::from_bytes(details.as_bytes()) else {
                continue;
            };
            let mut headers = HeaderMap::new();
            headers.insert("grpc-status", http::HeaderValue::from_static("5"));
            headers.insert(DETAILS, value);
            check(&mut headers);
            assert_eq!(headers.contains_key(DETAILS), stays, "{details}");
            let status = Status::from_header_map(&headers).unwrap();
            assert_eq!(status.code(), tonic::Code::NotFound);
        }
    }
}
