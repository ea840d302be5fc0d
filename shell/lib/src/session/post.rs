//! POSTs of a client: what they mean to a session beyond their messages.

use bytes::Bytes;
use rejoin_core::{AnswerFormat, ClientFault, ConnectionId, Input, Post, Rejection, RequestId};
use smallvec::SmallVec;

use super::{client_messages::QueuePermits, state::LockedSession};
use crate::message;

impl LockedSession<'_> {
    /// Handles a POST. If it has a request, `connection` has a buffer.
    pub(super) fn post(
        &mut self,
        connection: ConnectionId,
        post: Post<Bytes>,
        format: AnswerFormat,
        permits: &mut QueuePermits<'_>,
    ) -> Result<(), Rejection> {
        self.check_backend()?;
        if let Some(client) = message::client_name(&post) {
            self.state.client = Some(client);
        }
        let uses_session = message::uses_session(&post);
        let timeout = self.session.shared.config.request_timeout;
        let requests = timeout.map(|timeout| {
            let ids: SmallVec<[RequestId; 1]> = post.request_ids().cloned().collect();
            (timeout, ids)
        });
        self.handle(Input::Post { connection, format, post }, Some(permits))?;
        if uses_session {
            self.mark_used();
        }
        if let Some((timeout, ids)) = requests {
            self.start_request_timeouts(&ids, self.now().saturating_add(timeout));
        }
        Ok(())
    }

    /// Checks whether a connection may be reserved. It has a buffer already.
    pub(super) fn check_reserve(&mut self) -> Result<(), Rejection> {
        self.check_backend()?;
        let max = self.session.shared.session_config.connections_max;
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
