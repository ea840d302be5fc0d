//! What an operator wants to know of a session.

use std::time::Duration;

use rejoin_core::ProtocolVersion;

use super::SessionHandle;
use crate::payload::Payload;

/// A session at one time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionStats {
    /// Time since its creation.
    pub age: Duration,
    /// Name and version of the client, truncated. Only with an observer.
    pub client: Option<Box<str>>,
    /// The negotiated protocol version, once it is initialized.
    pub revision: Option<ProtocolVersion>,
    /// The process that serves it, if there is one.
    pub process: Option<i32>,
    /// Number of requests of the client that are pending.
    pub pending_requests: usize,
    /// Number of open connections.
    pub connections: usize,
    /// Size of the events that it keeps, in bytes.
    pub kept_bytes: usize,
}

impl<P: Payload> SessionHandle<P> {
    /// Returns what an operator wants to know of the session; `None` if it is closed.
    #[must_use]
    pub fn stats(&self) -> Option<SessionStats> {
        self.inner().stats()
    }
}
