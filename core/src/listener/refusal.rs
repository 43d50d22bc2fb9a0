//! Every reason why a connection does not become a link, with the answer it gets. The answers tell a client what it
//! can mend and nothing about keys, claims or other clients; the exact reason goes into metrics and logs.

use http::StatusCode;

/// Why a connection did not become a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The handshake took longer than `timeouts.handshake`.
    Timeout,
    /// The client went away, or the connection failed.
    Gone,
    /// A trusted proxy sent no PROXY header, or a malformed one.
    ProxyHeader,
    /// The TLS handshake failed.
    Tls,
    /// `admission.handshakes_per_ip` is reached.
    HandshakesPerIp,
    /// `admission.handshakes_per_network` is reached.
    HandshakesPerNetwork,
    /// The request head is larger than `websocket.max_header`.
    HeadTooLarge,
    /// The request is no HTTP, or lacks what a WebSocket handshake must have.
    Malformed,
    /// The request names no host, or several.
    Host,
    /// The request announces a body.
    Body,
    /// The method is not GET.
    Method,
    /// The request is HTTP/1.0, which knows no upgrade.
    HttpVersion,
    /// The request does not ask for an upgrade to WebSocket.
    NotWebSocket,
    /// The request asks for another version of WebSocket than 13.
    WebSocketVersion,
    /// The path is not `websocket.path`.
    Path,
    /// The `Origin` is not in `origins`.
    Origin,
    /// The client offers subprotocols, but none for a form that this listener speaks.
    Subprotocol,
    /// There is no token.
    TokenMissing,
    /// The token is no JWT, or names header parameters that are critical and unknown.
    TokenMalformed,
    /// No issuer of this listener has issued the token.
    TokenIssuer,
    /// The issuer has no key for the token's `kid` and `alg`.
    TokenKey,
    /// The signature is wrong.
    TokenSignature,
    /// The token has expired, or says nothing of when it does.
    TokenExpired,
    /// The token is not valid yet.
    TokenNotYetValid,
    /// The token is for another audience.
    TokenAudience,
    /// A claim that names user, business or device is missing or no usable name.
    TokenClaims,
    /// With `insecure_query`: the query names no user or business.
    QueryIdentity,
    /// The token's issuer may not speak for the bizID.
    BizNotAllowed,
    /// No pipeline serves the bizID on this listener.
    BizUnknown,
    /// The bizID is configured, and its configuration is refused on this node.
    BizNotReady,
    /// `admission.max_links` is reached.
    MaxLinks,
    /// `admission.per_ip` is reached.
    PerIp,
    /// The pipeline's limit of links is reached.
    BizLinks,
    /// More new links than `admission.links_per_second`.
    Pace,
    /// The listener is stopping.
    Stopping,
}

impl Refusal {
    /// All of them, so that metrics can show those that did not happen yet.
    pub const ALL: [Self; 35] = [
        Self::Timeout,
        Self::Gone,
        Self::ProxyHeader,
        Self::Tls,
        Self::HandshakesPerIp,
        Self::HandshakesPerNetwork,
        Self::HeadTooLarge,
        Self::Malformed,
        Self::Host,
        Self::Body,
        Self::Method,
        Self::HttpVersion,
        Self::NotWebSocket,
        Self::WebSocketVersion,
        Self::Path,
        Self::Origin,
        Self::Subprotocol,
        Self::TokenMissing,
        Self::TokenMalformed,
        Self::TokenIssuer,
        Self::TokenKey,
        Self::TokenSignature,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::TokenAudience,
        Self::TokenClaims,
        Self::QueryIdentity,
        Self::BizNotAllowed,
        Self::BizUnknown,
        Self::BizNotReady,
        Self::MaxLinks,
        Self::PerIp,
        Self::BizLinks,
        Self::Pace,
        Self::Stopping,
    ];

    /// The reason as metric label and log field.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Gone => "gone",
            Self::ProxyHeader => "proxy_header",
            Self::Tls => "tls",
            Self::HandshakesPerIp => "handshakes_per_ip",
            Self::HandshakesPerNetwork => "handshakes_per_network",
            Self::HeadTooLarge => "head_too_large",
            Self::Malformed => "malformed",
            Self::Host => "host",
            Self::Body => "body",
            Self::Method => "method",
            Self::HttpVersion => "http_version",
            Self::NotWebSocket => "not_websocket",
            Self::WebSocketVersion => "websocket_version",
            Self::Path => "path",
            Self::Origin => "origin",
            Self::Subprotocol => "subprotocol",
            Self::TokenMissing => "token_missing",
            Self::TokenMalformed => "token_malformed",
            Self::TokenIssuer => "token_issuer",
            Self::TokenKey => "token_key",
            Self::TokenSignature => "token_signature",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenAudience => "token_audience",
            Self::TokenClaims => "token_claims",
            Self::QueryIdentity => "query_identity",
            Self::BizNotAllowed => "biz_not_allowed",
            Self::BizUnknown => "biz_unknown",
            Self::BizNotReady => "biz_not_ready",
            Self::MaxLinks => "max_links",
            Self::PerIp => "per_ip",
            Self::BizLinks => "biz_links",
            Self::Pace => "pace",
            Self::Stopping => "stopping",
        }
    }

    /// The HTTP status of the answer and its one line of text; `None` where the connection is just closed.
    pub fn answer(self) -> Option<(StatusCode, &'static str)> {
        Some(match self {
            Self::Timeout | Self::Gone | Self::ProxyHeader | Self::Tls => return None,
            Self::HeadTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the request head is too large",
            ),
            Self::Malformed => (StatusCode::BAD_REQUEST, "not a WebSocket handshake"),
            Self::Host => (StatusCode::BAD_REQUEST, "name the host, once"),
            Self::Body => (StatusCode::BAD_REQUEST, "send no body"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "use GET"),
            Self::HttpVersion => (
                StatusCode::UPGRADE_REQUIRED,
                "use HTTP/1.1, also from proxies in front",
            ),
            Self::NotWebSocket => (
                StatusCode::UPGRADE_REQUIRED,
                "this address speaks WebSocket",
            ),
            Self::WebSocketVersion => (StatusCode::UPGRADE_REQUIRED, "use WebSocket version 13"),
            Self::Path => (StatusCode::NOT_FOUND, "there is nothing here"),
            Self::Origin => (StatusCode::FORBIDDEN, "the origin is not allowed"),
            Self::Subprotocol => (
                StatusCode::BAD_REQUEST,
                "none of the subprotocols is spoken here",
            ),
            Self::TokenMissing => (StatusCode::UNAUTHORIZED, "a token is needed"),
            Self::TokenMalformed
            | Self::TokenIssuer
            | Self::TokenKey
            | Self::TokenSignature
            | Self::TokenExpired
            | Self::TokenNotYetValid
            | Self::TokenAudience
            | Self::TokenClaims => (StatusCode::UNAUTHORIZED, "the token is not accepted"),
            Self::QueryIdentity => (
                StatusCode::BAD_REQUEST,
                "name yourself by the parameters biz_id and user_id",
            ),
            Self::BizNotAllowed => (StatusCode::FORBIDDEN, "not allowed for this bizID"),
            Self::BizUnknown => (StatusCode::NOT_FOUND, "no such bizID here"),
            Self::BizNotReady => (
                StatusCode::SERVICE_UNAVAILABLE,
                "this bizID is not served yet: try again later",
            ),
            Self::MaxLinks | Self::PerIp | Self::BizLinks | Self::Pace => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too many links: try again later",
            ),
            Self::HandshakesPerIp | Self::HandshakesPerNetwork => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too many handshakes: try again later",
            ),
            Self::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "going away: try again"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn reasons_differ() {
        let reasons: HashSet<_> = Refusal::ALL
            .iter()
            .map(|refusal| refusal.reason())
            .collect();
        assert_eq!(reasons.len(), Refusal::ALL.len());
    }

    #[test]
    fn what_is_wrong_with_a_token_is_not_told() {
        let told: HashSet<_> = Refusal::ALL
            .into_iter()
            .filter(|r| r.reason().starts_with("token_") && *r != Refusal::TokenMissing)
            .map(Refusal::answer)
            .collect();
        assert_eq!(told.len(), 1);
    }
}
