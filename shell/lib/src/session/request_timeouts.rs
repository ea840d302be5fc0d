//! Timeouts of the client's requests.

use std::collections::VecDeque;

use rejoin_core::{EventId, Head, Input, Instant, Message, Overflow, RequestId, StreamId};

use super::{capacity::shrink_deque, state::LockedSession};
use crate::{
    observer::{RequestEnd, SessionEvent},
    payload::{Payload, ServerPayload as _},
};

/// The deadlines of a session's requests, the earliest first.
#[derive(Debug, Default)]
pub(super) struct RequestTimeouts {
    /// Pending requests, and some that were answered: at most twice the maximum of pending
    /// requests.
    requests: VecDeque<TimedRequest>,
}

/// A request with a deadline. Its stream distinguishes it from earlier ones of the same id.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TimedRequest {
    pub(super) deadline: Instant,
    pub(super) stream: StreamId,
    pub(super) id: RequestId,
}

impl RequestTimeouts {
    /// Adds a request whose deadline is not before any other. From a length of `prune_at` on,
    /// requests that are not pending are removed first.
    pub(super) fn add(
        &mut self,
        request: TimedRequest,
        prune_at: usize,
        is_pending: impl Fn(&TimedRequest) -> bool,
    ) {
        if self.requests.len() >= prune_at {
            self.requests.retain(is_pending);
            shrink_deque(&mut self.requests);
        }
        self.requests.push_back(request);
    }

    /// Returns the earliest deadline.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.requests.front().map(|request| request.deadline)
    }

    /// Removes and returns the first request, if it is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<TimedRequest> {
        let is_due = self.requests.front().is_some_and(|request| request.deadline <= now);
        let due = is_due.then(|| self.requests.pop_front()).flatten();
        shrink_deque(&mut self.requests);
        due
    }
}

impl<P: Payload> LockedSession<'_, P> {
    /// Starts the timeouts of requests that were accepted.
    pub(super) fn start_request_timeouts(&mut self, ids: &[RequestId], deadline: Instant) {
        let state = &mut *self.state;
        let core = &state.core;
        let prune_at = core.config().pending_requests_max.saturating_mul(2);
        for id in ids {
            if let Some(stream) = core.stream_of(id) {
                let request = TimedRequest { deadline, stream, id: id.clone() };
                let is_pending =
                    |request: &TimedRequest| core.stream_of(&request.id) == Some(request.stream);
                state.request_timeouts.get_or_insert_default().add(request, prune_at, is_pending);
            }
        }
    }

    /// Fails the requests that have timed out, and sends the backend a cancellation for each.
    pub(super) fn time_out_requests(&mut self) {
        let Some(timeout) = self.session.shared.config.request_timeout else { return };
        let now = self.now();
        while let Some(timeouts) = &mut self.state.request_timeouts
            && let Some(TimedRequest { stream, id, .. }) = timeouts.pop_due(now)
        {
            if self.state.core.stream_of(&id) != Some(stream) {
                continue;
            }
            self.after_unlock.events.push(SessionEvent::RequestTimedOut { request: id.clone() });
            self.note_end(&id, RequestEnd::TimedOut);
            self.send_to_backend(P::cancellation(&id));
            let text = format!("the server did not answer within {timeout:?}");
            let body = P::error_for_client(&id, &text);
            let bytes = body.bytes();
            let message = Message { head: Head::Error { id: Some(id) }, body, bytes };
            let before = self.last_event(stream);
            // Only rejected if the session is closed.
            self.apply(Input::BackendMessage { message, related: None, overflow: Overflow::Evict });
            if let Some(error) = self.last_event(stream).filter(|last| Some(*last) != before) {
                self.note_timeout(error);
            }
        }
    }

    /// Returns the last event of a stream.
    fn last_event(&self, stream: StreamId) -> Option<EventId> {
        let stream = self.state.core.streams().find(|summary| summary.id == stream)?;
        Some(EventId { stream: stream.id, index: stream.last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::capacity::CAPACITY_MIN;

    #[test]
    fn the_memory_of_a_burst_is_given_back() {
        let add = |timeouts: &mut RequestTimeouts, id: i64| {
            let (deadline, stream) = (Instant::default(), StreamId::Standalone);
            let request = TimedRequest { deadline, stream, id: id.into() };
            timeouts.add(request, 1_000, |_| false);
        };
        let mut timeouts = RequestTimeouts::default();
        for id in 0..1_001 {
            add(&mut timeouts, id);
        }
        assert_eq!(timeouts.requests.len(), 1, "those that are not pending are pruned");
        for id in 0..1_000 {
            add(&mut timeouts, id);
        }
        while timeouts.pop_due(Instant::default()).is_some() {}
        assert!(timeouts.requests.capacity() <= CAPACITY_MIN);
    }
}
