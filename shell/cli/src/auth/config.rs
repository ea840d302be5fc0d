//! Configuration of authentication.

use std::{num::NonZeroU32, time::Duration};

use http::Uri;

/// Who may make requests, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthConfig {
    /// The file of keys.
    pub(crate) keys: Option<String>,
    /// The authorization server whose tokens are accepted.
    pub(crate) issuer: Option<String>,
    /// The audiences of tokens, of which a token must have one.
    pub(crate) audiences: Vec<String>,
    /// The scopes that a token must have.
    pub(crate) scopes: Vec<String>,
    /// The URL of the issuer's keys, if its metadata does not have it.
    pub(crate) jwks_url: Option<String>,
    /// Minimum time between two fetches of these keys.
    pub(crate) jwks_interval: Duration,
    /// Tolerance for the times of a token.
    pub(crate) leeway: Duration,
    /// The origin of the URL that clients use.
    pub(crate) public_url: Option<String>,
    pub(crate) requests_per_second_max: Option<NonZeroU32>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            keys: None,
            issuer: None,
            audiences: Vec::new(),
            scopes: Vec::new(),
            jwks_url: None,
            jwks_interval: Duration::from_secs(10),
            leeway: Duration::from_secs(30),
            public_url: None,
            requests_per_second_max: None,
        }
    }
}

/// Minimum of the interval: tokens with unknown keys must not make rejoin a load for the issuer.
const JWKS_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Maximum of the leeway.
const LEEWAY_MAX: Duration = Duration::from_secs(60);

impl AuthConfig {
    /// Returns whether requests need a key or a token.
    pub(crate) fn has_credentials(&self) -> bool {
        self.keys.is_some() || self.issuer.is_some()
    }

    /// Checks the options. `has_certificates` is whether clients need a certificate.
    pub(crate) fn check(&self, has_certificates: bool) -> anyhow::Result<()> {
        anyhow::ensure!(self.leeway <= LEEWAY_MAX, "--auth-leeway must be at most 1m");
        anyhow::ensure!(
            self.jwks_interval >= JWKS_INTERVAL_MIN,
            "--auth-jwks-interval must be at least 1s"
        );
        let of_tokens = [
            ("--auth-audience", !self.audiences.is_empty()),
            ("--auth-scopes", !self.scopes.is_empty()),
            ("--auth-jwks-url", self.jwks_url.is_some()),
        ];
        for (option, is_set) in of_tokens {
            anyhow::ensure!(!is_set || self.issuer.is_some(), "{option} needs --auth-issuer");
        }
        let is_limited = self.requests_per_second_max.is_some();
        anyhow::ensure!(
            !is_limited || has_certificates || self.has_credentials(),
            "--max-requests-per-second needs --auth-keys, --auth-issuer or --tls-client-ca"
        );
        if self.issuer.is_some() {
            anyhow::ensure!(!self.audiences.is_empty(), "--auth-issuer needs --auth-audience");
            anyhow::ensure!(self.public_url.is_some(), "--auth-issuer needs --public-url");
        }
        let is_scope_byte = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        for scope in &self.scopes {
            let is_scope = !scope.is_empty() && scope.bytes().all(is_scope_byte);
            anyhow::ensure!(is_scope, "--auth-scopes: `{scope}` is not a scope");
        }
        if let Some(url) = &self.public_url {
            anyhow::ensure!(
                is_origin(url),
                "--public-url: expected a scheme and a host, such as `https://mcp.example.com`"
            );
        }
        Ok(())
    }
}

/// Returns whether a URL has a scheme of the web and a host, and nothing else.
fn is_origin(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let is_quotable =
        authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte));
    is_web && is_quotable && url.split_once("://").is_some_and(|(_, rest)| rest == authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(change: impl FnOnce(&mut AuthConfig)) -> String {
        let mut config = AuthConfig {
            issuer: Some("https://a.example".to_owned()),
            audiences: vec!["a".to_owned()],
            public_url: Some("https://mcp.example.com:8443".to_owned()),
            ..AuthConfig::default()
        };
        change(&mut config);
        config.check(false).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn errors_name_the_option() {
        assert_eq!(error(|_| {}), "");
        assert_eq!(error(|config| config.audiences.clear()), "--auth-issuer needs --auth-audience");
        assert_eq!(error(|config| config.public_url = None), "--auth-issuer needs --public-url");
        assert_eq!(error(|config| config.issuer = None), "--auth-audience needs --auth-issuer");
        let limited =
            AuthConfig { requests_per_second_max: Some(NonZeroU32::MIN), ..AuthConfig::default() };
        assert!(limited.check(false).unwrap_err().to_string().contains("--auth-keys"));
        limited.check(true).unwrap();
        assert!(error(|config| config.leeway = Duration::from_secs(61)).contains("--auth-leeway"));
        assert!(error(|config| config.scopes = vec!["a\"b".to_owned()]).contains("--auth-scopes"));
        let error_of_interval = error(|config| config.jwks_interval = Duration::from_millis(999));
        assert_eq!(error_of_interval, "--auth-jwks-interval must be at least 1s");
        assert_eq!(error(|config| config.jwks_interval = Duration::from_secs(1)), "");
        for url in [
            "mcp.example.com",
            "https://mcp.example.com/",
            "https://mcp.example.com/mcp",
            "https://user@mcp.example.com",
            "ftp://mcp.example.com",
            "",
        ] {
            let error = error(|config| config.public_url = Some(url.to_owned()));
            assert!(error.contains("--public-url"), "{url}: {error}");
        }
    }
}
