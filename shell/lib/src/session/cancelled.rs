//! Cancelled requests that the backend will not respond to.

use std::sync::Arc;

use rejoin_core::{Head, Input, Message, Overflow, RequestId};

use super::inner::SessionInner;
use crate::payload::{Payload, ServerPayload as _};

impl<P: Payload> SessionInner<P> {
    /// Releases the id of a request that was cancelled, as a late response would.
    pub(crate) fn release_cancelled(self: &Arc<Self>, request: &RequestId) {
        self.with_lock((), |locked| {
            if !locked.core().is_reserved(request) {
                return;
            }
            let body = P::error_for_client(request, "cancelled");
            let bytes = body.bytes();
            let message = Message { head: Head::Error { id: Some(request.clone()) }, body, bytes };
            locked.apply(Input::BackendMessage {
                message,
                related: None,
                overflow: Overflow::Evict,
            });
        });
    }
}
