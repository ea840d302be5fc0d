//! POSTs of a client: what they mean to a session beyond their messages.

use bytes::Bytes;
use rejoin_core::{AnswerFormat, ConnectionId, Head, Input, Post, Rejection, RequestId};
use smallvec::SmallVec;

use super::client_messages::QueuePermits;
use super::state::LockedSession;
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
        let requests = timeout.map(|timeout| (timeout, request_ids(&post)));
        self.handle(Input::Post { connection, format, post }, Some(permits))?;
        if uses_session {
            self.mark_used();
        }
        if let Some((timeout, ids)) = requests {
            self.start_request_timeouts(&ids, self.now().saturating_add(timeout));
        }
        Ok(())
    }
}

fn request_ids(post: &Post<Bytes>) -> SmallVec<[RequestId; 1]> {
    let ids = post.messages().iter().filter_map(|message| match &message.head {
        Head::Request { id, .. } => Some(id.clone()),
        Head::Notification(_) | Head::Response { .. } | Head::Error { .. } => None,
    });
    ids.collect()
}
