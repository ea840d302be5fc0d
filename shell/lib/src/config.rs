//! Configuration of a manager and its sessions: limits and timeouts beyond those of the core.

use std::time::Duration;

use rejoin_core::{Config, ConfigError, EVENT_OVERHEAD_BYTES, ValidConfig};
use thiserror::Error;

/// The limits and timeouts of a manager, and of each of its sessions.
///
/// ```
/// use std::time::Duration;
/// use rejoin::ManagerConfig;
///
/// let mut config = ManagerConfig::default();
/// config.sessions_max = 1_000;
/// config.session.idle_timeout = Some(Duration::from_secs(3_600));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    /// Maximum number of sessions of one [`Principal`](crate::Principal). Default `None`, unlimited.
    pub sessions_per_principal_max: Option<usize>,
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
    /// Maximum memory of all sessions together for what clients send and are sent, in bytes.
    /// Default 1 GiB. It must be able to hold one message of
    /// [`message_bytes_max`](Config::message_bytes_max) from a backend.
    ///
    /// - Three quarters are for events that sessions keep for their clients, sent or to be sent. A
    ///   session may keep as much as it leaves free, and no more than
    ///   [`session_bytes_max`](Config::session_bytes_max). An eighth of this is reserved for the
    ///   only event of a session. When memory is short, the sessions that keep the most lose what
    ///   no client is reading. Two kinds of events may exceed the limit: responses to `initialize`,
    ///   and the only event of a session whose sender does not wait, see
    ///   [`Sent`](crate::Sent). A message that waits for room is not counted: at most one line
    ///   of the child process for each session.
    /// - A quarter is for messages of clients, with the heads of their requests, from the first
    ///   byte that the HTTP service receives until the backend has received the message. Each session can use a quarter of that, and
    ///   so can all clients without a session together. An eighth is reserved for small messages.
    pub memory_bytes_max: usize,
    /// Maximum time for a backend to open. Default 30 s.
    pub start_timeout: Duration,
}

impl Default for ManagerConfig {
    fn default() -> Self {
        Self {
            session: Config::default(),
            sessions_max: 10_000,
            sessions_per_ip_max: None,
            sessions_per_principal_max: None,
            unused_timeout: Some(Duration::from_secs(60)),
            queue_max: 64,
            queue_timeout: Duration::from_secs(5),
            request_timeout: None,
            json_depth_max: 128,
            memory_bytes_max: 1 << 30,
            start_timeout: Duration::from_secs(30),
        }
    }
}

impl ManagerConfig {
    /// Returns the configuration of sessions, which commit what they record if there is a store.
    pub(crate) fn validate(&self, has_store: bool) -> Result<ValidConfig, ManagerConfigError> {
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
        if self.sessions_per_principal_max == Some(0) {
            return Err(ManagerConfigError::ZeroSessionsPerPrincipal);
        }
        let queue_min = self.session.batch_max.max(1);
        if self.queue_max < queue_min || self.queue_max > QUEUE_LIMIT {
            return Err(ManagerConfigError::Queue { min: queue_min, max: QUEUE_LIMIT });
        }
        if self.session.commits && !has_store {
            return Err(ManagerConfigError::Commits);
        }
        let mut session = self.session.clone();
        session.commits = has_store;
        let session = session.validate()?;
        let event_bytes_max = session.message_bytes_max.saturating_add(EVENT_OVERHEAD_BYTES);
        if self.kept_memory_max() < event_bytes_max {
            let min = (event_bytes_max - 1).saturating_mul(4) / 3 + 1;
            return Err(ManagerConfigError::Memory { min });
        }
        Ok(session)
    }

    /// Returns the memory for messages of clients.
    pub(crate) fn request_memory_max(&self) -> usize {
        self.memory_bytes_max / 4
    }

    /// Returns the memory for what sessions keep.
    pub(crate) fn kept_memory_max(&self) -> usize {
        self.memory_bytes_max - self.request_memory_max()
    }
}

/// Maximum of `queue_max`.
const QUEUE_LIMIT: usize = 1 << 20;

/// An invalid [`ManagerConfig`]. The caller is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
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
    /// `sessions_per_principal_max` is zero.
    #[error("sessions_per_principal_max must be at least 1")]
    ZeroSessionsPerPrincipal,
    /// `queue_max` is less than `batch_max`, or too large.
    #[error("queue_max must be at least {min}, the value of batch_max, and at most {max}")]
    Queue {
        /// The minimum.
        min: usize,
        /// The maximum.
        max: usize,
    },
    /// `commits` is set, but the manager has no store for the records of its sessions.
    #[error("commits must be false: there is no store for what sessions record")]
    Commits,
    /// `memory_bytes_max` cannot hold a message of `message_bytes_max`.
    #[error("memory_bytes_max must be at least {min}, for a message of message_bytes_max")]
    Memory {
        /// The minimum.
        min: usize,
    },
}

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_commit_need_a_store() {
        let mut config = ManagerConfig::default();
        config.session.commits = true;
        assert_eq!(config.validate(false).err(), Some(ManagerConfigError::Commits));
    }

    #[test]
    fn memory_holds_an_event_of_the_maximum_size() {
        for message_bytes_max in 100..120 {
            let config = |memory_bytes_max| {
                let mut config = ManagerConfig { memory_bytes_max, ..ManagerConfig::default() };
                config.session.message_bytes_max = message_bytes_max;
                config
            };
            let error = config(0).validate(false).err();
            let Some(ManagerConfigError::Memory { min }) = error else { panic!("{error:?}") };
            assert!(config(min).validate(false).is_ok());
            assert_eq!(
                config(min - 1).validate(false).err(),
                Some(ManagerConfigError::Memory { min })
            );
        }
    }
}
