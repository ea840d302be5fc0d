//! Who may call: by the names in `Host` and `Origin`.

use http::uri::Authority;

/// Host names, each with a port or for all ports.
#[derive(Debug)]
pub(super) enum Hosts {
    Any,
    Only(Vec<Host>),
}

/// Origins: a scheme, and a host.
#[derive(Debug)]
pub(super) enum Origins {
    Any,
    Only(Vec<(String, Host)>),
}

#[derive(Debug)]
pub(super) struct Host {
    name: String,
    /// `None` stands for all ports.
    port: Option<u16>,
}

impl Hosts {
    /// Reads a list, or returns what in it is no host.
    pub(super) fn read(texts: &[String]) -> Result<Self, String> {
        if texts.iter().any(|text| text == "*") {
            return Ok(Self::Any);
        }
        let hosts = texts.iter().map(|text| Host::read(text).ok_or_else(|| text.clone()));
        Ok(Self::Only(hosts.collect::<Result<_, _>>()?))
    }

    pub(super) fn allow(&self, authority: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(hosts) => {
                let called = split(authority);
                hosts.iter().any(|host| host.is(called, &[80, 443]))
            }
        }
    }
}

impl Origins {
    /// Reads a list, or returns what in it is no origin.
    pub(super) fn read(texts: &[String]) -> Result<Self, String> {
        if texts.iter().any(|text| text == "*") {
            return Ok(Self::Any);
        }
        let origins = texts.iter().map(|text| {
            let (scheme, host) = text.split_once("://").ok_or_else(|| text.clone())?;
            let host = Host::read(host).ok_or_else(|| text.clone())?;
            Ok((scheme.to_ascii_lowercase(), host))
        });
        Ok(Self::Only(origins.collect::<Result<_, String>>()?))
    }

    pub(super) fn allow(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(origins) => origin.split_once("://").is_some_and(|(scheme, authority)| {
                let is_scheme = |known: &str| known.eq_ignore_ascii_case(scheme);
                let (default_port, called) = (default_port(scheme), split(authority));
                let is = |host: &Host| host.is(called, default_port.as_slice());
                origins.iter().any(|(known, host)| is_scheme(known) && is(host))
            }),
        }
    }
}

impl Host {
    fn read(text: &str) -> Option<Self> {
        let authority: Authority = text.parse().ok()?;
        let is_host = !authority.host().is_empty() && !text.contains('@');
        let name = authority.host().to_ascii_lowercase();
        is_host.then(|| Self { name, port: authority.port_u16() })
    }

    /// Compares with a name and a port that were called.
    fn is(&self, (name, port): (&str, Option<u16>), default_ports: &[u16]) -> bool {
        let is_port = match (self.port, port) {
            (None, _) => true,
            (Some(port), Some(called)) => port == called,
            // It is left out where it is that of the scheme.
            (Some(port), None) => default_ports.contains(&port),
        };
        is_port && self.name.eq_ignore_ascii_case(name)
    }
}

/// Splits a port off, where there is one. What is no authority is no name of a host, either.
fn split(authority: &str) -> (&str, Option<u16>) {
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match authority.rsplit_once(':').filter(|(_, port)| is_port(port)) {
        Some((name, port)) => (name, port.parse().ok()),
        None => (authority, None),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(texts: &[&str]) -> Hosts {
        Hosts::read(&texts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    fn origins(texts: &[&str]) -> Origins {
        Origins::read(&texts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_host_is_compared_by_name_and_by_port_where_it_has_one() {
        let hosts = hosts(&["localhost", "[::1]", "example.com:8080", "example.org:443"]);
        for host in ["localhost", "LOCALHOST:1", "[::1]", "[::1]:80", "example.com:8080"] {
            assert!(hosts.allow(host), "{host}");
        }
        assert!(hosts.allow("example.org") && !hosts.allow("example.org:80"));
        for host in [
            "example.com",
            "localhost.evil",
            "evil@localhost",
            "",
            ":80",
            "::1",
            "[::1",
            "localhost:a",
        ] {
            assert!(!hosts.allow(host), "{host}");
        }
    }

    #[test]
    fn an_origin_is_compared_by_scheme_too() {
        let origins =
            origins(&["https://example.com", "http://localhost:3000", "https://a.org:443"]);
        assert!(origins.allow("https://a.org") && !origins.allow("https://a.org:80"));
        for origin in ["https://example.com", "https://example.com:8443", "http://localhost:3000"] {
            assert!(origins.allow(origin), "{origin}");
        }
        for origin in ["http://example.com", "http://localhost", "null", "", "https://", "file://"]
        {
            assert!(!origins.allow(origin), "{origin}");
        }
    }

    #[test]
    fn a_star_allows_all_and_nonsense_is_named() {
        assert!(hosts(&["*"]).allow("anything"));
        assert!(origins(&["a://b", "*"]).allow("null"));
        let read = |text: &str| Hosts::read(&[text.to_owned()]).unwrap_err();
        assert_eq!(read("a b"), "a b");
        assert_eq!(Origins::read(&["example.com".to_owned()]).unwrap_err(), "example.com");
    }
}
