//! Pressure: holding a sender up for a reader that makes progress.

use super::{
    Pressure, Session,
    connection::Connection,
    stream::{Stream, StreamKey},
};
use crate::{
    Action, Actions, Instant, StreamId,
    queue::{Queue, Ticket},
};

/// A stream that holds a sender up.
#[derive(Debug)]
pub(super) struct Held {
    stream: StreamId,
    /// Its place among those that others wait behind.
    patience: Option<Ticket>,
}

impl Held {
    pub(super) const fn new(stream: StreamId) -> Self {
        Self { stream, patience: None }
    }
}

impl<M> Session<M> {
    /// Returns whether the sender of what was recorded last should wait.
    pub(super) fn pressure(&mut self, key: StreamKey) -> Pressure {
        if !self.holds(key) {
            return Pressure::None;
        }
        let stream = &mut self.streams[key];
        if !core::mem::replace(&mut stream.holds, true) {
            self.held.push(Held::new(stream.id));
        }
        Pressure::Hold(stream.id)
    }

    /// Lets go of senders that do not need to wait any more.
    #[cold]
    pub(super) fn release(&mut self, out: &mut Actions<M>) {
        let mut held = core::mem::take(&mut self.held);
        held.sort_unstable_by_key(|held| held.stream);
        held.retain_mut(|held| {
            let key = self.streams.find(held.stream);
            let holding = key.filter(|key| self.holds(*key));
            let due = holding.and_then(|key| self.patience_due(key));
            if held.patience.map(|ticket| self.queues.due(ticket)) != due {
                held.patience.take().into_iter().for_each(|ticket| self.queues.leave(ticket));
                let due = holding.zip(due);
                held.patience = due.map(|(key, due)| self.queues.enter(Queue::Hold, key.0, due));
            }
            if holding.is_none() {
                if let Some(key) = key {
                    self.streams[key].holds = false;
                }
                out.push(Action::Release { stream: held.stream });
            }
            holding.is_some()
        });
        self.held = held;
    }

    /// Notes that a stream has held up others for long enough, and is in no queue any more.
    pub(super) fn lose_patience(&mut self, key: StreamKey) {
        let stream = self.streams[key].id;
        for held in self.held.iter_mut().filter(|held| held.stream == stream) {
            held.patience = None;
        }
    }

    /// Returns the connection that carries a stream, unless its reader is stalled.
    pub(super) fn reader(&self, key: StreamKey) -> Option<&Connection> {
        let carrier = self.streams[key].carrier?;
        Some(&self.connections[carrier]).filter(|carrier| !carrier.is_stalled)
    }

    /// Returns whether more may come on a stream whose reader makes progress and trails,
    /// while what the session may keep is half used up.
    fn holds(&self, key: StreamKey) -> bool {
        let stream = &self.streams[key];
        if !stream.is_open() || self.bytes.saturating_mul(2) < self.config.session_bytes_max {
            return false;
        }
        let Some(reader) = self.reader(key) else {
            return false;
        };
        let (events, bytes) = stream.log.trailing(reader.cursor.untaken());
        let trails = events > 0
            && (events.saturating_mul(2) >= self.config.stream_events_max
                || bytes.saturating_mul(2) >= self.config.stream_bytes_max as u64);
        trails && self.patience_due(key).is_none_or(|due| self.now < due)
    }

    /// Returns until when a stream may hold senders up, if others wait behind them.
    fn patience_due(&self, key: StreamKey) -> Option<Instant> {
        let Stream { pending, carrier, .. } = &self.streams[key];
        let are_others_pending = self.requests.pending.len() > *pending;
        if self.config.hold_timeout.is_none() || !are_others_pending {
            return None;
        }
        let since = self.connections[(*carrier)?].since;
        since.due(self.config.timeouts().hold).unless_never()
    }
}
