//! What a manager is held to, beyond what each session is.

use std::time::Duration;

use rejoin_core::{Config, ConfigError, ValidConfig};
use thiserror::Error;

/// The limits and timeouts of a manager, and of each of its sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagerConfig {
    /// What each session is held to.
    pub session: Config,
    /// How many sessions there are, with those whose servers have not ended yet: at least 1,
    /// 10,000 by default.
    pub sessions_max: usize,
    /// How many sessions the clients at one address have, where it is known: `None`, as
    /// many as there may be, by default. An IPv6 network of 64 bits counts as one address.
    /// Set it where clients that do not trust each other can connect: without it, one of them
    /// can take all places.
    pub sessions_per_ip_max: Option<usize>,
    /// How long a session lives on that has made no request but `initialize` and `ping` and has
    /// no connection: 60 s by default. Where there are too many sessions, the oldest of these
    /// ends at once.
    pub unused_timeout: Option<Duration>,
    /// How many messages of a client wait for its backend: 64 by default, and at least
    /// as many as a batch may have.
    pub queue_max: usize,
    /// How long a message waits for room in that queue, and a new session for the end of the
    /// server of one that is over: 5 s by default. Where all sessions go on, a new one waits for
    /// 250 ms at most.
    pub queue_timeout: Duration,
    /// How long a backend may take to answer a request of the client: `None`, as long as it
    /// likes, by default. Then the client gets an error, and the backend a cancellation.
    /// Progress does not extend it. `initialize` has `Config::init_timeout`.
    ///
    /// Specification: MCP 2025-11-25, Lifecycle, "Timeouts".
    pub request_timeout: Option<Duration>,
    /// How deep the JSON of a message may be nested, the message itself included: 128
    /// levels by default. Receivers that recurse fail on more.
    pub json_depth_max: usize,
    /// How long a backend may take to open: 30 s by default.
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
    pub(super) fn validate(&self) -> Result<ValidConfig, ManagerConfigError> {
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
            return Err(ManagerConfigError::ZeroSessionsPerPeer);
        }
        let queue_min = self.session.batch_max.max(1);
        if self.queue_max < queue_min || self.queue_max > QUEUE_LIMIT {
            return Err(ManagerConfigError::Queue { min: queue_min, max: QUEUE_LIMIT });
        }
        Ok(self.session.clone().validate()?)
    }
}

/// More than this is no queue any more.
const QUEUE_LIMIT: usize = 1 << 20;

/// Which setting is wrong. The caller is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ManagerConfigError {
    /// A limit or timeout of the sessions is wrong.
    #[error(transparent)]
    Session(#[from] ConfigError),
    /// A timeout would end everything at once.
    #[error("{0} must be longer than zero")]
    ZeroTimeout(&'static str),
    /// No session would be allowed.
    #[error("sessions_max must be at least 1")]
    ZeroSessions,
    /// No client would be allowed a session.
    #[error("sessions_per_ip_max must be at least 1")]
    ZeroSessionsPerPeer,
    /// The queue could not take a whole batch, or is too long.
    #[error("queue_max must be at least {min}, which is what batch_max allows, and at most {max}")]
    Queue {
        /// The least that is allowed.
        min: usize,
        /// The most that is allowed.
        max: usize,
    },
}
