//! Configuration of a session: limits, timeouts and policies.

use alloc::sync::Arc;
use core::{ops::Deref, time::Duration};

use thiserror::Error;

use crate::time::Timeout;

/// The limits, timeouts and policies of a session.
///
/// A limit of 0 allows none, and a timeout of `None` never expires. Start from the [`Default`]
/// and call [`Config::validate`].
///
/// ```
/// use core::time::Duration;
/// use rejoin_core::Config;
///
/// let config = Config {
///     idle_timeout: Some(Duration::from_secs(3_600)),
///     ..Config::default()
/// };
/// let config = config.validate()?;
/// assert_eq!(config.window_events_max, 16);
/// # Ok::<(), rejoin_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// Maximum unacknowledged events per connection. Default 16, minimum 1.
    pub window_events_max: u32,
    /// Maximum request streams that are open, or complete and not retained. Default
    /// 1,024, minimum 1.
    pub streams_max: usize,
    /// Maximum pending requests of the client. Default 1,024, minimum 1.
    ///
    /// Cancelled requests count only beyond [`cancelled_requests_max`](Self::cancelled_requests_max).
    pub pending_requests_max: usize,
    /// Maximum connections, including those that were closed and whose bodies have not ended.
    /// Default 2,048, minimum 1.
    pub connections_max: usize,
    /// Maximum server requests without a response. Default 1,024.
    pub server_requests_max: usize,
    /// Maximum messages per batch. Default 64.
    pub batch_max: usize,
    /// Maximum size of a message in bytes. Default 16 MiB.
    ///
    /// A larger response is replaced by a failure. The default admits a response that contains
    /// a file of 5 MB twice, escaped.
    pub message_bytes_max: usize,

    /// Maximum events in the log of a stream. Default 1,000.
    pub stream_events_max: usize,
    /// Maximum size of the log of a stream in bytes. Default 1 MiB.
    ///
    /// Each event counts for its size and [`EVENT_OVERHEAD_BYTES`](crate::EVENT_OVERHEAD_BYTES).
    /// A single event may be larger, so that a response of 16 MiB still waits for its reader.
    /// Events in flight, and those that a reader has yet to acknowledge, may exceed both limits
    /// of a stream: only the limit of the session applies to them.
    pub stream_bytes_max: usize,
    /// Maximum size in bytes of all events that a session keeps, counted in the same way: in its
    /// logs, and in flight on its connections. Default 32 MiB. A single event may be larger, and
    /// the response to `initialize` comes on top.
    ///
    /// Acknowledged events may use three quarters of it.
    pub session_bytes_max: usize,

    /// Maximum shadows of the standalone stream. Default 32.
    pub shadows_max: usize,
    /// Handling of a GET without an event id while another one is attached. Default
    /// [`ConcurrentGet::Shadow`].
    pub concurrent_get: ConcurrentGet,
    /// Whether connections begin with a priming event. Default [`Priming::ByRevision`].
    pub priming: Priming,
    /// Routing of server requests and log messages that name no request of the client. Default
    /// [`UnrelatedRouting::Standalone`].
    pub unrelated_routing: UnrelatedRouting,

    /// Maximum requests whose complete streams are retained while their end is unacknowledged.
    /// Default 1,024. The stream of a batch counts for each of its requests.
    pub retained_unacknowledged_max: usize,
    /// Maximum requests whose complete streams are retained although their end was
    /// acknowledged. Default 32. The stream of a batch counts for each of its requests.
    ///
    /// An acknowledged response may still be lost with its socket. A client that loses more of
    /// them at once gets errors for the earlier requests when it resumes.
    pub retained_acknowledged_max: usize,
    /// Maximum responses of all tombstones together. Default 512. A tombstone without
    /// responses counts as one response.
    pub tombstones_max: usize,
    /// Maximum cancelled requests without a response that do not count as pending. Default
    /// 1,024. With 0, every cancelled request counts against
    /// [`pending_requests_max`](Self::pending_requests_max).
    pub cancelled_requests_max: usize,

    /// How long a complete stream is retained. Default 60 s; may be zero.
    pub retention: Option<Duration>,
    /// How long a tombstone is kept. Default 10 min.
    pub tombstone_timeout: Option<Duration>,
    /// How long the id of a cancelled request is reserved if the backend does not respond.
    /// Default 60 s.
    ///
    /// A backend that obeys the cancellation never responds. So within this time, a client can
    /// cancel [`cancelled_requests_max`](Self::cancelled_requests_max) requests before they
    /// count as pending.
    pub cancelled_timeout: Option<Duration>,
    /// Maximum time from creation to the response to `initialize`. Default 60 s.
    pub init_timeout: Option<Duration>,
    /// How long a session stays open without an input of its client, a pending request or a
    /// connection. Default 5 min.
    pub idle_timeout: Option<Duration>,
    /// How long a request stays pending while its stream has no connection. Default 10 min.
    pub orphan_timeout: Option<Duration>,
    /// How long a server request waits to be delivered while its stream has no connection.
    /// Default 10 s.
    ///
    /// If the client was sent a retry, the time starts when the retry has passed.
    pub delivery_timeout: Option<Duration>,
    /// How long a delivered server request waits for the client's response. Default 1 h, since
    /// a person may have to give it.
    pub server_request_timeout: Option<Duration>,
    /// Minimum stall timeout of a reader. Default 1 s.
    ///
    /// A reader that acknowledges nothing for its stall timeout no longer holds senders. The
    /// timeout of each reader follows the pauses that it makes, as a retransmission timeout
    /// follows the round-trip time.
    pub stall_timeout_min: Duration,
    /// Maximum stall timeout of a reader, and that of a reader without a measured pause.
    /// Default 10 s, minimum `stall_timeout_min`.
    pub stall_timeout_max: Option<Duration>,
    /// How long a reader that acknowledges nothing holds senders while requests of other
    /// streams are pending. Default `None`.
    ///
    /// Set it if all senders share one channel, such as a pipe, where one that is held blocks
    /// the others.
    pub hold_timeout: Option<Duration>,
    /// How long a connection stays open while its reader acknowledges nothing. Default 60 s;
    /// must be longer than `stall_timeout_max`.
    pub stall_disconnect_timeout: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window_events_max: 16,
            streams_max: 1_024,
            pending_requests_max: 1_024,
            connections_max: 2_048,
            server_requests_max: 1_024,
            batch_max: 64,
            message_bytes_max: 16 << 20,
            stream_events_max: 1_000,
            stream_bytes_max: 1 << 20,
            session_bytes_max: 32 << 20,
            shadows_max: 32,
            concurrent_get: ConcurrentGet::Shadow,
            priming: Priming::ByRevision,
            unrelated_routing: UnrelatedRouting::Standalone,
            retained_unacknowledged_max: 1_024,
            retained_acknowledged_max: 32,
            tombstones_max: 512,
            cancelled_requests_max: 1_024,
            retention: Some(Duration::from_secs(60)),
            tombstone_timeout: Some(Duration::from_secs(600)),
            cancelled_timeout: Some(Duration::from_secs(60)),
            init_timeout: Some(Duration::from_secs(60)),
            idle_timeout: Some(Duration::from_secs(300)),
            orphan_timeout: Some(Duration::from_secs(600)),
            delivery_timeout: Some(Duration::from_secs(10)),
            server_request_timeout: Some(Duration::from_secs(3_600)),
            stall_timeout_min: Duration::from_secs(1),
            stall_timeout_max: Some(Duration::from_secs(10)),
            hold_timeout: None,
            stall_disconnect_timeout: Some(Duration::from_secs(60)),
        }
    }
}

/// Handling of a GET without an event id while another connection is attached to the
/// standalone stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ConcurrentGet {
    /// It becomes a shadow: kept open without events, until it is promoted. The newest one is
    /// promoted first.
    Shadow,
    /// It is attached, and the other one becomes a shadow.
    TakeOver,
    /// It is rejected.
    Reject,
}

/// When a connection begins with a priming event, and may end with one that has a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Priming {
    /// If the negotiated revision has priming events.
    ByRevision,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Routing of server requests and log messages that name no request of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum UnrelatedRouting {
    /// To the standalone stream.
    Standalone,
    /// To the stream of the only pending request, otherwise to the standalone stream. For a
    /// backend that cannot tell which request its messages belong to.
    SoleRequest,
}

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
    fn defaults_are_valid() {
        assert!(Config::default().validate().is_ok());
    }

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
    fn defaults_match_their_documentation() {
        let config = Config::default();
        let limits = [
            (config.window_events_max as usize, 16),
            (config.streams_max, 1_024),
            (config.pending_requests_max, 1_024),
            (config.connections_max, 2_048),
            (config.server_requests_max, 1_024),
            (config.batch_max, 64),
            (config.message_bytes_max, 16_777_216),
            (config.stream_events_max, 1_000),
            (config.stream_bytes_max, 1_048_576),
            (config.session_bytes_max, 33_554_432),
            (config.shadows_max, 32),
            (config.retained_unacknowledged_max, 1_024),
            (config.retained_acknowledged_max, 32),
            (config.tombstones_max, 512),
            (config.cancelled_requests_max, 1_024),
        ];
        for (limit, documented) in limits {
            assert_eq!(limit, documented);
        }
        let seconds = [
            (config.retention, 60.0),
            (config.tombstone_timeout, 600.0),
            (config.cancelled_timeout, 60.0),
            (config.init_timeout, 60.0),
            (config.idle_timeout, 300.0),
            (config.orphan_timeout, 600.0),
            (config.delivery_timeout, 10.0),
            (config.server_request_timeout, 3_600.0),
            (Some(config.stall_timeout_min), 1.0),
            (config.stall_timeout_max, 10.0),
            (config.stall_disconnect_timeout, 60.0),
        ];
        for (timeout, documented) in seconds {
            assert_eq!(timeout.map(|timeout| timeout.as_secs_f64()), Some(documented));
        }
        assert_eq!(config.hold_timeout, None);
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
