//! Requests of a POST whose client has nothing to come back by.

use bytes::Bytes;
use rejoin_core::{Head, Message, Post, RequestId};
use smallvec::SmallVec;

use super::{refusal::Refusal, sse};
use crate::{ClientMessage, SseEvent};

/// The ids of the requests of a POST, until its client was sent the response, or an event id to resume
/// after.
#[derive(Debug)]
pub(super) struct Unanswered(SmallVec<[RequestId; 1]>);

impl Unanswered {
    pub(super) fn new(post: &Post<ClientMessage>) -> Self {
        Self(match post {
            Post::Single(message) => request_id(message).into_iter().collect(),
            Post::Batch(messages) => messages.iter().filter_map(request_id).collect(),
        })
    }

    /// Returns whether a client that was sent these events has an event id, or a response.
    pub(super) fn is_settled_by(events: &[SseEvent]) -> bool {
        // Without a log message, a gap is only a comment.
        events.iter().any(|event| !matches!(event, SseEvent::Gap { notification: None, .. }))
    }

    /// Returns an error for each request, because its response is lost, as the last events of the
    /// response.
    pub(super) fn fail(&self, refusal: &Refusal) -> Bytes {
        let event = |id| SseEvent::Message { id: None, data: refusal.error_for(id) };
        sse::write(&self.0.iter().map(event).collect::<Vec<_>>())
    }
}

/// Returns the id of a message, if it is a request.
pub(super) fn request_id<M>(message: &Message<M>) -> Option<RequestId> {
    match &message.head {
        Head::Request { id, .. } => Some(id.clone()),
        Head::Notification(_) | Head::Response { .. } | Head::Error { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use rejoin_core::{EventId, StreamId};

    use super::*;

    #[test]
    fn a_gap_without_a_log_message_settles_nothing() {
        let id = EventId::new(StreamId::Request(0), 1);
        let gap = |notification| SseEvent::Gap { id, first: 1, notification };
        let priming = SseEvent::Priming { id, retry: None };
        assert!(!Unanswered::is_settled_by(&[]));
        assert!(!Unanswered::is_settled_by(&[gap(None)]));
        assert!(Unanswered::is_settled_by(&[gap(Some(Bytes::new()))]));
        assert!(Unanswered::is_settled_by(&[gap(None), priming]));
    }
}
