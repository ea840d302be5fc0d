//! Validation of a configuration, and its timeouts as a session uses them.

use alloc::sync::Arc;
use core::{ops::Deref, time::Duration};

use thiserror::Error;

use super::Config;
use crate::time::Timeout;

/// A validated [`Config`]. Cheap to clone, so that sessions share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidConfig(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    config: Config,
    timeouts: Timeouts,
}

/// The timeouts of a [`Config`], precomputed for adding to an instant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub(crate) retention: Timeout,
    pub(crate) tombstone: Timeout,
    pub(crate) cancelled: Timeout,
    pub(crate) init: Timeout,
    pub(crate) idle: Timeout,
    pub(crate) orphan: Timeout,
    pub(crate) delivery: Timeout,
    pub(crate) server_request: Timeout,
    pub(crate) stall: StallTimeout,
    pub(crate) hold: Timeout,
    pub(crate) stall_disconnect: Timeout,
}

/// The range of the stall timeout in nanoseconds. `u64::MAX` means that readers never stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StallTimeout {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

impl ValidConfig {
    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.0.timeouts
    }
}

impl Deref for ValidConfig {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.0.config
    }
}

/// Maximum limit in bytes, so that sums of a few limits fit into a `usize`.
pub(crate) const BYTES_MAX: usize = usize::MAX / 8;

/// What is wrong with a [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A limit that must be at least 1 is 0.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// A timeout is zero. Use `None` for a timeout that never expires.
    #[error("{0} must be greater than zero")]
    ZeroTimeout(&'static str),
    /// A limit in bytes is so large that sums could overflow.
    #[error("{0} must be at most {max}", max = BYTES_MAX)]
    TooLarge(&'static str),
    /// `stall_timeout_min` is longer than `stall_timeout_max`.
    #[error("stall_timeout_min must be at most stall_timeout_max")]
    StallTimeout,
    /// `stall_disconnect_timeout` is not longer than `stall_timeout_max`.
    #[error("stall_disconnect_timeout must be longer than stall_timeout_max")]
    StallDisconnectTimeout,
}

impl Config {
    /// Validates the configuration.
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] that names the first field that is out of range.
    pub fn validate(self) -> Result<ValidConfig, ConfigError> {
        let limits = [
            (self.window_events_max as usize, "window_events_max"),
            (self.streams_max, "streams_max"),
            (self.pending_requests_max, "pending_requests_max"),
            (self.connections_max, "connections_max"),
        ];
        for (limit, name) in limits {
            if limit == 0 {
                return Err(ConfigError::Zero(name));
            }
        }
        let sizes = [
            (self.message_bytes_max, "message_bytes_max"),
            (self.stream_bytes_max, "stream_bytes_max"),
            (self.session_bytes_max, "session_bytes_max"),
        ];
        for (size, name) in sizes {
            if size > BYTES_MAX {
                return Err(ConfigError::TooLarge(name));
            }
        }
        let timeouts = [
            (self.tombstone_timeout, "tombstone_timeout"),
            (self.cancelled_timeout, "cancelled_timeout"),
            (self.init_timeout, "init_timeout"),
            (self.idle_timeout, "idle_timeout"),
            (self.orphan_timeout, "orphan_timeout"),
            (self.delivery_timeout, "delivery_timeout"),
            (self.server_request_timeout, "server_request_timeout"),
            (Some(self.stall_timeout_min), "stall_timeout_min"),
            (self.stall_timeout_max, "stall_timeout_max"),
            (self.hold_timeout, "hold_timeout"),
            (self.stall_disconnect_timeout, "stall_disconnect_timeout"),
        ];
        for (timeout, name) in timeouts {
            if timeout == Some(Duration::ZERO) {
                return Err(ConfigError::ZeroTimeout(name));
            }
        }
        if self.stall_timeout_max.is_some_and(|max| max < self.stall_timeout_min) {
            return Err(ConfigError::StallTimeout);
        }
        match (self.stall_timeout_max, self.stall_disconnect_timeout) {
            (Some(timeout), Some(limit)) if limit <= timeout => {
                Err(ConfigError::StallDisconnectTimeout)
            }
            _ => {
                let timeouts = self.timeouts();
                Ok(ValidConfig(Arc::new(Inner { config: self, timeouts })))
            }
        }
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts {
            retention: self.retention.into(),
            tombstone: self.tombstone_timeout.into(),
            cancelled: self.cancelled_timeout.into(),
            init: self.init_timeout.into(),
            idle: self.idle_timeout.into(),
            orphan: self.orphan_timeout.into(),
            delivery: self.delivery_timeout.into(),
            server_request: self.server_request_timeout.into(),
            stall: StallTimeout {
                min: Timeout::from(Some(self.stall_timeout_min)).nanos(),
                max: Timeout::from(self.stall_timeout_max).nanos(),
            },
            hold: self.hold_timeout.into(),
            stall_disconnect: self.stall_disconnect_timeout.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_names_the_value_out_of_range() {
        let zero = Some(Duration::ZERO);
        let wrong: [(Config, &str); 17] = [
            (
                Config { window_events_max: 0, ..Config::default() },
                "window_events_max must be at least 1",
            ),
            (Config { streams_max: 0, ..Config::default() }, "streams_max must be at least 1"),
            (
                Config { pending_requests_max: 0, ..Config::default() },
                "pending_requests_max must be at least 1",
            ),
            (
                Config { connections_max: 0, ..Config::default() },
                "connections_max must be at least 1",
            ),
            (
                Config { tombstone_timeout: zero, ..Config::default() },
                "tombstone_timeout must be greater than zero",
            ),
            (
                Config { cancelled_timeout: zero, ..Config::default() },
                "cancelled_timeout must be greater than zero",
            ),
            (
                Config { init_timeout: zero, ..Config::default() },
                "init_timeout must be greater than zero",
            ),
            (
                Config { idle_timeout: zero, ..Config::default() },
                "idle_timeout must be greater than zero",
            ),
            (
                Config { orphan_timeout: zero, ..Config::default() },
                "orphan_timeout must be greater than zero",
            ),
            (
                Config { delivery_timeout: zero, ..Config::default() },
                "delivery_timeout must be greater than zero",
            ),
            (
                Config { server_request_timeout: zero, ..Config::default() },
                "server_request_timeout must be greater than zero",
            ),
            (
                Config { stall_timeout_min: Duration::ZERO, ..Config::default() },
                "stall_timeout_min must be greater than zero",
            ),
            (
                Config { stall_timeout_max: zero, ..Config::default() },
                "stall_timeout_max must be greater than zero",
            ),
            (
                Config { hold_timeout: zero, ..Config::default() },
                "hold_timeout must be greater than zero",
            ),
            (
                Config { stall_timeout_min: Duration::from_secs(11), ..Config::default() },
                "stall_timeout_min must be at most stall_timeout_max",
            ),
            (
                Config { stall_disconnect_timeout: zero, ..Config::default() },
                "stall_disconnect_timeout must be greater than zero",
            ),
            (
                Config {
                    stall_disconnect_timeout: Some(Duration::from_secs(10)),
                    ..Config::default()
                },
                "stall_disconnect_timeout must be longer than stall_timeout_max",
            ),
        ];
        for (config, error) in wrong {
            assert_eq!(alloc::string::ToString::to_string(&config.validate().unwrap_err()), error);
        }
    }

    #[test]
    fn byte_limit_that_could_overflow_is_rejected() {
        let config = Config { message_bytes_max: usize::MAX, ..Config::default() };
        assert_eq!(config.validate(), Err(ConfigError::TooLarge("message_bytes_max")));
    }

    #[test]
    fn zero_is_valid_where_it_is_documented() {
        let config = Config {
            retention: Some(Duration::ZERO),
            stream_events_max: 0,
            stream_bytes_max: 0,
            session_bytes_max: 0,
            shadows_max: 0,
            retained_unacknowledged_max: 0,
            retained_acknowledged_max: 0,
            tombstones_max: 0,
            cancelled_requests_max: 0,
            server_requests_max: 0,
            batch_max: 0,
            message_bytes_max: 0,
            ..Config::default()
        };
        assert!(config.validate().is_ok());
    }
}
