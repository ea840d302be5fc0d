//! Section "Backpressure".

use std::time::Duration;

use rejoin_core::{Action, ConnectionId, StreamId};

use super::{
    Model,
    connection::{Connection, Role},
    state::Stamp,
    stream::Phase,
};

impl Model {
    /// Holds the sender of a message of the backend that was recorded on `stream`.
    pub(super) fn hold_sender(&mut self, stream: Option<StreamId>) {
        if let Some(stream) = stream.filter(|stream| self.is_held(*stream)) {
            if !self.held_streams.contains(&stream) {
                self.held_streams.push(stream);
            }
            self.emit(Action::Hold { stream });
        }
    }

    /// Releases the senders of streams that need not be held any longer.
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

    /// Returns the connection that is attached to `stream`, unless its reader is stalled.
    pub(super) fn reader(&self, stream: StreamId) -> Option<&Connection> {
        self.attached(stream).filter(|attached| !attached.is_stalled)
    }

    /// Adds the silence of a connection that is about to be detached to that of its stream.
    pub(super) fn note_silence(&mut self, connection: ConnectionId) {
        let it = &self.connections[connection];
        if let (Role::Attached, Some(stream), Some(silent_since)) =
            (it.role, it.stream, it.silent_since)
        {
            let silence = self.now.since(silent_since.at);
            let it = &mut self.streams[stream];
            it.earlier_silence = it.earlier_silence.saturating_add(silence);
        }
    }

    /// Returns since when the reader of a stream is silent, and after how long the stream is
    /// stuck.
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

    /// Returns whether the readers of a stream were silent for so long that senders do not
    /// wait for them.
    pub(super) fn is_stuck(&self, stream: StreamId) -> bool {
        let stuck_timeout = self.stuck_timeout(stream);
        let due = stuck_timeout.and_then(|(stamp, left)| stamp.deadline(Some(left)));
        due.is_some_and(|due| due <= self.now)
    }

    /// Returns whether the session is half full and the reader lags: by half of the limits of
    /// its stream, or in a full session.
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
        let above_high_water_mark = events.saturating_mul(2) >= self.config.stream_events_max
            || cost.saturating_mul(2) >= self.config.stream_bytes_max;
        events > 0 && (above_high_water_mark || self.is_full())
    }

    /// Returns whether three quarters of `session_bytes_max` are used, and all readers
    /// together lag by as much.
    fn is_full(&self) -> bool {
        let is_full = |cost: usize| cost.saturating_mul(4) >= 3 * self.config.session_bytes_max;
        let non_empty = self.streams.iter().filter(|stream| stream.oldest().is_some());
        let lags = non_empty.map(|stream| self.lag(stream.id).1);
        is_full(self.logged_bytes()) && is_full(lags.fold(0, usize::saturating_add))
    }

    /// Returns how many events of the log the reader did not acknowledge, and the cost of
    /// everything that was recorded from the first of them on.
    fn lag(&self, stream: StreamId) -> (usize, usize) {
        let Some(attached) = self.reader(stream) else {
            return (0, 0);
        };
        let it = &self.streams[stream];
        let Some(first) = it.logged_from(attached.first_unacknowledged).next() else {
            return (0, 0);
        };
        let recorded = it.events.iter().filter(|event| event.index >= first.index);
        let cost = recorded.fold(0usize, |cost, event| cost.saturating_add(event.cost));
        (it.logged_from(first.index).count(), cost)
    }
}
