//! `etcd://host:2379,host2:2379/linkgate/prod`: how a command line names an etcd.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::source::{EtcdSource, EtcdTls, check_prefix, is_endpoint};
use crate::secret::Secret;

/// Why a URL names no etcd. Nothing of the URL is repeated: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme, or none.
    #[error("this URL does not begin with `etcd://` or `etcds://`")]
    Scheme,
    /// No list of members.
    #[error(
        "this URL does not name the members of etcd: write `etcd://host:2379/prefix`, or \
         `etcd://host:2379,other:2379/prefix`"
    )]
    Endpoints,
    /// No prefix, or one that is none.
    #[error("the path of this URL cannot be used: {0}; write `etcd://host:2379/linkgate/prod`")]
    Prefix(&'static str),
    /// A name without a password, or the other way round.
    #[error(
        "user and password go together: write both before the hosts (`user:password@`, with `%40` for an `@`), or both \
         into LINKGATE_ETCD_USER and LINKGATE_ETCD_PASSWORD"
    )]
    Login,
    /// `?...` or `#...`.
    #[error("this URL holds a `?` or a `#`, which mean nothing here")]
    Rest,
    /// A client certificate without its key, or the other way round.
    #[error("LINKGATE_ETCD_CERT and LINKGATE_ETCD_KEY go together: set both, or none")]
    Certificate,
}

impl EtcdSource {
    /// The etcd that a URL names: `etcd://host:2379,host2:2379/linkgate/prod`, or `etcds://` for TLS. User and password
    /// stand before the hosts, or in LINKGATE_ETCD_USER and LINKGATE_ETCD_PASSWORD; with TLS, LINKGATE_ETCD_CA,
    /// LINKGATE_ETCD_CERT and LINKGATE_ETCD_KEY name files.
    ///
    /// # Errors
    /// What is wrong with the URL, without repeating it.
    pub fn parse_url(url: &str) -> Result<Self, UrlError> {
        parse(url, &|name| {
            std::env::var(name).ok().filter(|value| !value.is_empty())
        })
    }

    /// Whether this text is meant to be such a URL, and not a path.
    pub fn is_url(text: &str) -> bool {
        text.starts_with("etcd://") || text.starts_with("etcds://")
    }
}

fn parse(url: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<EtcdSource, UrlError> {
    let (rest, is_tls) = match (url.strip_prefix("etcd://"), url.strip_prefix("etcds://")) {
        (Some(rest), _) => (rest, false),
        (_, Some(rest)) => (rest, true),
        _ => return Err(UrlError::Scheme),
    };
    if rest.contains(['?', '#']) {
        return Err(UrlError::Rest);
    }
    let Some(slash) = rest.find('/') else {
        return Err(UrlError::Prefix("there is none"));
    };
    let (authority, prefix) = rest.split_at(slash);
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (Some(login), hosts),
        None => (None, authority),
    };
    let endpoints: Vec<String> = hosts.split(',').map(str::to_owned).collect();
    if !endpoints.iter().all(|endpoint| is_endpoint(endpoint)) {
        return Err(UrlError::Endpoints);
    }
    check_prefix(prefix).map_err(UrlError::Prefix)?;
    let (user, password) = match login {
        Some(login) => {
            let (user, password) = login.split_once(':').ok_or(UrlError::Login)?;
            let part = |text| decode(text).ok_or(UrlError::Login);
            (Some(part(user)?), Some(part(password)?))
        }
        None => (
            variable("LINKGATE_ETCD_USER"),
            variable("LINKGATE_ETCD_PASSWORD"),
        ),
    };
    if user.is_some() != password.is_some() || user.as_deref() == Some("") {
        return Err(UrlError::Login);
    }
    Ok(EtcdSource {
        endpoints,
        prefix: prefix.trim_end_matches('/').to_owned(),
        tls: if is_tls { Some(tls(variable)?) } else { None },
        user,
        password: password.map(Secret::new),
        timeout: EtcdSource::timeout(),
    })
}

fn tls(variable: &dyn Fn(&str) -> Option<String>) -> Result<EtcdTls, UrlError> {
    let file = |name| variable(name).map(Into::into);
    let tls = EtcdTls {
        ca: file("LINKGATE_ETCD_CA"),
        cert: file("LINKGATE_ETCD_CERT"),
        key: file("LINKGATE_ETCD_KEY"),
        domain: None,
    };
    if tls.cert.is_some() != tls.key.is_some() {
        return Err(UrlError::Certificate);
    }
    Ok(tls)
}

/// The text without `%` escapes; `None` if one is broken.
fn decode(text: &str) -> Option<String> {
    let is_escape = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(url: &str) -> Result<EtcdSource, UrlError> {
        parse(url, &|_| None)
    }

    #[test]
    fn a_url_names_members_and_a_prefix() {
        let source = plain("etcd://one:2379,[::1]:2380/linkgate/prod/").unwrap();
        assert_eq!(source.endpoints, ["one:2379", "[::1]:2380"]);
        assert_eq!(source.prefix, "/linkgate/prod");
        assert!(source.tls.is_none() && source.user.is_none());
        assert_eq!(
            source.to_string(),
            "etcd://one:2379,[::1]:2380/linkgate/prod"
        );
    }

    #[test]
    fn user_and_password_come_from_the_url_or_from_variables() {
        let source = plain("etcds://anna:p%40ss%3a%2f@one:2379/p").unwrap();
        assert_eq!(source.user.as_deref(), Some("anna"));
        assert_eq!(source.password.as_ref().unwrap().expose(), "p@ss:/");
        assert!(source.tls.is_some());
        let shown = format!("{source} {source:?}");
        assert!(!shown.contains("p@ss"), "{shown}");

        let variables = |name: &str| match name {
            "LINKGATE_ETCD_USER" => Some("bert".to_owned()),
            "LINKGATE_ETCD_PASSWORD" => Some("hunter2".to_owned()),
            "LINKGATE_ETCD_CA" => Some("ca.pem".to_owned()),
            _ => None,
        };
        let source = parse("etcds://one:2379/p", &variables).unwrap();
        assert_eq!(source.user.as_deref(), Some("bert"));
        assert_eq!(source.tls.unwrap().ca.unwrap().to_str(), Some("ca.pem"));
        let source = parse("etcd://anna:x@one:2379/p", &variables).unwrap();
        assert_eq!(source.user.as_deref(), Some("anna"));
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_repeating_it() {
        use UrlError::{Endpoints, Login, Prefix, Rest, Scheme};
        for (url, expected) in [
            ("http://one:2379/p", Scheme),
            ("etcd://one:2379", Prefix("there is none")),
            (
                "etcd://one:2379//",
                Prefix("this names no place of its own in etcd"),
            ),
            ("etcd:///p", Endpoints),
            ("etcd://one/p", Endpoints),
            ("etcd://one:2379,/p", Endpoints),
            ("etcd://http://one:2379/p", Endpoints),
            ("etcd://hunter2@one:2379/p", Login),
            ("etcd://anna:hunter2%4@one:2379/p", Login),
            ("etcd://:hunter2@one:2379/p", Login),
            ("etcd://anna:hunter2@one:2379/p?x=1", Rest),
        ] {
            let error = plain(url).unwrap_err();
            assert_eq!(error, expected, "{url}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_document_is_checked_at_its_places() {
        use linkgate_filter::problem::Problems;
        let yaml = "{ endpoints: ['http://u:hunter2@one', 'one:0'], prefix: linkgate, user: anna, timeout: 1ms,
                     tls: { cert: cert.pem } }";
        let source: EtcdSource = serde_yaml::from_str(yaml).unwrap();
        let mut problems = Problems::new();
        source.check(&mut problems);
        let shown: Vec<String> = problems
            .into_iter()
            .map(|problem| format!("{}: {}", problem.path, problem.message))
            .collect();
        let shown = shown.join("\n");
        for place in ["endpoints", "prefix", "tls.cert", "user", "timeout"] {
            assert!(shown.contains(place), "{place} in {shown}");
        }
        assert!(!shown.contains("hunter2"), "{shown}");
        let yaml = "{ endpoints: ['127.0.0.1:2379'], prefix: /linkgate/prod/, tls: {} }";
        let source: EtcdSource = serde_yaml::from_str(yaml).unwrap();
        let mut problems = Problems::new();
        source.check(&mut problems);
        #[cfg(feature = "etcd")]
        assert!(problems.is_empty());
    }
}
