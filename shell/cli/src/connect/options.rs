//! Options of `rejoin connect`.

use std::{env, fmt, path::PathBuf, str::FromStr};

use clap::Args;
use http::{HeaderName, HeaderValue, Uri, header};

use crate::config::{LogFormat, LogLevel};

/// The arguments of `rejoin connect`.
#[derive(Args)]
pub(crate) struct Connect {
    /// URL of the server: http or https
    url: ServerUrl,
    /// Header for every request; `${NAME}` in the value is an environment variable
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<Header>,
    /// File with a bearer token, which is read again when the server refuses the token
    #[arg(long, value_name = "FILE")]
    bearer_file: Option<PathBuf>,
    /// File with certificates in PEM to trust besides those of the system
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Format of the log, which is written to stderr
    #[arg(long, default_value = "human", env = "REJOIN_LOG_FORMAT", hide_env = true)]
    log_format: LogFormat,
    /// Log level: off, error, warn, info, debug or trace
    ///
    /// Also per module, as in `info,rejoin=debug`. Falls back to `RUST_LOG`.
    #[arg(long, value_name = "LEVEL", env = "REJOIN_LOG_LEVEL", hide_env = true)]
    log_level: Option<LogLevel>,
}

/// The configuration of `rejoin connect`.
#[derive(Debug)]
pub(crate) struct ConnectConfig {
    pub(super) url: Uri,
    pub(super) headers: Vec<Header>,
    pub(super) bearer_file: Option<PathBuf>,
    pub(super) ca: Option<PathBuf>,
    pub(super) log_format: LogFormat,
    pub(super) log_level: LogLevel,
}

impl Connect {
    /// Checks the arguments together.
    ///
    /// # Errors
    ///
    /// The user is at fault. The error names the option.
    pub(crate) fn resolve(self) -> anyhow::Result<ConnectConfig> {
        let sets_authorization =
            self.headers.iter().any(|header| header.name == header::AUTHORIZATION);
        anyhow::ensure!(
            self.bearer_file.is_none() || !sets_authorization,
            "--bearer-file and --header Authorization=… exclude each other"
        );
        let log_level = match self.log_level {
            Some(level) => level,
            None => LogLevel::from_environment()?.unwrap_or_default(),
        };
        Ok(ConnectConfig {
            url: self.url.0,
            headers: self.headers,
            bearer_file: self.bearer_file,
            ca: self.ca,
            log_format: self.log_format,
            log_level,
        })
    }
}

/// The URL of a server.
#[derive(Clone, Debug)]
struct ServerUrl(Uri);

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("expected a URL that begins with `http://` or `https://`".to_owned());
        }
        let authority = uri.authority().map(http::uri::Authority::as_str);
        if authority.is_none_or(|authority| authority.contains('@')) {
            return Err("expected a URL without a user name; use --header or --bearer-file".into());
        }
        Ok(Self(uri))
    }
}

/// A header for every request.
#[derive(Clone)]
pub(crate) struct Header {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
}

/// Headers that the program sets itself.
const RESERVED: [&str; 10] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-protocol-version",
    "mcp-session-id",
    "transfer-encoding",
    "upgrade",
];

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) =
            text.split_once('=').ok_or("expected NAME=VALUE, such as `X-Api-Key=123`")?;
        let name: HeaderName =
            name.trim().parse().map_err(|_| format!("`{name}` is not a header name"))?;
        if RESERVED.contains(&name.as_str()) {
            return Err(format!("the header `{name}` is set by rejoin itself"));
        }
        let value = expand(value.trim(), |variable| env::var(variable).ok())?;
        // Not part of the error, because it may be a secret.
        let mut value: HeaderValue =
            value.parse().map_err(|_| format!("the value of `{name}` is not a header value"))?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Header").field(&self.name).finish()
    }
}

/// Replaces each `${NAME}` by the value of a variable.
fn expand(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or("a `${` has no `}`")?;
        expanded.push_str(before);
        let value = variable(name);
        expanded.push_str(
            &value.ok_or_else(|| format!("the environment variable `{name}` is not set"))?,
        );
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_urls_are_accepted() {
        for text in ["https://mcp.example.com/mcp", "http://127.0.0.1:8848/mcp?x=1"] {
            assert_eq!(text.parse::<ServerUrl>().unwrap().0, text);
        }
        for text in ["ftp://a/", "/mcp", "localhost:8848", "", "http://", "https://user:pw@host/"] {
            assert!(text.parse::<ServerUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn headers_have_a_name_and_a_value_that_is_not_shown() {
        let header: Header = "X-Api-Key=a=b".parse().unwrap();
        assert_eq!((header.name.as_str(), header.value.as_bytes()), ("x-api-key", &b"a=b"[..]));
        assert!(header.value.is_sensitive());
        assert_eq!(format!("{header:?}"), "Header(\"x-api-key\")");
        for (text, named) in [
            ("X-Api-Key", "NAME=VALUE"),
            ("a b=c", "`a b`"),
            ("Mcp-Session-Id=x", "`mcp-session-id`"),
            ("a=secret\u{7f}", "value of `a`"),
        ] {
            let error = text.parse::<Header>().unwrap_err();
            assert!(error.contains(named) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn variables_are_expanded() {
        let expand = |text| expand(text, |name| (name == "A").then(|| "1".to_owned()));
        assert_eq!(expand("x ${A}${A} $A").unwrap(), "x 11 $A");
        assert!(expand("${B}").unwrap_err().contains("`B`"));
        assert!(expand("${A").is_err());
    }
}
