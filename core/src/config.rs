//! Configuration of a session: limits, timeouts and policies.

mod valid;

use core::time::Duration;

pub(crate) use self::valid::{BYTES_MAX, StallTimeout};
pub use self::valid::{ConfigError, ValidConfig};

/// The limits, timeouts and policies of a session.
///
/// A limit of 0 allows none, and a timeout of `None` never expires. Start from the [`Default`],
/// set fields, and call [`Config::validate`].
///
/// ```
/// use core::time::Duration;
/// use rejoin_core::Config;
///
/// let mut config = Config::default();
/// config.idle_timeout = Some(Duration::from_secs(3_600));
/// let config = config.validate()?;
/// assert_eq!(config.window_events_max, 16);
/// # Ok::<(), rejoin_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
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
    /// must be longer than `stall_timeout_max`. While a message waits for room, or the session
    /// shrinks, it is cut earlier: once its reader has stopped.
    pub stall_disconnect_timeout: Option<Duration>,
    /// Whether the session reports the end of requests, the expiry of streams, and stalled readers:
    /// see [`Report`](crate::Report). Default `false`.
    #[cfg_attr(feature = "serde", serde(default))]
    pub activity_reports: bool,
    /// Whether what is recorded has to be committed before it is sent, so that another process can
    /// go on with the session: see [`Action::Commit`](crate::Action::Commit). Default `false`.
    #[cfg_attr(feature = "serde", serde(default))]
    pub commits: bool,
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
            activity_reports: false,
            commits: false,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert!(Config::default().validate().is_ok());
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
        assert!(!config.activity_reports && !config.commits);
    }
}
