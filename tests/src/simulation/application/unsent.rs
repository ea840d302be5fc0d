//! Requests of the application that have no exchange: none waits for too long.

use std::collections::BTreeMap;

use rejoin_core::client::{ExchangeId, Input, Response};
use rejoin_core::{Head, Instant, Message, RequestId};

use super::link::HttpRequest;
use super::world::World;

/// The requests that the machine has not sent, or sends again.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    requests: BTreeMap<RequestId, Times>,
    /// When the last session was lost; `None` while there is another one.
    lost_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    /// When the application made it.
    queued_at: Instant,
    /// When it was queued, or its last exchange failed.
    since: Instant,
    is_unsent: bool,
}

impl Unsent {
    pub(super) fn on_session_lost(&mut self, now: Instant) {
        self.lost_at = Some(now);
    }

    pub(super) fn on_session_renewed(&mut self) {
        self.lost_at = None;
    }

    /// Notes that a message is posted.
    pub(super) fn on_posted(&mut self, head: &Head) {
        if let Head::Request { id, .. } = head
            && let Some(times) = self.requests.get_mut(id)
        {
            times.is_unsent = false;
        }
    }

    fn add(&mut self, head: &Head, now: Instant) {
        if let Head::Request { id, .. } = head {
            let new = Times { queued_at: now, since: now, is_unsent: true };
            let times = self.requests.entry(id.clone()).or_insert(new);
            (times.since, times.is_unsent) = (now, true);
        }
    }
}

impl World {
    /// Notes what the machine has to send after an input, and checks that nothing has waited for
    /// too long before: for `send_timeout` since it was made or since its last exchange; without a
    /// session, since it was made or since the session was lost.
    pub(super) fn check_unsent(&mut self, input: &Input<u64>) -> Result<(), String> {
        let Unsent { requests, lost_at } = &self.unsent;
        for (id, times) in requests.iter().filter(|(_, times)| times.is_unsent) {
            let is_pending = self.requests.get(id).is_some_and(|request| request.outcome.is_none());
            let since = lost_at.map_or(times.since, |lost_at| lost_at.max(times.queued_at));
            if is_pending && self.now > since.saturating_add(self.config.send_timeout) {
                return Err(format!("request {id} has not been sent since {since:?}"));
            }
        }
        match input {
            Input::Message { message, .. } => self.unsent.add(&message.head, self.now),
            Input::Failed { exchange, .. } => self.on_not_accepted(*exchange),
            Input::Response { exchange, response: Response { status, .. } } if *status >= 300 => {
                self.on_not_accepted(*exchange);
            }
            Input::Response { .. }
            | Input::Event { .. }
            | Input::Ended { .. }
            | Input::Close
            | Input::Tick => {}
        }
        Ok(())
    }

    fn on_not_accepted(&mut self, exchange: ExchangeId) {
        if let Some(link) = self.links.get(&exchange)
            && let HttpRequest::Post { message: Message { head, .. }, .. } = &link.request
        {
            self.unsent.add(head, self.now);
        }
    }
}
