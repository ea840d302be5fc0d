//! Requests whose answer seems to stand behind other text in its line.
//!
//! Such a line is an answer that follows text without a line feed, or a log line that quotes an
//! answer. The two look the same, so the request fails only if no other answer follows soon.

use std::{collections::VecDeque, future::pending, time::Duration};

use rejoin_core::RequestId;
use tokio::time::{Instant, sleep_until};

/// How long another answer may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The most requests that are remembered: as many as may be pending by default.
const REQUESTS_MAX: usize = 1_024;

/// The requests of one session, in the order of their deadlines.
#[derive(Debug, Default)]
pub(super) struct UncertainRequests {
    /// At most [`REQUESTS_MAX`].
    requests: VecDeque<(Instant, RequestId)>,
}

impl UncertainRequests {
    /// Remembers a request. One that is remembered already keeps its deadline.
    pub(super) fn add(&mut self, request: RequestId) {
        let is_known = self.requests.iter().any(|(_, known)| *known == request);
        if !is_known && self.requests.len() < REQUESTS_MAX {
            self.requests.push_back((Instant::now() + RESPONSE_TIMEOUT, request));
        }
    }

    /// Forgets a request that has been answered.
    pub(super) fn remove(&mut self, request: &RequestId) {
        self.requests.retain(|(_, known)| known != request);
    }

    /// Waits for the deadline of a request, and returns the request. Cancel-safe.
    pub(super) async fn next_expired(&mut self) -> RequestId {
        if let Some((deadline, _)) = self.requests.front() {
            sleep_until(*deadline).await;
        }
        match self.requests.pop_front() {
            Some((_, request)) => request,
            None => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_expires_once_and_only_if_it_is_not_answered() {
        let begun = Instant::now();
        let mut doubts = UncertainRequests::default();
        doubts.add(1.into());
        doubts.add(2.into());
        doubts.add(1.into());
        doubts.remove(&2.into());
        assert!(timeout(RESPONSE_TIMEOUT / 2, doubts.next_expired()).await.is_err());
        assert_eq!(doubts.next_expired().await, 1.into());
        assert_eq!(begun.elapsed(), RESPONSE_TIMEOUT);
        assert!(timeout(10 * RESPONSE_TIMEOUT, doubts.next_expired()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_requests_are_remembered() {
        let mut doubts = UncertainRequests::default();
        (0..2_000).for_each(|id| doubts.add(id.into()));
        assert_eq!(doubts.requests.len(), REQUESTS_MAX);
    }
}
