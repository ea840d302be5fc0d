//! What the HTTP service is held to.

use std::time::Duration;

use http::HeaderName;
use thiserror::Error;

use super::allow::{Hosts, Origins};

/// The settings of [`StreamableHttp`](super::StreamableHttp).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// After how long without an event a stream gets a comment, so that whatever
    /// stands between does not take it for dead: 15 s by default, `None` is never.
    pub sse_keep_alive: Option<Duration>,
    /// After how long a connection is ended that carries a stream which goes on, so that
    /// its client comes back on a new one: `None`, never, by default. It helps where
    /// something in between cuts connections that are held for long.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Sending Messages to the Server".
    pub reconnect_after: Option<Duration>,
    /// When such a client is to come back: after 1 s by default.
    pub reconnect_delay: Duration,
    /// How large the body of a request is, in bytes: 4 MiB by default.
    pub body_bytes_max: usize,
    /// How much memory all messages of clients together take while they are received and
    /// until their backends have taken them, in bytes: 256 MiB by default, and at least as
    /// much as one may. A session has a quarter of it, clients without a session have one
    /// together, and an eighth is for small messages.
    pub request_memory_max: usize,
    /// How long a client may take to send the body of a request: 30 s by default.
    pub body_timeout: Duration,
    /// By which names clients may call this server, beside `localhost` and the loopback
    /// addresses, which are always allowed: none by default. A name is allowed with every
    /// port, unless it has one; `*.example.com` allows every subdomain; `*` every name.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Security Warning".
    pub hosts: Vec<String>,
    /// Whether clients may call this server by any IP address: no by default. An address
    /// cannot be rebound by DNS, so it is safe for a server that listens on all addresses.
    pub any_ip_host: bool,
    /// From which origins web pages may call this server, as `scheme://host`, for all
    /// ports, or `scheme://host:port`: none by default. `*` allows all. The origins of the
    /// loopback, of [`hosts`](Self::hosts) and of the server itself are always allowed. A
    /// client that is not a web page sends no origin.
    pub origins: Vec<String>,
    /// The header in which a proxy in front says which address a request comes from, such as
    /// `X-Forwarded-For`: none by default. Its last entry is taken, which the proxy itself
    /// has added. Without a proxy that adds it, every client may say what it likes.
    ///
    /// Where there is none, the [`PeerAddress`](super::PeerAddress) of the request is taken.
    pub client_ip_header: Option<HeaderName>,
    /// Whether web pages of allowed origins may read the answers (CORS): yes by default.
    pub cors: bool,
    /// Whether calls are answered by one JSON object where that is possible, also to
    /// clients that know SSE: no by default.
    pub json_responses: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            sse_keep_alive: Some(Duration::from_secs(15)),
            reconnect_after: None,
            reconnect_delay: Duration::from_secs(1),
            body_bytes_max: 4 << 20,
            request_memory_max: 256 << 20,
            body_timeout: Duration::from_secs(30),
            hosts: Vec::new(),
            any_ip_host: false,
            origins: Vec::new(),
            client_ip_header: None,
            cors: true,
            json_responses: false,
        }
    }
}

/// The longest timer of a web page.
const RETRY_MILLIS_MAX: u64 = i32::MAX as u64;

/// Which setting is wrong. The caller is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HttpConfigError {
    /// A pattern for hosts can never match; the text says why.
    #[error("hosts: {0}")]
    Host(String),
    /// A pattern for origins can never match; the text says why.
    #[error("origins: {0}")]
    Origin(String),
    /// The largest body would never be received.
    #[error("request_memory_max must be at least body_bytes_max")]
    RequestMemory,
    /// A client could not count to the time when it is to come back.
    #[error(
        "reconnect_delay must be at most {RETRY_MILLIS_MAX} ms, which is the longest timer of a web page"
    )]
    ReconnectDelay,
    /// A timeout would end everything at once.
    #[error("{0} must be longer than zero")]
    ZeroTimeout(&'static str),
}

/// Settings that were found valid.
#[derive(Debug)]
pub(super) struct ValidHttpConfig {
    pub(super) config: HttpConfig,
    pub(super) hosts: Hosts,
    pub(super) origins: Origins,
}

impl HttpConfig {
    pub(super) fn validate(self) -> Result<ValidHttpConfig, HttpConfigError> {
        if self.sse_keep_alive == Some(Duration::ZERO) {
            return Err(HttpConfigError::ZeroTimeout("keep_alive"));
        }
        if self.reconnect_after == Some(Duration::ZERO) {
            return Err(HttpConfigError::ZeroTimeout("reconnect_after"));
        }
        if self.reconnect_delay > Duration::from_millis(RETRY_MILLIS_MAX) {
            return Err(HttpConfigError::ReconnectDelay);
        }
        if self.request_memory_max < self.body_bytes_max {
            return Err(HttpConfigError::RequestMemory);
        }
        if self.body_timeout.is_zero() {
            return Err(HttpConfigError::ZeroTimeout("body_timeout"));
        }
        let hosts = Hosts::parse(&self.hosts, self.any_ip_host).map_err(HttpConfigError::Host)?;
        let origins = Origins::parse(&self.origins).map_err(HttpConfigError::Origin)?;
        Ok(ValidHttpConfig { config: self, hosts, origins })
    }
}
