//! Section "Backpressure": held senders, and stuck streams.

use std::time::Duration;

use rejoin_core::{Action, ConnectionId, Input, StreamId};

use super::{
    Case, Model,
    backend::cost,
    connection::{Connection, Role},
    state::Stamp,
    stream::Phase,
};

/// A stream that holds its senders.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) stream: StreamId,
    /// If it waits for room: the cost of the smallest message that was rejected as `Full`.
    pub(super) room: Option<usize>,
}

impl Model {
    /// Holds the sender of a message of the backend that was recorded on `stream`, if its
    /// reader lags.
    pub(super) fn hold_above_mark(&mut self, stream: Option<StreamId>) {
        if let Some(stream) = stream.filter(|stream| self.is_above_mark(*stream)) {
            self.hold(Held { stream, room: None });
        }
    }

    /// Holds the sender of a message of the backend that was rejected as `Full`.
    pub(super) fn hold_for_room(&mut self, input: &Input<u64>) {
        if let Input::BackendMessage { message, related, .. } = input
            && let Some(stream) = self.stream_for(message, related.as_ref())
        {
            self.hold(Held { stream, room: Some(cost(message)) });
        }
    }

    fn hold(&mut self, held: Held) {
        let stream = held.stream;
        match self.held.iter_mut().find(|known| known.stream == stream) {
            Some(known) => known.room = known.room.into_iter().chain(held.room).min(),
            None => self.held.push(held),
        }
        self.emit(Action::Hold { stream });
    }

    /// Releases the senders of streams that need not be held any longer.
    pub(super) fn release_senders(&mut self) {
        if self.closed.is_some() {
            return;
        }
        self.held.sort_by_key(|held| held.stream);
        for held in self.held.clone() {
            let stream = held.stream;
            if !self.is_above_mark(stream) && !self.lacks_room(&held) {
                self.held.retain(|held| held.stream != stream);
                if held.room.is_some() {
                    self.reach(Case::ReleasedForRoom);
                }
                self.emit(Action::Release { stream });
            }
        }
    }

    /// Returns whether any stream waits for room, and there is none.
    pub(super) fn any_lacks_room(&self) -> bool {
        self.held.iter().any(|held| self.lacks_room(held))
    }

    fn lacks_room(&self, held: &Held) -> bool {
        let room = held.room.filter(|_| self.streams.get(held.stream).is_some());
        room.is_some_and(|cost| !self.has_room(cost))
    }

    /// Returns after which timeouts a sender may no longer have to wait, and since when they run.
    pub(super) fn wait_timeouts(&self) -> Vec<(Stamp, Duration)> {
        let stuck = self.held.iter().filter_map(|held| self.stuck_timeout(held.stream));
        let mut timeouts: Vec<_> = stuck.collect();
        if self.lacked_room || self.is_shrinking {
            timeouts.extend(self.streams.iter().filter_map(|it| self.stuck_timeout(it.id)));
            timeouts.extend(self.connections.iter().filter_map(|it| self.stop_timeout(it)));
        }
        timeouts
    }

    /// Returns the connection that is attached to `stream`, unless its reader is stalled.
    pub(super) fn reader(&self, stream: StreamId) -> Option<&Connection> {
        self.attached(stream).filter(|attached| !attached.is_stalled)
    }

    /// Returns the reader of `stream`, unless the stream is stuck.
    pub(super) fn active_reader(&self, stream: StreamId) -> Option<&Connection> {
        self.reader(stream).filter(|_| !self.is_stuck(stream))
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
        self.stuck_timeout(stream).is_some_and(|it| self.has_passed(it))
    }

    /// Returns whether a timeout has passed.
    pub(super) fn has_passed(&self, (since, timeout): (Stamp, Duration)) -> bool {
        since.deadline(Some(timeout)).is_some_and(|due| due <= self.now)
    }

    /// Returns whether the session is half full, and the reader lags by half of the limits of
    /// its stream.
    fn is_above_mark(&self, stream: StreamId) -> bool {
        let Some(it) = self.streams.get(stream) else {
            return false;
        };
        if !matches!(it.phase, Phase::Standalone | Phase::Open)
            || self.kept_bytes().saturating_mul(2) < self.limit
            || self.is_stuck(stream)
        {
            return false;
        }
        let (events, cost) = self.lag(stream);
        events > 0
            && (events.saturating_mul(2) >= self.config.stream_events_max
                || cost.saturating_mul(2) >= self.config.stream_bytes_max)
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
