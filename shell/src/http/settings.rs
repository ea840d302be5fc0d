//! What the HTTP service is held to.

use std::time::Duration;

use thiserror::Error;

use super::allow::{Hosts, Origins};

/// The settings of [`StreamableHttp`](super::StreamableHttp).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// After how long without an event a stream gets a comment, so that whatever
    /// stands between does not take it for dead: 15 s by default, `None` is never.
    pub keep_alive: Option<Duration>,
    /// After how long a connection is ended that carries a stream which goes on, so that
    /// its client comes back on a new one: `None`, never, by default. It helps where
    /// something in between cuts connections that are held for long.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Sending Messages to the Server".
    pub recycle_after: Option<Duration>,
    /// When such a client is to come back: after 1 s by default.
    pub recycle_retry: Duration,
    /// How large the body of a request is, in bytes: 4 MiB by default.
    pub body_bytes_max: usize,
    /// How much memory all bodies together take that are being received, in bytes:
    /// 256 MiB by default, and at least as much as one may.
    pub bodies_bytes_max: usize,
    /// How long a client may take to send the body of a request: 30 s by default.
    pub body_timeout: Duration,
    /// By which names clients may call this server: `localhost` and the loopback
    /// addresses by default. A name stands for all its ports, unless it has one;
    /// `*` stands for all names.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Security Warning".
    pub hosts: Vec<String>,
    /// From which origins web pages may call this server, as `scheme://host`, for all
    /// ports, or `scheme://host:port`: those of the loopback by default. `*` stands
    /// for all. A client that is no web page has no origin, and is not asked.
    pub origins: Vec<String>,
    /// Whether web pages of allowed origins may read the answers (CORS): yes by default.
    pub cors: bool,
    /// Whether calls are answered by one JSON object where that is possible, also to
    /// clients that know SSE: no by default.
    pub json_responses: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        let loopback = ["localhost", "127.0.0.1", "[::1]"];
        let origins = ["http", "https"].map(|scheme| loopback.map(|h| format!("{scheme}://{h}")));
        Self {
            keep_alive: Some(Duration::from_secs(15)),
            recycle_after: None,
            recycle_retry: Duration::from_secs(1),
            body_bytes_max: 4 << 20,
            bodies_bytes_max: 256 << 20,
            body_timeout: Duration::from_secs(30),
            hosts: loopback.map(String::from).into(),
            origins: origins.into_iter().flatten().collect(),
            cors: true,
            json_responses: false,
        }
    }
}

/// Which setting is wrong. The caller is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HttpSettingsError {
    /// A host cannot be one.
    #[error("hosts: `{0}` is no host name, host name with port, or `*`")]
    Host(String),
    /// An origin cannot be one.
    #[error("origins: `{0}` is no origin like `https://example.com`, or `*`")]
    Origin(String),
    /// The largest body would never be received.
    #[error("bodies_bytes_max must be at least body_bytes_max")]
    Bodies,
    /// A timeout would end everything at once.
    #[error("{0} must be longer than zero")]
    ZeroTimeout(&'static str),
}

/// Settings that were found valid.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) settings: HttpSettings,
    pub(super) hosts: Hosts,
    pub(super) origins: Origins,
}

impl HttpSettings {
    pub(super) fn check(self) -> Result<Checked, HttpSettingsError> {
        if self.keep_alive == Some(Duration::ZERO) {
            return Err(HttpSettingsError::ZeroTimeout("keep_alive"));
        }
        if self.recycle_after == Some(Duration::ZERO) {
            return Err(HttpSettingsError::ZeroTimeout("recycle_after"));
        }
        if self.bodies_bytes_max < self.body_bytes_max {
            return Err(HttpSettingsError::Bodies);
        }
        if self.body_timeout.is_zero() {
            return Err(HttpSettingsError::ZeroTimeout("body_timeout"));
        }
        let hosts = Hosts::read(&self.hosts).map_err(HttpSettingsError::Host)?;
        let origins = Origins::read(&self.origins).map_err(HttpSettingsError::Origin)?;
        Ok(Checked { settings: self, hosts, origins })
    }
}
