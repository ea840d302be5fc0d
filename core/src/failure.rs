//! Failures: placeholders for responses that will never arrive.

use crate::RequestId;

/// A constant-size event in place of a response that will never arrive.
///
/// The driver sends it as a JSON-RPC error for the request `id`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Failure {
    /// The id of the client's request.
    pub id: RequestId,
    /// Why the request has no response.
    pub reason: FailureReason,
}

/// Why a request has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum FailureReason {
    /// The response was larger than `message_bytes_max`, or was evicted from the log.
    Evicted,
    /// The client resumed after the retention of the response.
    Expired,
    /// The stream had no connection for too long, so the request was cancelled.
    Orphaned,
    /// The backend has exited.
    BackendGone,
    /// The session was closed.
    SessionClosed,
}
