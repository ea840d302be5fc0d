//! Configuration of the HTTP service.

use std::time::Duration;

use http::HeaderName;
use thiserror::Error;

use super::allow::{Hosts, Origins};

/// The configuration of [`StreamableHttp`](super::StreamableHttp).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpConfig {
    /// Interval between keep-alive comments on an SSE connection without events, so that proxies do
    /// not consider it dead. Default 15 s; `None` disables them.
    pub sse_keep_alive: Option<Duration>,
    /// Time after which the connection of an open stream is closed, so that its client reconnects
    /// and resumes. Default `None`, never. It helps if a proxy cuts long-lived connections.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Sending Messages to the Server".
    pub reconnect_after: Option<Duration>,
    /// Time after which such a client should reconnect: the `retry:` field. Default 1 s.
    pub reconnect_delay: Duration,
    /// Maximum size of a request body, in bytes. Default 4 MiB, at most a quarter of
    /// [`memory_bytes_max`](crate::ManagerConfig::memory_bytes_max).
    pub body_bytes_max: usize,
    /// Maximum time for a client to send a request body. Default 30 s.
    pub body_timeout: Duration,
    /// Allowed values of `Host`, besides `localhost` and the loopback addresses, which are always
    /// allowed. Default none. An entry without a port allows every port; `*.example.com` allows
    /// every subdomain; `*` allows every host.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Security Warning".
    pub hosts: Vec<String>,
    /// Whether any IP address is allowed as `Host`. Default `false`. It is safe for a server that
    /// listens on all addresses, because an address cannot be rebound by DNS.
    pub any_ip_host: bool,
    /// Allowed values of `Origin`, as `scheme://host`, for all ports, or `scheme://host:port`.
    /// Default none; `*` allows every origin. The origins of the loopback interface, of
    /// [`hosts`](Self::hosts) and of the server itself are always allowed. Clients other than web
    /// pages send no `Origin`.
    pub origins: Vec<String>,
    /// The header with the client address that a reverse proxy adds, such as `X-Forwarded-For`.
    /// Default `None`. Its last entry is used, which the proxy itself has added. Do not set it
    /// without such a proxy: clients could forge it.
    ///
    /// Without it, the [`PeerAddress`](super::PeerAddress) of the request is used.
    pub client_ip_header: Option<HeaderName>,
    /// Whether to send CORS headers to web pages of allowed origins. Default `true`.
    pub cors: bool,
    /// Whether to respond with a single JSON object where possible, even if the client
    /// accepts SSE. Default `false`.
    pub json_responses: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            sse_keep_alive: Some(Duration::from_secs(15)),
            reconnect_after: None,
            reconnect_delay: Duration::from_secs(1),
            body_bytes_max: 4 << 20,
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

/// The longest timer of a web browser, in milliseconds.
const RETRY_MILLIS_MAX: u64 = i32::MAX as u64;

/// An invalid [`HttpConfig`]. The caller is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HttpConfigError {
    /// An entry of `hosts` is invalid; the text says why.
    #[error("hosts: {0}")]
    Host(String),
    /// An entry of `origins` is invalid; the text says why.
    #[error("origins: {0}")]
    Origin(String),
    /// `body_bytes_max` is more than the memory for messages of clients.
    #[error("body_bytes_max must be at most {max}, a quarter of memory_bytes_max")]
    Body {
        /// The maximum.
        max: usize,
    },
    /// `reconnect_delay` is too long for a web browser.
    #[error(
        "reconnect_delay must be at most {RETRY_MILLIS_MAX} ms, the longest timer of a web browser"
    )]
    ReconnectDelay,
    /// A timeout is zero.
    #[error("{0} must be greater than zero")]
    ZeroTimeout(&'static str),
}

/// A valid configuration, with the allowed hosts and origins parsed.
#[derive(Debug)]
pub(super) struct ValidHttpConfig {
    pub(super) config: HttpConfig,
    pub(super) hosts: Hosts,
    pub(super) origins: Origins,
}

impl HttpConfig {
    pub(super) fn validate(self, memory_max: usize) -> Result<ValidHttpConfig, HttpConfigError> {
        if self.sse_keep_alive == Some(Duration::ZERO) {
            return Err(HttpConfigError::ZeroTimeout("sse_keep_alive"));
        }
        if self.reconnect_after == Some(Duration::ZERO) {
            return Err(HttpConfigError::ZeroTimeout("reconnect_after"));
        }
        if self.reconnect_delay > Duration::from_millis(RETRY_MILLIS_MAX) {
            return Err(HttpConfigError::ReconnectDelay);
        }
        if self.body_bytes_max > memory_max {
            return Err(HttpConfigError::Body { max: memory_max });
        }
        if self.body_timeout.is_zero() {
            return Err(HttpConfigError::ZeroTimeout("body_timeout"));
        }
        let hosts = Hosts::parse(&self.hosts, self.any_ip_host).map_err(HttpConfigError::Host)?;
        let origins = Origins::parse(&self.origins).map_err(HttpConfigError::Origin)?;
        Ok(ValidHttpConfig { config: self, hosts, origins })
    }
}
