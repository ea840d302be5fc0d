//! URLs of an issuer.

use anyhow::Context as _;
use http::Uri;

/// Parses a URL that keys are fetched from, directly or not. It must have the scheme `https`, or
/// name a loopback address.
pub(super) fn parse(text: &str) -> anyhow::Result<Uri> {
    let uri: Uri = text.parse().with_context(|| format!("`{text}` is not a URL"))?;
    let host = uri.host().with_context(|| format!("`{text}` has no host"))?;
    let is_loopback = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    anyhow::ensure!(!has_user && uri.query().is_none(), "`{text}` has a user or a query");
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_loopback => Ok(uri),
        Some(_) | None => anyhow::bail!("`{text}` must begin with `https://`"),
    }
}

/// Returns the URLs at which the metadata of an issuer may be, in the order of MCP.
///
/// Specification: MCP 2025-11-25, Authorization, "Authorization Server Metadata Discovery".
pub(super) fn metadata(issuer: &str) -> Vec<String> {
    let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
    let start = issuer.find("://").map_or(0, |at| at + 3);
    let origin_end = issuer.get(start..).and_then(|rest| rest.find('/')).map(|at| start + at);
    let (origin, path) = issuer.split_at(origin_end.unwrap_or(issuer.len()));
    let mut urls = vec![
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        urls.push(format!("{issuer}/.well-known/openid-configuration"));
    }
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_https_or_loopback() {
        for text in
            ["https://a.example/b", "http://127.0.0.1:1/a", "http://localhost", "http://[::1]"]
        {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in [
            "http://a.example",
            "http://localhost.example",
            "ftp://127.0.0.1",
            "a.example",
            "/a",
            "",
            "https://user@a.example",
            "https://a.example?b",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_path_of_an_issuer_follows_the_well_known_part() {
        assert_eq!(
            metadata("https://a.example/"),
            [
                "https://a.example/.well-known/oauth-authorization-server",
                "https://a.example/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            metadata("https://a.example/b/c"),
            [
                "https://a.example/.well-known/oauth-authorization-server/b/c",
                "https://a.example/.well-known/openid-configuration/b/c",
                "https://a.example/b/c/.well-known/openid-configuration",
            ]
        );
    }
}
