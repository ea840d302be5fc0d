//! Allowed values of `Host` and `Origin`.

use std::net::{IpAddr, Ipv6Addr};

use http::uri::Authority;

/// The allowed hosts: names that clients may use for this server.
#[derive(Debug)]
pub(super) struct Hosts {
    /// Whether every name is allowed.
    any: bool,
    /// Whether every IP address is allowed as a host.
    any_ip: bool,
    patterns: Vec<Pattern>,
}

/// The allowed origins of web pages.
#[derive(Debug)]
pub(super) struct Origins {
    any: bool,
    /// Patterns with their schemes, in lower case.
    patterns: Vec<(String, Pattern)>,
}

/// A pattern for hosts, for all ports or for one.
#[derive(Debug)]
struct Pattern {
    name: Name,
    /// `None` matches every port.
    port: Option<u16>,
}

#[derive(Debug, PartialEq, Eq)]
enum Name {
    Ip(IpAddr),
    /// A host name, in lower case.
    Exact(String),
    /// Every subdomain of a host name, in lower case: `*.example.com`.
    SubdomainsOf(String),
}

/// The names of the loopback interface.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

impl Hosts {
    /// Parses a list of patterns. The names of the loopback interface are always allowed.
    ///
    /// # Errors
    ///
    /// Describes the first invalid pattern.
    pub(super) fn parse(texts: &[String], any_ip: bool) -> Result<Self, String> {
        let (any, texts) = split_wildcard(texts);
        let patterns = LOOPBACK.into_iter().chain(texts).map(Pattern::parse);
        Ok(Self { any, any_ip, patterns: patterns.collect::<Result<_, _>>()? })
    }

    pub(super) fn allows(&self, authority: &str) -> bool {
        if self.any {
            return true;
        }
        let Some((name, port)) = split_port(authority) else { return false };
        self.any_ip && matches!(name, Name::Ip(_)) || self.match_name(&name, port, &[80, 443])
    }

    /// Returns whether a host matches one of the patterns.
    fn match_name(&self, name: &Name, port: Option<u16>, default_ports: &[u16]) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(name, port, default_ports))
    }
}

impl Origins {
    /// Parses a list of patterns. The names of the loopback interface are always allowed.
    ///
    /// # Errors
    ///
    /// Describes the first invalid pattern.
    pub(super) fn parse(texts: &[String]) -> Result<Self, String> {
        let (any, texts) = split_wildcard(texts);
        let loopback = ["http", "https"]
            .into_iter()
            .flat_map(|scheme| LOOPBACK.map(|name| Ok((scheme.to_owned(), Pattern::parse(name)?))));
        let listed = texts.map(|text| {
            let (scheme, host) = text
                .split_once("://")
                .ok_or_else(|| format!("`{text}` has no scheme, such as `https://`"))?;
            Ok((scheme.to_ascii_lowercase(), Pattern::parse(host)?))
        });
        Ok(Self { any, patterns: loopback.chain(listed).collect::<Result<_, String>>()? })
    }

    /// Returns whether an origin is allowed for a request to `host`, which has been checked.
    /// Allowed hosts are allowed origins, too, and so is the server's own origin.
    pub(super) fn allows(&self, origin: &str, hosts: &Hosts, host: &str) -> bool {
        if self.any {
            return true;
        }
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let Some((name, port)) = split_port(authority) else { return false };
        let default_port = default_port(scheme);
        let is_listed = self.patterns.iter().any(|(known, pattern)| {
            known.eq_ignore_ascii_case(scheme)
                && pattern.matches(&name, port, default_port.as_slice())
        });
        let is_own = || authority.eq_ignore_ascii_case(host);
        let is_web = default_port.is_some();
        is_listed || is_web && (is_own() || hosts.match_name(&name, port, default_port.as_slice()))
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(ip) = text.parse::<Ipv6Addr>() {
            return Ok(Self { name: Name::Ip(ip.into()), port: None });
        }
        let authority: Authority =
            text.parse().map_err(|_| format!("`{text}` is not a host name"))?;
        if text.contains('@') || authority.host().is_empty() {
            return Err(format!("`{text}` is not a host name"));
        }
        let port = match text.strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':'))
        {
            None => None,
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => {
                    return Err(format!("`{text}`: the port must be a number from 1 to 65535"));
                }
                Ok(port) => Some(port),
            },
        };
        let name = match authority.host().split_once("*.") {
            Some(("", parent)) if !parent.is_empty() && !parent.contains('*') => {
                Name::SubdomainsOf(parent.to_ascii_lowercase())
            }
            _ if authority.host().contains('*') => {
                return Err(format!(
                    "`{text}`: `*` must stand alone, or for subdomains as in `*.example.com`"
                ));
            }
            _ => Name::parse(authority.host())
                .ok_or_else(|| format!("`{text}` is not a host name"))?,
        };
        Ok(Self { name, port })
    }

    /// Returns whether a requested name and port match. Without a port, any of `default_ports`
    /// matches.
    fn matches(&self, name: &Name, port: Option<u16>, default_ports: &[u16]) -> bool {
        let is_port = match (self.port, port) {
            (None, _) => true,
            (Some(port), Some(requested)) => port == requested,
            (Some(port), None) => default_ports.contains(&port),
        };
        is_port && self.name.matches(name)
    }
}

impl Name {
    /// Parses a host name or an IP address. IPv6 addresses are in brackets.
    fn parse(text: &str) -> Option<Self> {
        if let Some(ip) = text.strip_prefix('[') {
            let ip: Ipv6Addr = ip.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Ip(ip.into()));
        }
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_valid = !text.is_empty() && text.bytes().all(is_name);
        is_valid.then(|| match text.parse() {
            Ok(ip) => Self::Ip(ip),
            Err(_) => Self::Exact(text.to_ascii_lowercase()),
        })
    }

    fn matches(&self, requested: &Self) -> bool {
        match (self, requested) {
            (Self::SubdomainsOf(parent), Self::Exact(requested)) => requested
                .strip_suffix(parent.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|rest| !rest.is_empty()),
            _ => self == requested,
        }
    }
}

/// Returns whether the patterns include `*`, and the other patterns.
fn split_wildcard(texts: &[String]) -> (bool, impl Iterator<Item = &str>) {
    let is_star = |text: &&str| *text == "*";
    let texts = texts.iter().map(String::as_str);
    (texts.clone().any(|text| is_star(&text)), texts.filter(move |text| !is_star(text)))
}

/// Splits a requested authority into its name and its port, if it has one.
fn split_port(authority: &str) -> Option<(Name, Option<u16>)> {
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (name, port) = match authority.rsplit_once(':').filter(|(_, port)| is_port(port)) {
        // An empty port is that of the scheme: RFC 3986, 3.2.3.
        Some((name, "")) => (name, None),
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (authority, None),
    };
    Some((Name::parse(name)?, port))
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

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    fn hosts(patterns: &[&str]) -> Hosts {
        Hosts::parse(&texts(patterns), false).unwrap()
    }

    #[track_caller]
    fn origin(patterns: &[&str], hosts: &Hosts, host: &str, origin: &str, expected: bool) {
        let origins = Origins::parse(&texts(patterns)).unwrap();
        assert_eq!(origins.allows(origin, hosts, host), expected, "{origin} of {host}");
    }

    #[test]
    fn hosts_match_by_name_and_by_port_if_the_pattern_has_one() {
        let hosts = hosts(&["example.com:8080", "example.org:443", "::2"]);
        for host in [
            "localhost",
            "LOCALHOST:1",
            "[::1]",
            "[0:0:0:0:0:0:0:1]:80",
            "127.0.0.1:8848",
            "[::2]:1",
            "example.com:8080",
            "example.org",
            "example.org:",
        ] {
            assert!(hosts.allows(host), "{host}");
        }
        for host in [
            "example.com",
            "example.com:99999",
            "example.org:80",
            "localhost.evil",
            "evil@localhost",
            "127.0.0.2",
            "",
            ":80",
            "::1",
            "[::1",
            "localhost:a",
        ] {
            assert!(!hosts.allows(host), "{host}");
        }
    }

    #[test]
    fn a_wildcard_matches_subdomains_only() {
        let hosts = hosts(&["*.example.com", "*.example.org:8080"]);
        for host in ["a.example.com", "A.B.Example.com:1", "a.example.org:8080"] {
            assert!(hosts.allows(host), "{host}");
        }
        for host in ["example.com", ".example.com", "aexample.com", "a.example.org"] {
            assert!(!hosts.allows(host), "{host}");
        }
    }

    #[test]
    fn any_ip_address_is_allowed_if_configured() {
        let hosts = Hosts::parse(&[], true).unwrap();
        for host in ["192.168.1.7:8848", "[fe80::1]", "10.0.0.1"] {
            assert!(hosts.allows(host), "{host}");
        }
        for host in ["example.com", "192.168.1.7.example.com", "192.168.1"] {
            assert!(!hosts.allows(host), "{host}");
        }
        // A page from another address does not have this server's origin.
        origin(&[], &hosts, "192.168.1.7:8848", "http://192.168.1.7:8848", true);
        origin(&[], &hosts, "192.168.1.7:8848", "http://203.0.113.9", false);
    }

    #[test]
    fn origins_match_by_scheme_too() {
        let listed = ["https://example.com", "app://localhost:3000", "https://a.org:443"];
        let hosts = hosts(&[]);
        for allowed in [
            "https://example.com",
            "https://example.com:8443",
            "http://localhost:5173",
            "app://localhost:3000",
            "https://a.org",
        ] {
            origin(&listed, &hosts, "localhost", allowed, true);
        }
        for refused in [
            "http://example.com",
            "app://localhost",
            "https://a.org:80",
            "null",
            "",
            "https://",
            "file://",
        ] {
            origin(&listed, &hosts, "localhost", refused, false);
        }
    }

    #[test]
    fn an_allowed_host_is_an_allowed_origin() {
        let listed = hosts(&["mcp.example", "*.example.org:8443"]);
        for (allowed, expected) in [
            ("https://mcp.example", true),
            ("http://mcp.example:8848", true),
            ("https://a.example.org:8443", true),
            ("https://a.example.org", false),
            ("ftp://mcp.example", false),
            ("https://evil.example", false),
        ] {
            origin(&[], &listed, "localhost", allowed, expected);
        }
        // With `*`, a page may only call the server that it was loaded from.
        let any = hosts(&["*"]);
        origin(&[], &any, "Mcp.example:1", "http://mcp.example:1", true);
        origin(&[], &any, "mcp.example:1", "http://mcp.example:2", false);
        origin(&[], &any, "mcp.example:1", "http://evil.example", false);
    }

    #[test]
    fn a_wildcard_alone_allows_everything() {
        assert!(hosts(&["*"]).allows("anything"));
        origin(&["a://b", "*"], &hosts(&[]), "localhost", "null", true);
    }

    #[test]
    fn errors_name_the_invalid_pattern() {
        for pattern in [
            "",
            "a b",
            "user@example.com",
            "example.com:",
            "example.com:0",
            "example.com:99999",
            "example.com:http",
            "example.com/mcp",
            "https://example.com",
            "*.",
            "*example.com",
            "a.*.example.com",
            "*.*.example.com",
            "[::1",
            "[1]",
            ":80",
        ] {
            let error = Hosts::parse(&texts(&[pattern]), false).unwrap_err();
            assert!(error.contains(&format!("`{pattern}`")), "{pattern}: {error}");
        }
        for pattern in ["example.com", "https://example.com:99999", "https://", "https://a/b"] {
            let error = Origins::parse(&texts(&[pattern])).unwrap_err();
            assert!(error.contains('`'), "{pattern}: {error}");
        }
    }
}
