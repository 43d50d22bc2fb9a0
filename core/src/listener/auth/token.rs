//! Where a request carries its token.

use std::borrow::Cow;

use http::header::AUTHORIZATION;
use http::request::Request;

use crate::listener::subprotocol;

/// The token of `Authorization: Bearer`, of the subprotocol `linkgate.token.<token>`, or of the query parameter
/// `token`: the first that is there.
pub(super) fn find(request: &Request<()>) -> Option<Cow<'_, str>> {
    bearer(request)
        .or_else(|| subprotocol::token(request.headers()))
        .map(Cow::Borrowed)
        .or_else(|| query(request, "token"))
        .filter(|token| !token.is_empty())
}

fn bearer(request: &Request<()>) -> Option<&str> {
    let (scheme, token) = request
        .headers()
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

/// The first query parameter of this name.
pub(super) fn query<'a>(request: &'a Request<()>, name: &str) -> Option<Cow<'a, str>> {
    let query = request.uri().query()?;
    form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}
