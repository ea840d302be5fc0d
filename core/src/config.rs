//! What a session may hold, and for how long.

use alloc::sync::Arc;
use core::{ops::Deref, time::Duration};

use thiserror::Error;

use crate::time::Timeout;

/// The limits, timeouts and policies of a session.
///
/// A limit of 0 means none of the thing, where it is allowed at all. A timeout
/// of `None` never strikes. Change what you need of the [`Default`] and call
/// [`Config::validate`].
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
    /// How many events a connection holds that were not taken: at least 1, 16 by default.
    pub window_events_max: u32,
    /// How much all connections of a session hold that was not taken, in bytes: 8 MiB by
    /// default. One event of each connection may be more than that.
    ///
    /// Every event counts for its size and [`EVENT_OVERHEAD_BYTES`](crate::EVENT_OVERHEAD_BYTES).
    pub window_bytes_max: usize,
    /// How many request streams are reserved, open, or complete and still being
    /// sent: at least 1, 1,024 by default.
    pub streams_max: usize,
    /// How many client requests are in flight: at least 1, 1,024 by default. Cancelled ones
    /// count only where there are more than `cancelled_requests_max`.
    pub pending_requests_max: usize,
    /// How many connections there are, draining ones included: at least 1, 2,048 by default.
    pub connections_max: usize,
    /// How many requests of the backend wait for the client's answer: 1,024 by default.
    pub server_requests_max: usize,
    /// How many messages a batch has: 64 by default.
    pub batch_max: usize,
    /// How large a message is, in bytes: 16 MiB by default, which is the file of 5 MB that
    /// a server gives twice and escaped.
    ///
    /// A larger response is replaced by a failure.
    pub message_bytes_max: usize,

    /// How many events the log of one stream holds: 1,000 by default.
    pub stream_events_max: usize,
    /// How much the log of one stream holds, in bytes: 1 MiB by default.
    ///
    /// Every event counts for its size and [`EVENT_OVERHEAD_BYTES`](crate::EVENT_OVERHEAD_BYTES).
    /// One event may be larger, if it is the only one: a response of 16 MiB still waits
    /// for its reader. What a reader has still to take may be more, too, and stays when it
    /// leaves, until the next event comes; that has the limit of the session only.
    pub stream_bytes_max: usize,
    /// How much all logs of a session hold, in bytes, counted the same way: 24 MiB by default,
    /// so that the largest message leaves room for others. One event may be larger, if it is
    /// the only one, unless this is 0.
    ///
    /// With what was taken, they hold three quarters of it. The last quarter is for what readers
    /// have still to take, and for messages that arrive before their senders wait.
    pub session_bytes_max: usize,

    /// How many shadows the standalone stream has: 32 by default.
    pub shadows_max: usize,
    /// What becomes of a GET without an id while another one is connected: a shadow by default.
    pub concurrent_get: ConcurrentGet,
    /// When a connection begins with a priming event: by revision, by default.
    pub priming: Priming,
    /// Where a message of the backend goes that names no client request: the
    /// standalone stream by default.
    pub unrelated_routing: UnrelatedRouting,

    /// For how many requests complete streams are retained whose end was not
    /// taken: 1,024 by default. A stream of a batch counts for each of its requests.
    pub retained_unacknowledged_max: usize,
    /// For how many requests complete streams are retained whose end was taken,
    /// counted likewise: 64 by default.
    pub retained_acknowledged_max: usize,
    /// For how many answers tombstones are kept, and at least one each: 4,096 by default.
    pub tombstones_max: usize,
    /// How many cancelled requests may be unanswered, their ids reserved, beside those in
    /// flight: 1,024 by default. More of them take places of `pending_requests_max`; with 0, every
    /// cancelled request keeps its place.
    pub cancelled_requests_max: usize,

    /// How long a complete stream is retained; zero is allowed. 60 s by default.
    pub retention: Option<Duration>,
    /// How long a tombstone is kept: 10 min by default.
    pub tombstone_timeout: Option<Duration>,
    /// How long the id of a cancelled request is reserved, unless the backend answers after
    /// all: 60 s by default. A backend that obeys never answers, so a client can cancel
    /// `cancelled_requests_max` requests in this time before they take places of `pending_requests_max`.
    pub cancelled_timeout: Option<Duration>,
    /// How long it may take from creation to the answer to `initialize`: 60 s by default.
    pub init_timeout: Option<Duration>,
    /// How long a session lives on without a word of its client, a request in flight or a
    /// connection: 5 min by default.
    pub idle_timeout: Option<Duration>,
    /// How long a request stays in flight without a connection: 10 min by default.
    pub orphan_timeout: Option<Duration>,
    /// How long a request of the backend waits for a connection: 10 s by default, from the
    /// time at which a client that was told to come back later does so.
    pub delivery_timeout: Option<Duration>,
    /// How long a request of the backend that was delivered waits for the client's
    /// answer: 1 h by default, since a person may have to give it.
    pub server_request_timeout: Option<Duration>,
    /// How long a reserved stream waits for its request: 10 s by default.
    pub reservation_timeout: Option<Duration>,
    /// How long any reader may take nothing and still hold up the backend: 1 s by default.
    ///
    /// How long one may in fact follows from the pauses that it has made, as a
    /// retransmission timer follows the round trip.
    pub stall_timeout_min: Duration,
    /// How long no reader may take nothing and still hold up the backend: 10 s by default,
    /// and at least `stall_timeout_min`. A reader that has shown nothing yet may as long.
    pub stall_timeout_max: Option<Duration>,
    /// How long a reader may take nothing and still hold up the backend while other requests
    /// are pending: `None` by default, for a backend whose senders wait each for itself. Where
    /// all of them share one way, such as a pipe, the others wait as long.
    pub hold_timeout: Option<Duration>,
    /// How long a reader may take nothing and stay connected: 60 s by default;
    /// longer than `stall_timeout_max`.
    pub stall_disconnect_timeout: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window_events_max: 16,
            window_bytes_max: 8 << 20,
            streams_max: 1_024,
            pending_requests_max: 1_024,
            connections_max: 2_048,
            server_requests_max: 1_024,
            batch_max: 64,
            message_bytes_max: 16 << 20,
            stream_events_max: 1_000,
            stream_bytes_max: 1 << 20,
            session_bytes_max: 24 << 20,
            shadows_max: 32,
            concurrent_get: ConcurrentGet::Shadow,
            priming: Priming::ByRevision,
            unrelated_routing: UnrelatedRouting::Standalone,
            retained_unacknowledged_max: 1_024,
            retained_acknowledged_max: 64,
            tombstones_max: 4_096,
            cancelled_requests_max: 1_024,
            retention: Some(Duration::from_secs(60)),
            tombstone_timeout: Some(Duration::from_secs(600)),
            cancelled_timeout: Some(Duration::from_secs(60)),
            init_timeout: Some(Duration::from_secs(60)),
            idle_timeout: Some(Duration::from_secs(300)),
            orphan_timeout: Some(Duration::from_secs(600)),
            delivery_timeout: Some(Duration::from_secs(10)),
            server_request_timeout: Some(Duration::from_secs(3_600)),
            reservation_timeout: Some(Duration::from_secs(10)),
            stall_timeout_min: Duration::from_secs(1),
            stall_timeout_max: Some(Duration::from_secs(10)),
            hold_timeout: None,
            stall_disconnect_timeout: Some(Duration::from_secs(60)),
        }
    }
}

/// What becomes of a GET without an id while another one carries the standalone stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ConcurrentGet {
    /// It becomes a shadow, the first to take over.
    Shadow,
    /// It takes over, and the other one becomes a shadow.
    TakeOver,
    /// It is rejected.
    Reject,
}

/// When a connection begins with a priming event, and may end with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Priming {
    /// Where the negotiated revision expects it.
    ByRevision,
    /// In every session.
    Always,
    /// In none.
    Never,
}

/// Where a request or log message of the backend goes that names no client request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum UnrelatedRouting {
    /// To the standalone stream.
    Standalone,
    /// To the stream of the sole request in flight, else to the standalone
    /// stream: for a backend that cannot say what its messages belong to.
    SoleRequest,
}

/// A [`Config`] that was found valid: cheap to clone, shared by its sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidConfig(Arc<Checked>);

#[derive(Debug, PartialEq, Eq)]
struct Checked {
    config: Config,
    timeouts: Timeouts,
}

/// The timeouts of a [`Config`], ready to be added to an instant.
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
    pub(crate) reservation: Timeout,
    pub(crate) stall: StallTimeout,
    pub(crate) hold: Timeout,
    pub(crate) stall_disconnect: Timeout,
}

/// Between what a reader may take nothing and still hold up the backend, in nanoseconds;
/// `u64::MAX` means that a reader never stalls.
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

/// The highest limit in bytes: sums of a few of them still fit into a `usize`.
pub(crate) const BYTES_MAX: usize = usize::MAX / 8;

/// Says what is wrong with a [`Config`]. Whoever configures is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A limit is 0 that must be at least 1.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// A timeout is zero; `None` is never, and shortest is 1 ns.
    #[error("{0} must be longer than zero")]
    ZeroTimeout(&'static str),
    /// A limit in bytes is so large that sums of it would overflow.
    #[error("{0} must be at most {max}", max = BYTES_MAX)]
    TooLarge(&'static str),
    /// `stall_timeout_min` is longer than `stall_timeout_max`.
    #[error("stall_timeout_min must be at most stall_timeout_max")]
    StallTimeout,
    /// `stall_disconnect_timeout` is not longer than `stall_timeout_max`.
    #[error("stall_disconnect_timeout must be longer than stall_timeout_max")]
    StallLimit,
}

impl Config {
    /// Checks the configuration.
    ///
    /// # Errors
    ///
    /// Names the first setting that is out of range.
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
            (self.window_bytes_max, "window_bytes_max"),
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
            (self.reservation_timeout, "reservation_timeout"),
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
            (Some(timeout), Some(limit)) if limit <= timeout => Err(ConfigError::StallLimit),
            _ => {
                let timeouts = self.timeouts();
                Ok(ValidConfig(Arc::new(Checked { config: self, timeouts })))
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
            reservation: self.reservation_timeout.into(),
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
    fn the_defaults_are_valid() {
        assert!(Config::default().validate().is_ok());
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let zero = Some(Duration::ZERO);
        let wrong: [(Config, &str); 18] = [
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
                "tombstone_timeout must be longer than zero",
            ),
            (
                Config { cancelled_timeout: zero, ..Config::default() },
                "cancelled_timeout must be longer than zero",
            ),
            (
                Config { init_timeout: zero, ..Config::default() },
                "init_timeout must be longer than zero",
            ),
            (
                Config { idle_timeout: zero, ..Config::default() },
                "idle_timeout must be longer than zero",
            ),
            (
                Config { orphan_timeout: zero, ..Config::default() },
                "orphan_timeout must be longer than zero",
            ),
            (
                Config { delivery_timeout: zero, ..Config::default() },
                "delivery_timeout must be longer than zero",
            ),
            (
                Config { server_request_timeout: zero, ..Config::default() },
                "server_request_timeout must be longer than zero",
            ),
            (
                Config { reservation_timeout: zero, ..Config::default() },
                "reservation_timeout must be longer than zero",
            ),
            (
                Config { stall_timeout_min: Duration::ZERO, ..Config::default() },
                "stall_timeout_min must be longer than zero",
            ),
            (
                Config { stall_timeout_max: zero, ..Config::default() },
                "stall_timeout_max must be longer than zero",
            ),
            (
                Config { hold_timeout: zero, ..Config::default() },
                "hold_timeout must be longer than zero",
            ),
            (
                Config { stall_timeout_min: Duration::from_secs(11), ..Config::default() },
                "stall_timeout_min must be at most stall_timeout_max",
            ),
            (
                Config { stall_disconnect_timeout: zero, ..Config::default() },
                "stall_disconnect_timeout must be longer than zero",
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
    fn a_limit_that_could_overflow_is_named() {
        let config = Config { message_bytes_max: usize::MAX, ..Config::default() };
        assert_eq!(config.validate(), Err(ConfigError::TooLarge("message_bytes_max")));
    }

    #[test]
    fn the_defaults_are_what_is_documented() {
        let config = Config::default();
        let limits = [
            (config.window_events_max as usize, 16),
            (config.window_bytes_max, 8_388_608),
            (config.streams_max, 1_024),
            (config.pending_requests_max, 1_024),
            (config.connections_max, 2_048),
            (config.server_requests_max, 1_024),
            (config.batch_max, 64),
            (config.message_bytes_max, 16_777_216),
            (config.stream_events_max, 1_000),
            (config.stream_bytes_max, 1_048_576),
            (config.session_bytes_max, 25_165_824),
            (config.shadows_max, 32),
            (config.retained_unacknowledged_max, 1_024),
            (config.retained_acknowledged_max, 64),
            (config.tombstones_max, 4_096),
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
            (config.reservation_timeout, 10.0),
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
    fn no_retention_is_allowed_and_so_is_none_of_what_may_be_missing() {
        let config = Config {
            retention: Some(Duration::ZERO),
            stream_events_max: 0,
            stream_bytes_max: 0,
            session_bytes_max: 0,
            shadows_max: 0,
            window_bytes_max: 0,
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
