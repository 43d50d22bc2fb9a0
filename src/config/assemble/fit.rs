//! Whether a pipeline and a listener that it is served on fit together.

use crate::config::diagnostics::{Diagnostic, Diagnostics};
use crate::config::document::Pipeline;
use crate::config::source::Span;
use crate::listener::config::{AuthConfig, ListenerConfig};

/// Reports what does not fit; `named` is where the pipeline names the listener.
pub(super) fn check(
    pipeline: &Pipeline,
    listener: &ListenerConfig,
    named: Span,
    diagnostics: &mut Diagnostics,
) {
    let (biz_id, name) = (&pipeline.biz_id, &listener.name);
    if let AuthConfig::Jwt(issuers) = &listener.auth
        && !issuers.iter().any(|issuer| issuer.biz_ids.contains(biz_id))
    {
        let what =
            format!("nobody could open a link: no issuer of `{name}` may speak for `{biz_id}`");
        let hint =
            format!("add `{biz_id}` to the `biz_ids` of an issuer under the listener's `auth`");
        diagnostics.push(Diagnostic::at(named, what).hint(hint));
    }
}
