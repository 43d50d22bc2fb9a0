//! How the tools show things to people.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use linkgate_proto::v1::{Fault, fault};

/// Prints a line. That nobody reads it any more, as after `| head`, is no reason to fail.
pub(crate) fn say(line: impl Display) {
    writeln!(io::stdout().lock(), "{line}").ok();
}

/// Prints a line on the standard error.
pub(crate) fn complain(line: impl Display) {
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// A body on one line: as text if it is, as base64 otherwise. Control characters are escaped: a body must not drive
/// the reader's terminal.
pub(crate) fn body(body: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(body) {
        Ok(text) if !text.contains(char::is_control) => Cow::Borrowed(text),
        Ok(text) => Cow::Owned(text.chars().flat_map(escaped).collect()),
        Err(_) => Cow::Owned(format!("base64 {}", BASE64_STANDARD.encode(body))),
    }
}

fn escaped(c: char) -> impl Iterator<Item = char> {
    let escape = c.is_control().then(|| c.escape_default());
    let plain = escape.is_none().then_some(c);
    escape.into_iter().flatten().chain(plain)
}

/// A fault as one clause: its code, whose it is, whether it may have had an effect, and the detail.
pub(crate) fn fault(fault: &Fault) -> String {
    let code = if fault.code.is_empty() {
        "no code given"
    } else {
        &fault.code
    };
    let whose = match fault.source() {
        fault::Source::Client => "the client's fault",
        fault::Source::Backend => "the backend's fault",
        fault::Source::Gateway => "the gateway's fault",
        fault::Source::Unspecified => "nobody's fault",
    };
    let effect = match fault.effect() {
        fault::Effect::None => "no effect",
        fault::Effect::Unknown | fault::Effect::Unspecified => "it may have had an effect",
    };
    let detail = if fault.detail.is_empty() {
        String::new()
    } else {
        format!(": {}", body(fault.detail.as_bytes()))
    };
    format!("{code} ({whose}, {effect}){detail}")
}

/// A duration to about three digits: `1.23ms`.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_secs_f64() {
        s if s < 1e-3 => format!("{:.0}us", s * 1e6),
        s if s < 1e-1 => format!("{:.2}ms", s * 1e3),
        s if s < 1.0 => format!("{:.0}ms", s * 1e3),
        s if s < 100.0 => format!("{s:.1}s"),
        s => format!("{s:.0}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_cannot_drive_the_terminal() {
        assert_eq!(body("grüß dich".as_bytes()), "grüß dich");
        assert_eq!(body(b"\x1b[2Jx\n"), "\\u{1b}[2Jx\\n");
        assert_eq!(body(b"\xff\x00"), "base64 /wA=");
    }

    #[test]
    fn durations_keep_three_digits() {
        let show = |us| duration(Duration::from_micros(us));
        assert_eq!(
            [show(12), show(1_234), show(123_456), show(1_500_000)],
            ["12us", "1.23ms", "123ms", "1.5s"]
        );
    }
}
