//! Requests whose answer seems to stand behind other text in its line.
//!
//! Such a line is an answer that follows text without a line feed, or a log line that quotes an
//! answer. The two look the same, so the request fails only if no other answer follows soon.

use std::{collections::VecDeque, future::pending, time::Duration};

use rejoin_core::RequestId;
use tokio::time::{Instant, sleep_until};

/// How long another answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// The most requests that are remembered. A line has fewer.
const REQUESTS_MAX: usize = 256;

/// The requests of one session, in the order of their deadlines.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// At most [`REQUESTS_MAX`].
    requests: VecDeque<(Instant, RequestId)>,
}

impl Doubts {
    /// Remembers a request. One that is remembered already keeps its deadline.
    pub(super) fn add(&mut self, request: RequestId) {
        let is_known = self.requests.iter().any(|(_, known)| *known == request);
        if !is_known && self.requests.len() < REQUESTS_MAX {
            self.requests.push_back((Instant::now() + ANSWER_TIME, request));
        }
    }

    /// Forgets a request that has been answered.
    pub(super) fn remove(&mut self, request: &RequestId) {
        self.requests.retain(|(_, known)| known != request);
    }

    /// Waits for the deadline of a request, and returns the request. Cancel-safe.
    pub(super) async fn expired(&mut self) -> RequestId {
        if let Some((deadline, _)) = self.requests.front() {
            sleep_until(*deadline).await;
        }
        match self.requests.pop_front() {
            Some((_, request)) => request,
            None => pending().await,
        }
    }
}
