//! Requests of a POST whose client has nothing to come back by.

use bytes::Bytes;
use rejoin_core::{Head, Message, Post, RequestId};
use smallvec::SmallVec;

use super::{refusal::Refusal, sse};
use crate::{ClientMessage, SseEvent};

/// The ids of the requests of a POST, until an event was sent: then its client has the response, or an
/// event id to resume after.
#[derive(Debug)]
pub(super) struct Unanswered(SmallVec<[RequestId; 1]>);

impl Unanswered {
    pub(super) fn new(post: &Post<ClientMessage>) -> Self {
        let id = |message: &Message<ClientMessage>| match &message.head {
            Head::Request { id, .. } => Some(id.clone()),
            Head::Notification(_) | Head::Response { .. } | Head::Error { .. } => None,
        };
        Self(match post {
            Post::Single(message) => id(message).into_iter().collect(),
            Post::Batch(messages) => messages.iter().filter_map(id).collect(),
        })
    }

    /// Returns an error for each request, because its response is lost, as the last events of the
    /// response.
    pub(super) fn fail(&self, refusal: &Refusal) -> Bytes {
        let event = |id| SseEvent::Message { id: None, data: refusal.error_for(id) };
        sse::write(&self.0.iter().map(event).collect::<Vec<_>>())
    }
}
