//! The end of a client.

use alloc::vec::Vec;

use super::{
    Action, Client, ExchangeId, Phase, Purpose,
    timers::{Timer, Timers},
};

impl<C: Clone, S> Client<C, S> {
    /// Handles that the application has left: ends all exchanges, and deletes the session.
    pub(super) fn close(&mut self, out: &mut Vec<Action<C, S>>) {
        if self.phase == Phase::Closing {
            return;
        }
        self.clear(out);
        self.phase = Phase::Closing;
        if self.session.id.is_none() {
            self.finish(out);
            return;
        }
        let exchange = ExchangeId(self.next_number());
        self.exchanges.insert(exchange, Purpose::Delete);
        out.push(Action::Delete { exchange, session: self.session_headers() });
        self.timers.set(Timer::Close, self.now.saturating_add(self.config.close_timeout));
    }

    /// Ends: nothing follows.
    pub(super) fn finish(&mut self, out: &mut Vec<Action<C, S>>) {
        self.clear(out);
        self.phase = Phase::Closed;
        out.push(Action::Finish);
    }

    /// Forgets everything that is pending, and aborts all exchanges.
    fn clear(&mut self, out: &mut Vec<Action<C, S>>) {
        for (exchange, _) in core::mem::take(&mut self.exchanges) {
            out.push(Action::Abort { exchange });
        }
        self.timers = Timers::default();
        self.outgoing.clear();
        self.queued_bytes = 0;
        self.streams.clear();
        self.lingering.clear();
        self.standalone = None;
        self.requests.clear();
        self.server_requests.clear();
    }
}
