//! POSTs of a client: what they mean to a session beyond their messages.

use rejoin_core::{
    AnswerFormat, ClientFault, ConnectionId, Head, Input, Method, Post, Rejection, RequestId,
};
use smallvec::SmallVec;

use super::{client_messages::QueuePermits, state::LockedSession};
use crate::payload::Payload;

impl<P: Payload> LockedSession<'_, P> {
    /// Handles a POST. If it has a request, `connection` has a buffer.
    pub(super) fn post(
        &mut self,
        connection: ConnectionId,
        post: Post<P::Client>,
        format: AnswerFormat,
        permits: &mut QueuePermits<'_>,
    ) -> Result<(), Rejection> {
        self.check_backend()?;
        #[cfg(feature = "store")]
        if self.is_handed_over() && post.has_request() {
            return Err(Rejection::Draining);
        }
        if let Some(initialize) = initialize(&post) {
            self.note_initialize(initialize);
        }
        let uses_session = uses_session(&post);
        let timeout = self.session.shared.config.request_timeout;
        let requests = timeout.map(|timeout| {
            let ids: SmallVec<[RequestId; 1]> = post.request_ids().cloned().collect();
            (timeout, ids)
        });
        let begun = self.observe_begin(&post);
        let handled = self.handle(Input::Post { connection, format, post }, Some(permits));
        self.observe_begun(connection, begun, handled.is_ok());
        handled?;
        if uses_session {
            self.mark_used();
        }
        if let Some((timeout, ids)) = requests {
            self.start_request_timeouts(&ids, self.now().saturating_add(timeout));
        }
        Ok(())
    }

    fn note_initialize(&mut self, initialize: &P::Client) {
        if let Some(client) = client_name::<P>(initialize) {
            self.state.client = Some(client);
        }
        #[cfg(feature = "store")]
        self.keep_initialize(initialize);
    }

    /// Checks whether a connection may be reserved. It has a buffer already.
    pub(super) fn check_reserve(&mut self) -> Result<(), Rejection> {
        self.check_backend()?;
        let max = self.state.core.config().connections_max;
        let buffers = self.state.buffers.len();
        let core = self.core();
        if let Some(reason) = core.close_reason() {
            return Err(Rejection::Closed(reason));
        }
        if core.initialized().is_none() {
            return Err(ClientFault::NotInitialized.into());
        }
        if buffers > max { Err(ClientFault::TooManyConnections { max }.into()) } else { Ok(()) }
    }

    /// Returns whether a connection is open, and waits for its request.
    pub(super) fn is_reserved(&mut self, connection: ConnectionId) -> bool {
        let buffer = self.state.buffers.get_mut(connection);
        let is_open = buffer.is_some_and(|buffer| !buffer.is_closed());
        is_open && self.core().cursor(connection).is_none()
    }
}

/// Returns the `initialize` request of a POST, if it is one.
fn initialize<C>(post: &Post<C>) -> Option<&C> {
    let Post::Single(message) = post else { return None };
    let Head::Request { method: Method::Initialize { .. }, .. } = &message.head else {
        return None;
    };
    Some(&message.body)
}

/// Returns the name and version of the client in its `initialize` request, truncated for the log.
fn client_name<P: Payload>(initialize: &P::Client) -> Option<Box<str>> {
    let name = P::client_name(initialize)?;
    let end = name.floor_char_boundary(CLIENT_NAME_BYTES_MAX);
    Some(name.get(..end)?.trim().into())
}

/// Maximum number of bytes that are logged of a client's name and version.
const CLIENT_NAME_BYTES_MAX: usize = 100;

/// Returns whether a POST has a request other than `ping`, which does not count as use of the
/// session.
fn uses_session<C>(post: &Post<C>) -> bool {
    post.messages().iter().any(|message| match &message.head {
        Head::Request { method, .. } => *method != Method::Ping,
        Head::Notification(_) | Head::Response { .. } | Head::Error { .. } => false,
    })
}
