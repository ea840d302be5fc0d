//! Requests whose response seems to follow other text in the same line.
//!
//! Such a line is a response after text without a line feed, or a log line that quotes a
//! response. The two look the same, so the request fails only if no other response follows soon.

use std::{collections::VecDeque, future::pending, time::Duration};

use rejoin_core::RequestId;
use tokio::time::{Instant, sleep_until};

/// How long to wait for another response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum number of remembered requests: as many as may be pending by default.
const REQUESTS_MAX: usize = 1_024;

/// The uncertain requests of one session, ordered by deadline.
#[derive(Debug, Default)]
pub(super) struct UncertainRequests {
    /// At most [`REQUESTS_MAX`].
    requests: VecDeque<(Instant, RequestId)>,
}

impl UncertainRequests {
    /// Adds a request. One that is already there keeps its deadline.
    pub(super) fn add(&mut self, request: RequestId) {
        let is_known = self.requests.iter().any(|(_, known)| *known == request);
        if !is_known && self.requests.len() < REQUESTS_MAX {
            self.requests.push_back((Instant::now() + RESPONSE_TIMEOUT, request));
        }
    }

    /// Removes a request that has been answered.
    pub(super) fn remove(&mut self, request: &RequestId) {
        self.requests.retain(|(_, known)| known != request);
    }

    /// Waits until a request expires, and removes and returns it. Cancel-safe.
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
    async fn request_expires_once_unless_it_is_answered() {
        let started = Instant::now();
        let mut requests = UncertainRequests::default();
        requests.add(1.into());
        requests.add(2.into());
        requests.add(1.into());
        requests.remove(&2.into());
        assert!(timeout(RESPONSE_TIMEOUT / 2, requests.next_expired()).await.is_err());
        assert_eq!(requests.next_expired().await, 1.into());
        assert_eq!(started.elapsed(), RESPONSE_TIMEOUT);
        assert!(timeout(10 * RESPONSE_TIMEOUT, requests.next_expired()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn number_of_requests_is_limited() {
        let mut requests = UncertainRequests::default();
        (0..2_000).for_each(|id| requests.add(id.into()));
        assert_eq!(requests.requests.len(), REQUESTS_MAX);
    }
}
