//! Whether a pipeline and a listener that it is served on fit together.

use linkgate_filter::Form;

use crate::config::diagnostics::{Diagnostic, Diagnostics};
use crate::config::document::Pipeline;
use crate::config::source::Span;
use crate::listener::config::{AuthConfig, FormChoice, ListenerConfig};

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

/// Reports a listener whose clients speak another form than the filter `step`, which speaks `form` alone, at `place`;
/// `named` is where the pipeline names the listener.
pub(super) fn check_form(
    (step, form, place): (&str, Form, Span),
    listener: &ListenerConfig,
    named: Span,
    diagnostics: &mut Diagnostics,
) {
    let (speaks, asked) = match (form, listener.form) {
        (Form::Protobuf, FormChoice::Json) => ("protobuf", "json"),
        (Form::Json, FormChoice::Protobuf) => ("json", "protobuf"),
        _ => return,
    };
    let name = &listener.name;
    let what = format!(
        "`{step}` speaks {speaks}, but `{name}` lets its clients speak {asked} alone (`form: {asked}`)"
    );
    let hint = format!(
        "let `{step}` speak what the client asks for, or write `form: any` at the listener"
    );
    let problem = Diagnostic::at(named, what).also(place, "it is fixed here");
    diagnostics.push(problem.hint(hint));
}
