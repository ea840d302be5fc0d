//! A message of a client, as its backend receives it.

use std::{fmt, ops::Deref, sync::Arc};

use bytes::Bytes;
use rejoin_core::RequestId;

use crate::observer::ObservedRequest;

/// A message of a client: the bytes of its JSON, in one line, and the HTTP request that it came
/// with.
///
/// A message of the session itself came with no request.
#[derive(Clone)]
pub struct ClientMessage {
    bytes: Bytes,
    #[cfg(feature = "http")]
    parts: Option<Arc<http::request::Parts>>,
    /// What an observer is told of it, if that is known already.
    observed: Option<Arc<ObservedRequest>>,
}

impl ClientMessage {
    /// Returns the bytes of the JSON.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Returns the HTTP request that the message came with: its headers, and the extensions that
    /// the server and its middleware have added, such as [`PeerAddress`](crate::PeerAddress). If another
    /// process has passed the request on, it has no other extensions than that and the
    /// [`Principal`](crate::Principal).
    #[cfg(feature = "http")]
    #[must_use]
    pub fn parts(&self) -> Option<&http::request::Parts> {
        self.parts.as_deref()
    }

    /// Sets the HTTP request that the message came with, for a service other than
    /// [`StreamableHttp`](crate::StreamableHttp).
    #[cfg(feature = "http")]
    #[must_use]
    pub fn with_parts(self, parts: Arc<http::request::Parts>) -> Self {
        Self { parts: Some(parts), ..self }
    }

    /// Sets what an observer is told of it.
    #[cfg(feature = "http")]
    pub(crate) fn set_observed(&mut self, observed: Arc<ObservedRequest>) {
        self.observed = Some(observed);
    }

    /// Returns what an observer is told of it.
    pub(crate) fn observed(&self, id: &RequestId) -> Arc<ObservedRequest> {
        self.observed.clone().unwrap_or_else(|| Arc::new(ObservedRequest::parse(id, &self.bytes)))
    }
}

impl From<Bytes> for ClientMessage {
    fn from(bytes: Bytes) -> Self {
        Self {
            bytes,
            #[cfg(feature = "http")]
            parts: None,
            observed: None,
        }
    }
}

impl Deref for ClientMessage {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Shows the bytes alone: the headers have secrets.
impl fmt::Debug for ClientMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientMessage").field(&self.bytes).finish()
    }
}
