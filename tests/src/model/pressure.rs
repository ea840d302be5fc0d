//! Section "Pressure".

use rejoin_core::{Action, Pressure, StreamId};

use super::{Model, connection::Connection, state::Begun, stream::Phase};

impl Model {
    /// The answer to a message of the backend that was recorded on `stream`.
    pub(super) fn pressure(&mut self, stream: Option<StreamId>) -> Pressure {
        match stream {
            Some(stream) if self.is_held_up(stream) => {
                if !self.held.contains(&stream) {
                    self.held.push(stream);
                }
                Pressure::Hold(stream)
            }
            Some(_) | None => Pressure::None,
        }
    }

    /// Lets those go on whose stream is not held up any more.
    pub(super) fn release(&mut self) {
        if self.closed.is_some() {
            return;
        }
        self.held.sort();
        for stream in self.held.clone() {
            if !self.is_held_up(stream) {
                self.held.retain(|held| *held != stream);
                self.act(Action::Release { stream });
            }
        }
    }

    /// The connection that carries `stream`, if its reader is not stalled.
    pub(super) fn reader(&self, stream: StreamId) -> Option<&Connection> {
        self.carrier(stream).filter(|carrier| !carrier.is_stalled)
    }

    /// Since when the reader of a stream is silent that holds senders up, others behind them.
    pub(super) fn delays_others(&self, stream: StreamId) -> Option<Begun> {
        let own = self.streams.get(stream)?.pending().len();
        self.carrier(stream)?.waits.filter(|_| self.pending() > own)
    }

    /// Whether a reader trails by half, the session is half full, and nobody else has waited
    /// for too long.
    fn is_held_up(&self, stream: StreamId) -> bool {
        let Some(it) = self.streams.get(stream) else {
            return false;
        };
        let Some(carrier) = self.reader(stream) else {
            return false;
        };
        if !matches!(it.phase, Phase::Standing | Phase::Open)
            || self.bytes().saturating_mul(2) < self.config.session_bytes_max
        {
            return false;
        }
        let delays = self.delays_others(stream);
        let is_patience_over = |begun: Begun| begun.due(self.config.hold_timeout);
        if delays.and_then(is_patience_over).is_some_and(|due| due <= self.now) {
            return false;
        }
        let Some(first) = it.logged_from(carrier.untaken).next() else {
            return false;
        };
        let trailing = it.logged_from(first.index).count();
        let recorded = it.events.iter().filter(|event| event.index >= first.index);
        let cost = recorded.fold(0usize, |cost, event| cost.saturating_add(event.cost));
        trailing.saturating_mul(2) >= self.config.stream_events_max
            || cost.saturating_mul(2) >= self.config.stream_bytes_max
    }
}
