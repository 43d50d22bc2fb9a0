//! Which web pages may open links: a list of origins, against cross-site use of a user's credentials.

use http::HeaderMap;
use http::header::ORIGIN;
use linkgate_filter::problem::Problems;

/// The origins that are allowed; all, if none is named.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins(Vec<Origin>);

#[derive(Clone, Debug)]
struct Origin {
    /// `https`, in lower case.
    scheme: String,
    /// Host and port as in the header; for `*.example.com`, the part from the dot on.
    host: String,
    below: bool,
}

impl Origins {
    /// Reads the list; notes what is no origin, at its place in the list.
    pub(super) fn prepare(list: &[String]) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let mut origins = Vec::new();
        for (i, text) in list.iter().enumerate() {
            match parse(text) {
                Some(origin) => origins.push(origin),
                None => {
                    problems
                        .at([i], format!("`{}` is not an origin", text.escape_debug()))
                        .hint("write `https://chat.example.com` or `https://*.example.com`, without a path");
                }
            }
        }
        problems.into_result(Self(origins))
    }

    /// Whether a request with these headers may go on. One without an `Origin` comes from no web page.
    pub(super) fn allow(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(ORIGIN).into_iter();
        match (given.next(), given.next()) {
            _ if self.0.is_empty() => true,
            (None, _) => true,
            (Some(_), Some(_)) => false,
            (Some(origin), None) => origin.to_str().is_ok_and(|origin| self.lists(origin)),
        }
    }

    fn lists(&self, origin: &str) -> bool {
        let Some((scheme, host)) = split(origin) else {
            return false;
        };
        self.0.iter().any(|allowed| {
            let host_fits = if allowed.below {
                host.len() > allowed.host.len() && host.ends_with(&allowed.host)
            } else {
                host == allowed.host
            };
            host_fits && scheme == allowed.scheme
        })
    }
}

/// Scheme and host (with a port that is not the scheme's own) in lower case.
fn split(origin: &str) -> Option<(String, String)> {
    let origin = origin.to_ascii_lowercase();
    let (scheme, host) = origin.split_once("://")?;
    let own_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    let host = host.strip_suffix(own_port).unwrap_or(host);
    Some((scheme.to_owned(), host.to_owned()))
}

fn parse(text: &str) -> Option<Origin> {
    let (scheme, host) = split(text)?;
    let below = host.starts_with("*.");
    let host = if below { host[1..].to_owned() } else { host };
    let sound = !host.is_empty() && host != "." && !host.contains(['/', '?', '#', '*', ' ', '@']);
    let scheme_sound = !scheme.is_empty()
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (sound && scheme_sound).then_some(Origin {
        scheme,
        host,
        below,
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn allowed(list: &[&str], origin: &str) -> bool {
        let list: Vec<String> = list.iter().map(|text| (*text).to_owned()).collect();
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
        Origins::prepare(&list).unwrap().allow(&headers)
    }

    #[test]
    fn an_origin_is_taken_as_a_whole() {
        let list = ["https://chat.example.com", "http://localhost:3000"];
        assert!(allowed(&list, "https://chat.example.com"));
        assert!(allowed(&list, "HTTPS://Chat.Example.com:443"));
        assert!(allowed(&list, "http://localhost:3000"));
        for other in [
            "http://chat.example.com",
            "https://chat.example.com:8443",
            "https://chat.example.com.evil.test",
            "https://evilchat.example.com",
            "http://localhost",
            "null",
            "",
        ] {
            assert!(!allowed(&list, other), "{other}");
        }
    }

    #[test]
    fn a_star_stands_for_hosts_below_alone() {
        let list = ["https://*.example.com"];
        assert!(allowed(&list, "https://a.example.com"));
        assert!(allowed(&list, "https://a.b.example.com"));
        for other in [
            "https://example.com",
            "https://.example.com",
            "https://badexample.com",
        ] {
            assert!(!allowed(&list, other), "{other}");
        }
    }

    #[test]
    fn without_a_list_or_an_origin_all_may_pass() {
        assert!(allowed(&[], "https://anything.test"));
        let listed = Origins::prepare(&["https://chat.example.com".to_owned()]).unwrap();
        assert!(listed.allow(&HeaderMap::new()));
    }

    #[test]
    fn two_origins_are_none() {
        let listed = Origins::prepare(&["https://chat.example.com".to_owned()]).unwrap();
        let mut headers = HeaderMap::new();
        for _ in 0..2 {
            headers.append(ORIGIN, HeaderValue::from_static("https://chat.example.com"));
        }
        assert!(!listed.allow(&headers));
    }

    #[test]
    fn what_is_no_origin_is_a_problem_at_its_place() {
        let list = [
            "https://fine.test",
            "chat.example.com",
            "https://a.test/path",
            "https://*",
        ];
        let list: Vec<String> = list.iter().map(|text| (*text).to_owned()).collect();
        let problems = Origins::prepare(&list).unwrap_err();
        let places: Vec<_> = problems
            .iter()
            .map(|problem| problem.path.to_string())
            .collect();
        assert_eq!(places, ["[1]", "[2]", "[3]"]);
    }
}
