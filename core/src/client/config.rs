//! Configuration of the client machine: limits and timeouts.

mod valid;

use core::time::Duration;

pub use self::valid::{ClientConfigError, ValidClientConfig};

/// The limits and timeouts of a [`Client`](super::Client). Start from the [`Default`], set fields,
/// and call [`ClientConfig::validate`].
///
/// A limit of 0 allows none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientConfig {
    /// Maximum pending requests of the application. Default 256, minimum 1.
    pub requests_max: usize,
    /// Maximum messages that the server has not accepted yet. Default 1,024, minimum 1.
    pub queued_max: usize,
    /// Maximum total size in bytes of the messages that the server has not accepted yet. Default
    /// 32 MiB, minimum `message_bytes_max`.
    pub queued_bytes_max: usize,
    /// Maximum size of a message of the application in bytes. Default 4 MiB.
    pub message_bytes_max: usize,
    /// Maximum requests of the server without a response. Default 256.
    pub server_requests_max: usize,
    /// Event ids that each stream remembers, to recognize what the server sends again. Default
    /// 256, minimum 1.
    pub event_ids_max: usize,
    /// Maximum size of an event id in bytes. Default 1,024.
    ///
    /// A stream with a longer one cannot be resumed.
    pub event_id_bytes_max: usize,
    /// Maximum size of a session id in bytes. Default 1,024, minimum 1.
    pub session_id_bytes_max: usize,
    /// Maximum exchanges that are read to their end although nothing is pending on them. Default
    /// 16.
    pub lingering_max: usize,
    /// The first delay before something is tried again. Default 250 ms.
    ///
    /// The delay doubles with each attempt that fails, and has a jitter: it is between one half
    /// and the whole of its nominal value, which is at least 1 ms.
    pub backoff_min: Duration,
    /// Maximum delay that the machine chooses. Default 30 s, minimum `backoff_min`.
    pub backoff_max: Duration,
    /// Maximum delay that a server can ask for with `retry:`. Default 5 min.
    pub retry_max: Duration,
    /// How long sending a message is retried that the server has not executed: no connection could be
    /// made, the server asked the client to retry later, or there is no session. Default 60 s.
    pub send_timeout: Duration,
    /// How long the resumption of a pending request is tried, since the server was last reached.
    /// Default 5 min.
    pub resume_timeout: Duration,
    /// How long the response to the DELETE of a session is awaited. Default 3 s.
    pub close_timeout: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            requests_max: 256,
            queued_max: 1_024,
            queued_bytes_max: 32 << 20,
            message_bytes_max: 4 << 20,
            server_requests_max: 256,
            event_ids_max: 256,
            event_id_bytes_max: 1_024,
            session_id_bytes_max: 1_024,
            lingering_max: 16,
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_secs(30),
            retry_max: Duration::from_secs(300),
            send_timeout: Duration::from_secs(60),
            resume_timeout: Duration::from_secs(300),
            close_timeout: Duration::from_secs(3),
        }
    }
}
