//! Failures: what stands in the place of a response that there will not be.

use crate::RequestId;

/// A constant-size event in place of a response: which request has none, and why.
///
/// The driver renders it as a JSON-RPC error, for the request `id`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Failure {
    /// The client's request.
    pub id: RequestId,
    /// Why it has no response.
    pub reason: FailureReason,
}

/// Why a request has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum FailureReason {
    /// The response was larger than a message may be, or did not fit into the log.
    Evicted,
    /// The client came back for the response after its retention.
    Expired,
    /// Nobody was connected for too long, so the request was cancelled.
    Orphaned,
    /// The backend is gone.
    BackendGone,
    /// The session was closed.
    SessionClosed,
}
