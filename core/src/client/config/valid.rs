//! Validation of the configuration of the client machine.

use core::{ops::Deref, time::Duration};

use thiserror::Error;

use super::ClientConfig;
use crate::config::BYTES_MAX;

/// A validated [`ClientConfig`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidClientConfig(ClientConfig);

impl Deref for ValidClientConfig {
    type Target = ClientConfig;

    fn deref(&self) -> &ClientConfig {
        &self.0
    }
}

/// What is wrong with a [`ClientConfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientConfigError {
    /// A limit that must be at least 1 is 0.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// A timeout is zero.
    #[error("{0} must be greater than zero")]
    ZeroTimeout(&'static str),
    /// A limit in bytes is so large that sums could overflow.
    #[error("{0} must be at most {max}", max = BYTES_MAX)]
    TooLarge(&'static str),
    /// `queued_bytes_max` is less than `message_bytes_max`.
    #[error("queued_bytes_max must be at least message_bytes_max")]
    QueuedBytes,
    /// `backoff_min` is longer than `backoff_max`.
    #[error("backoff_min must be at most backoff_max")]
    Backoff,
}

impl ClientConfig {
    /// Validates the configuration.
    ///
    /// # Errors
    ///
    /// Returns a [`ClientConfigError`] that names the first field that is out of range.
    pub fn validate(self) -> Result<ValidClientConfig, ClientConfigError> {
        let limits = [
            (self.requests_max, "requests_max"),
            (self.queued_max, "queued_max"),
            (self.event_ids_max, "event_ids_max"),
            (self.session_id_bytes_max, "session_id_bytes_max"),
        ];
        for (limit, name) in limits {
            if limit == 0 {
                return Err(ClientConfigError::Zero(name));
            }
        }
        let sizes = [
            (self.queued_bytes_max, "queued_bytes_max"),
            (self.message_bytes_max, "message_bytes_max"),
        ];
        for (size, name) in sizes {
            if size > BYTES_MAX {
                return Err(ClientConfigError::TooLarge(name));
            }
        }
        let timeouts = [
            (self.send_timeout, "send_timeout"),
            (self.resume_timeout, "resume_timeout"),
            (self.close_timeout, "close_timeout"),
        ];
        for (timeout, name) in timeouts {
            if timeout == Duration::ZERO {
                return Err(ClientConfigError::ZeroTimeout(name));
            }
        }
        if self.queued_bytes_max < self.message_bytes_max {
            return Err(ClientConfigError::QueuedBytes);
        }
        if self.backoff_min > self.backoff_max {
            return Err(ClientConfigError::Backoff);
        }
        Ok(ValidClientConfig(self))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn error_names_the_value_out_of_range() {
        let zero = Duration::ZERO;
        let valid = ClientConfig::default;
        for (config, error) in [
            (ClientConfig { requests_max: 0, ..valid() }, "requests_max must be at least 1"),
            (ClientConfig { queued_max: 0, ..valid() }, "queued_max must be at least 1"),
            (ClientConfig { event_ids_max: 0, ..valid() }, "event_ids_max must be at least 1"),
            (
                ClientConfig { session_id_bytes_max: 0, ..valid() },
                "session_id_bytes_max must be at least 1",
            ),
            (
                ClientConfig { send_timeout: zero, ..valid() },
                "send_timeout must be greater than zero",
            ),
            (
                ClientConfig { resume_timeout: zero, ..valid() },
                "resume_timeout must be greater than zero",
            ),
            (
                ClientConfig { close_timeout: zero, ..valid() },
                "close_timeout must be greater than zero",
            ),
            (
                ClientConfig { queued_bytes_max: 1, ..valid() },
                "queued_bytes_max must be at least message_bytes_max",
            ),
            (
                ClientConfig { backoff_max: Duration::from_millis(1), ..valid() },
                "backoff_min must be at most backoff_max",
            ),
        ] {
            assert_eq!(config.validate().unwrap_err().to_string(), error);
        }
        for (config, name) in [
            (ClientConfig { queued_bytes_max: usize::MAX, ..valid() }, "queued_bytes_max"),
            (ClientConfig { message_bytes_max: usize::MAX, ..valid() }, "message_bytes_max"),
        ] {
            assert_eq!(config.validate(), Err(ClientConfigError::TooLarge(name)));
        }
    }

    #[test]
    fn defaults_and_zero_where_it_is_documented_are_valid() {
        assert!(ClientConfig::default().validate().is_ok());
        let config = ClientConfig {
            message_bytes_max: 0,
            queued_bytes_max: 0,
            server_requests_max: 0,
            event_id_bytes_max: 0,
            lingering_max: 0,
            backoff_min: Duration::ZERO,
            backoff_max: Duration::ZERO,
            retry_max: Duration::ZERO,
            ..ClientConfig::default()
        };
        assert!(config.validate().is_ok());
    }

    #[test]
    fn defaults_match_their_documentation() {
        let config = ClientConfig::default();
        let limits = [
            (config.requests_max, 256),
            (config.queued_max, 1_024),
            (config.queued_bytes_max, 33_554_432),
            (config.message_bytes_max, 4_194_304),
            (config.server_requests_max, 256),
            (config.event_ids_max, 256),
            (config.event_id_bytes_max, 1_024),
            (config.session_id_bytes_max, 1_024),
            (config.lingering_max, 16),
        ];
        for (limit, documented) in limits {
            assert_eq!(limit, documented);
        }
        let seconds = [
            (config.backoff_min, 0.25),
            (config.backoff_max, 30.0),
            (config.retry_max, 300.0),
            (config.send_timeout, 60.0),
            (config.resume_timeout, 300.0),
            (config.close_timeout, 3.0),
        ];
        for (timeout, documented) in seconds {
            assert!((timeout.as_secs_f64() - documented).abs() < f64::EPSILON, "{documented}");
        }
    }
}
