//! Timeouts of the client's requests.

use std::collections::VecDeque;

use rejoin_core::{Instant, RequestId, StreamId};

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
        is_due.then(|| self.requests.pop_front()).flatten()
    }
}
