//! Configuration of a manager and its sessions: limits and timeouts beyond those of the core.

use std::time::Duration;

use rejoin_core::{Config, ConfigError, ValidConfig};
use thiserror::Error;

/// The limits and timeouts of a manager, and of each of its sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagerConfig {
    /// Limits, timeouts and policies of each session.
    pub session: Config,
    /// Maximum number of sessions, including closed ones whose servers have not exited yet.
    /// Default 10,000, minimum 1.
    pub sessions_max: usize,
    /// Maximum number of sessions of the clients at one address, where the address is known.
    /// Default `None`, unlimited. A /64 network of IPv6 counts as one address.
    ///
    /// Set it if clients that do not trust each other can connect: without it, one of them can
    /// use up `sessions_max`.
    pub sessions_per_ip_max: Option<usize>,
    /// Time after which a session is closed that has no connection and has made no request but
    /// `initialize` and `ping`. Default 60 s. At `sessions_max`, the oldest of these sessions is
    /// closed at once.
    pub unused_timeout: Option<Duration>,
    /// Maximum number of messages of a client that wait for its backend. Default 64, minimum
    /// `batch_max`.
    pub queue_max: usize,
    /// Maximum time that a message waits for space in that queue, and a new session for the exit
    /// of the server of a closed one. Default 5 s. If no such server is running, a new session
    /// waits for at most 250 ms.
    pub queue_timeout: Duration,
    /// Time after which a pending request fails with an error, and is cancelled at the backend.
    /// Default `None`, unlimited. Progress does not extend it. `initialize` has its own
    /// `Config::init_timeout`.
    ///
    /// Specification: MCP 2025-11-25, Lifecycle, "Timeouts".
    pub request_timeout: Option<Duration>,
    /// Maximum nesting depth of the JSON of a message, including the message itself. Default 128.
    /// Recursive parsers fail on deep nesting.
    pub json_depth_max: usize,
    /// Maximum time for a backend to open. Default 30 s.
    pub start_timeout: Duration,
}

impl Default for ManagerConfig {
    fn default() -> Self {
        Self {
            session: Config::default(),
            sessions_max: 10_000,
            sessions_per_ip_max: None,
            unused_timeout: Some(Duration::from_secs(60)),
            queue_max: 64,
            queue_timeout: Duration::from_secs(5),
            request_timeout: None,
            json_depth_max: 128,
            start_timeout: Duration::from_secs(30),
        }
    }
}

impl ManagerConfig {
    pub(crate) fn validate(&self) -> Result<ValidConfig, ManagerConfigError> {
        if self.sessions_max == 0 {
            return Err(ManagerConfigError::ZeroSessions);
        }
        if self.request_timeout == Some(Duration::ZERO) {
            return Err(ManagerConfigError::ZeroTimeout("request_timeout"));
        }
        if self.unused_timeout == Some(Duration::ZERO) {
            return Err(ManagerConfigError::ZeroTimeout("unused_timeout"));
        }
        if self.sessions_per_ip_max == Some(0) {
            return Err(ManagerConfigError::ZeroSessionsPerIp);
        }
        let queue_min = self.session.batch_max.max(1);
        if self.queue_max < queue_min || self.queue_max > QUEUE_LIMIT {
            return Err(ManagerConfigError::Queue { min: queue_min, max: QUEUE_LIMIT });
        }
        Ok(self.session.clone().validate()?)
    }
}

/// Maximum of `queue_max`.
const QUEUE_LIMIT: usize = 1 << 20;

/// An invalid [`ManagerConfig`]. The caller is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ManagerConfigError {
    /// The configuration of the sessions is invalid.
    #[error(transparent)]
    Session(#[from] ConfigError),
    /// A timeout is zero.
    #[error("{0} must be greater than zero")]
    ZeroTimeout(&'static str),
    /// `sessions_max` is zero.
    #[error("sessions_max must be at least 1")]
    ZeroSessions,
    /// `sessions_per_ip_max` is zero.
    #[error("sessions_per_ip_max must be at least 1")]
    ZeroSessionsPerIp,
    /// `queue_max` is less than `batch_max`, or too large.
    #[error("queue_max must be at least {min}, the value of batch_max, and at most {max}")]
    Queue {
        /// The minimum.
        min: usize,
        /// The maximum.
        max: usize,
    },
}
