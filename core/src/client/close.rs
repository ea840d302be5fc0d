//! The end of a client, and of sessions that are given up.

use alloc::vec::Vec;

use super::{Action, Client, ExchangeId, Phase, Purpose, Response, SessionHeaders, timers::Timer};

/// Maximum DELETEs that have no response.
pub(super) const DELETES_MAX: usize = 4;

impl<C: Clone, S> Client<C, S> {
    /// Handles that the application has left: ends all exchanges, and deletes the session.
    pub(super) fn close(&mut self, out: &mut Vec<Action<C, S>>) {
        if self.phase == Phase::Closing {
            return;
        }
        self.clear(out);
        self.phase = Phase::Closing;
        self.delete_session(self.session_headers(), out);
        self.finish_if_deleted(out);
    }

    /// Sends the DELETE of a session, if it has an id.
    pub(super) fn delete_session(&mut self, session: SessionHeaders, out: &mut Vec<Action<C, S>>) {
        if session.id.is_none() {
            return;
        }
        let deletes: Vec<ExchangeId> = self.deletes().collect();
        if let Some(oldest) = deletes.first().filter(|_| deletes.len() >= DELETES_MAX) {
            self.end_delete(*oldest);
            out.push(Action::Abort { exchange: *oldest });
        }
        let exchange = ExchangeId(self.next_number());
        self.exchanges.insert(exchange, Purpose::Delete);
        let deadline = self.now.saturating_add(self.config.close_timeout);
        self.timers.set(Timer::Delete(exchange), deadline);
        out.push(Action::Delete { exchange, session });
    }

    /// Handles the response to a DELETE. Its body, if it has one, is not read.
    pub(super) fn on_delete_response(
        &mut self,
        exchange: ExchangeId,
        response: &Response<S>,
        out: &mut Vec<Action<C, S>>,
    ) {
        if response.is_success() && response.status != 204 {
            out.push(Action::Abort { exchange });
        }
        self.end_delete(exchange);
        self.finish_if_deleted(out);
    }

    /// Handles that a DELETE has ended without a response.
    pub(super) fn on_delete_failed(&mut self, exchange: ExchangeId, out: &mut Vec<Action<C, S>>) {
        self.end_delete(exchange);
        self.finish_if_deleted(out);
    }

    /// Handles that a DELETE has no response in time.
    pub(super) fn on_delete_timeout(&mut self, exchange: ExchangeId, out: &mut Vec<Action<C, S>>) {
        self.end_delete(exchange);
        out.push(Action::Abort { exchange });
        self.finish_if_deleted(out);
    }

    fn end_delete(&mut self, exchange: ExchangeId) {
        self.exchanges.remove(&exchange);
        self.timers.clear(Timer::Delete(exchange));
    }

    fn deletes(&self) -> impl Iterator<Item = ExchangeId> {
        let exchanges = self.exchanges.iter();
        exchanges.filter(|(_, purpose)| **purpose == Purpose::Delete).map(|(exchange, _)| *exchange)
    }

    /// Ends, if the application has left and no DELETE is awaited: nothing follows.
    fn finish_if_deleted(&mut self, out: &mut Vec<Action<C, S>>) {
        if self.phase == Phase::Closing && self.deletes().next().is_none() {
            self.phase = Phase::Closed;
            out.push(Action::Finish);
        }
    }

    /// Forgets everything that is pending, and aborts all exchanges but DELETEs.
    fn clear(&mut self, out: &mut Vec<Action<C, S>>) {
        self.timers.retain(|timer| matches!(timer, Timer::Delete(_)));
        self.exchanges.retain(|exchange, purpose| {
            let is_delete = *purpose == Purpose::Delete;
            if !is_delete {
                out.push(Action::Abort { exchange: *exchange });
            }
            is_delete
        });
        self.outgoing.clear();
        self.queued_bytes = 0;
        self.streams.clear();
        self.lingering.clear();
        self.standalone = None;
        self.requests.clear();
        self.server_requests.clear();
    }
}
