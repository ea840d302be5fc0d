//! How long requests of the client may take.

use std::collections::VecDeque;

use rejoin_core::{Instant, RequestId, StreamId};

/// When the requests of a session are due, the earliest first.
#[derive(Debug, Default)]
pub(super) struct TimedRequest {
    /// Those that are pending, and some that were answered: at most twice as many as may
    /// be pending.
    requests: VecDeque<Request>,
}

/// A request, which its stream tells from an earlier one of the same id.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub(super) deadline: Instant,
    pub(super) stream: StreamId,
    pub(super) id: RequestId,
}

impl TimedRequest {
    /// Adds a request that is due no earlier than any other. Where there are `many`, those
    /// go that are not pending any more.
    pub(super) fn add(
        &mut self,
        request: Request,
        many: usize,
        is_pending: impl Fn(&Request) -> bool,
    ) {
        if self.requests.len() >= many {
            self.requests.retain(is_pending);
        }
        self.requests.push_back(request);
    }

    /// Returns when the first one is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.requests.front().map(|request| request.deadline)
    }

    /// Takes out the first one, if it is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Request> {
        let is_due = self.requests.front().is_some_and(|request| request.deadline <= now);
        is_due.then(|| self.requests.pop_front()).flatten()
    }
}
