//! Section "Pressure".

use std::time::Duration;

use rejoin_core::{Action, Backpressure, ConnectionId, StreamId};

use super::{
    Model,
    connection::{Connection, Role},
    state::Stamp,
    stream::Phase,
};

impl Model {
    /// The answer to a message of the backend that was recorded on `stream`.
    pub(super) fn pressure(&mut self, stream: Option<StreamId>) -> Backpressure {
        match stream {
            Some(stream) if self.is_held(stream) => {
                if !self.held_streams.contains(&stream) {
                    self.held_streams.push(stream);
                }
                Backpressure::Hold(stream)
            }
            Some(_) | None => Backpressure::None,
        }
    }

    /// Lets those go on whose stream is not held up any more.
    pub(super) fn release_senders(&mut self) {
        if self.closed.is_some() {
            return;
        }
        self.held_streams.sort();
        for stream in self.held_streams.clone() {
            if !self.is_held(stream) {
                self.held_streams.retain(|held| *held != stream);
                self.emit(Action::Release { stream });
            }
        }
    }

    /// The connection that carries `stream`, if its reader is not stalled.
    pub(super) fn reader(&self, stream: StreamId) -> Option<&Connection> {
        self.attached(stream).filter(|carrier| !carrier.is_stalled)
    }

    /// A connection that carries its stream will do so no longer.
    pub(super) fn note_silence(&mut self, connection: ConnectionId) {
        let it = &self.connections[connection];
        if let (Role::Attached, Some(stream), Some(waits)) = (it.role, it.stream, it.silent_since) {
            let silence = self.now.since(waits.at);
            let it = &mut self.streams[stream];
            it.earlier_silence = it.earlier_silence.saturating_add(silence);
        }
    }

    /// Since when the reader of a stream is silent, and for how long it may be.
    pub(super) fn stuck_timeout(&self, stream: StreamId) -> Option<(Stamp, Duration)> {
        let it = self.streams.get(stream)?;
        let reader = self.attached(stream)?;
        let are_others_pending = self.pending_requests() > it.pending().len();
        let hold = self.config.hold_timeout.filter(|_| are_others_pending);
        let timeouts = reader.stall_timeout(&self.config).into_iter().chain(hold);
        let longest = Duration::from_nanos(u64::MAX);
        let timeout = timeouts.min().filter(|timeout| *timeout < longest)?;
        Some((reader.silent_since?, timeout.saturating_sub(it.earlier_silence)))
    }

    /// Whether the readers of a stream were silent for so long that nobody waits for them.
    pub(super) fn is_stuck(&self, stream: StreamId) -> bool {
        let patience = self.stuck_timeout(stream);
        let due = patience.and_then(|(begun, left)| begun.deadline(Some(left)));
        due.is_some_and(|due| due <= self.now)
    }

    /// Whether the session is half full, and a reader trails, by half or in a full session.
    fn is_held(&self, stream: StreamId) -> bool {
        let Some(it) = self.streams.get(stream) else {
            return false;
        };
        if !matches!(it.phase, Phase::Standalone | Phase::Open)
            || self.logged_bytes().saturating_mul(2) < self.config.session_bytes_max
            || self.is_stuck(stream)
        {
            return false;
        }
        let (events, cost) = self.lag(stream);
        let trails_by_half = events.saturating_mul(2) >= self.config.stream_events_max
            || cost.saturating_mul(2) >= self.config.stream_bytes_max;
        events > 0 && (trails_by_half || self.is_full())
    }

    /// Whether all readers together trail by three quarters of what the session may keep, and
    /// that is used up.
    fn is_full(&self) -> bool {
        let is_full = |cost: usize| cost.saturating_mul(4) >= 3 * self.config.session_bytes_max;
        let filled = self.streams.iter().filter(|stream| stream.non_empty_since.is_some());
        let trailing = filled.map(|stream| self.lag(stream.id).1);
        is_full(self.logged_bytes()) && is_full(trailing.fold(0, usize::saturating_add))
    }

    /// How many events the log has that a reader did not take, and what everything cost that
    /// was recorded from the first of them on.
    fn lag(&self, stream: StreamId) -> (usize, usize) {
        let Some(carrier) = self.reader(stream) else {
            return (0, 0);
        };
        let it = &self.streams[stream];
        let Some(first) = it.logged_from(carrier.first_unacknowledged).next() else {
            return (0, 0);
        };
        let recorded = it.events.iter().filter(|event| event.index >= first.index);
        let cost = recorded.fold(0usize, |cost, event| cost.saturating_add(event.cost));
        (it.logged_from(first.index).count(), cost)
    }
}
