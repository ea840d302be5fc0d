//! The initialization of a new backend, in place of one that was lost with its process.

use std::sync::Arc;

use rejoin_core::{Head, IdValue, Initialized};

use super::{inner::SessionInner, state::LockedSession};
use crate::{payload::Payload, sync::oneshot};

/// The id of the `initialize` request that a new backend gets. That of the client may be in use again.
pub(crate) const HANDSHAKE_ID: &str = "rejoin-reopen";

impl<P: Payload> SessionInner<P> {
    /// Sends `initialize` to a new backend. Returns what it negotiates; `None` if it responds with an
    /// error.
    pub(crate) fn begin_handshake(
        self: &Arc<Self>,
        initialize: P::Client,
    ) -> oneshot::Receiver<Option<Initialized>> {
        let (sender, answer) = oneshot::channel();
        self.with_lock((), |locked| {
            locked.state.handshake = Some(sender);
            locked.send_to_backend(initialize);
        });
        answer
    }

    /// Completes the initialization of a new backend.
    pub(crate) fn end_handshake(self: &Arc<Self>, initialized: P::Client) {
        self.with_lock((), |locked| locked.send_to_backend(initialized));
    }
}

impl<P: Payload> LockedSession<'_, P> {
    /// Takes the response to the `initialize` request of a new backend. Returns whether it was one.
    pub(super) fn take_handshake(&mut self, head: &Head) -> bool {
        if self.state.handshake.is_none() {
            return false;
        }
        let (id, initialized) = match head {
            Head::Response { id, initialized, .. } => (id, Some(*initialized)),
            Head::Error { id: Some(id) } => (id, None),
            Head::Request { .. } | Head::Notification(_) | Head::Error { id: None } => {
                return false;
            }
        };
        if !matches!(id.value(), IdValue::Text(text) if **text == *HANDSHAKE_ID) {
            return false;
        }
        if let Some(handshake) = self.state.handshake.take() {
            // An error means that nobody waits any more.
            let _ = handshake.send(initialized);
        }
        true
    }
}
