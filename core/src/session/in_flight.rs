//! Bytes in flight on all connections, and their common window.

use smallvec::SmallVec;

use super::{
    Session,
    connection::{Connection, ConnectionKey},
    stream::StreamKey,
};
use crate::{Actions, Config};

/// The unacknowledged events of one connection, except those that cost nothing: at most
/// `window_events_max`.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight(SmallVec<[Sent; 1]>);

/// An event in flight, and its cost in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Sent {
    pub(crate) index: u64,
    pub(crate) cost: usize,
}

impl InFlight {
    /// Removes all events through `index`. Returns their cost in bytes.
    fn remove_through(&mut self, index: u64) -> usize {
        let Some(last) = self.0.last() else {
            return 0;
        };
        let add = |bytes: usize, sent: &Sent| bytes.saturating_add(sent.cost);
        if last.index <= index {
            let bytes = self.0.iter().fold(0, add);
            self.0.clear();
            return bytes;
        }
        let count = self.0.iter().take_while(|sent| sent.index <= index).count();
        self.0.drain(..count).fold(0, |bytes, sent| add(bytes, &sent))
    }

    pub(super) fn push(&mut self, sent: Sent) {
        self.0.push(sent);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cfg(feature = "serde")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Sent> {
        self.0.iter()
    }
}

impl Connection {
    /// Returns whether the windows, in events and in bytes, admit an event, where `in_flight`
    /// bytes are in flight on all connections together. A connection with nothing in flight may
    /// exceed the latter by one event.
    pub(super) fn admits(&self, sent: Sent, in_flight: usize, config: &Config) -> bool {
        let fits =
            || sent.cost == 0 || in_flight.saturating_add(sent.cost) <= config.window_bytes_max;
        self.cursor.admits(sent.index, config.window_events_max)
            && (!self.cursor.has_unacknowledged() || fits())
    }

    /// Records that an event was sent, and adds its cost to the bytes in flight on all
    /// connections. Returns whether it exceeds the window in bytes.
    pub(super) fn note_sent(&mut self, sent: Sent, in_flight: &mut usize, config: &Config) -> bool {
        self.cursor.sent(sent.index);
        if sent.cost == 0 {
            return false;
        }
        self.in_flight.push(sent);
        *in_flight = in_flight.saturating_add(sent.cost);
        *in_flight > config.window_bytes_max
    }
}

impl<M> Session<M> {
    /// Returns whether the windows, in events and in bytes, admit an event on a connection.
    pub(super) fn admits(&self, key: ConnectionKey, sent: Sent) -> bool {
        self.connections[key].admits(sent, self.in_flight, &self.config)
    }

    /// Returns whether a connection is at the head, and its window admits the event at the
    /// next index.
    pub(super) fn may_send_next(
        &self,
        stream: StreamKey,
        connection: ConnectionKey,
        cost: usize,
    ) -> bool {
        let index = self.streams[stream].log.last().saturating_add(1);
        self.admits(connection, Sent { index, cost }) && self.is_at_head(stream, connection)
    }

    /// Records that the events of a connection through `index` are no longer in flight.
    pub(super) fn remove_in_flight(&mut self, key: ConnectionKey, index: u64) {
        let bytes = self.connections[key].in_flight.remove_through(index);
        self.in_flight = self.in_flight.saturating_sub(bytes);
    }

    /// Returns the connection with the longest silence of those that have events in flight and
    /// whose reader has stopped.
    fn longest_stopped(&self) -> Option<ConnectionKey> {
        let limits = self.config.timeouts().stall;
        let all = self.connections.iter().map(|(_, key)| key);
        let stopped = all.filter(|key| {
            let connection = &self.connections[*key];
            let has_stopped =
                connection.stall_estimator.has_stopped(connection.silent_since, self.now, limits);
            !connection.in_flight.is_empty() && has_stopped
        });
        stopped.min_by_key(|key| self.connections[*key].silent_since)
    }
}

impl<M: Clone> Session<M> {
    /// Records that an event was sent.
    #[inline]
    pub(super) fn add_in_flight(&mut self, key: ConnectionKey, sent: Sent) {
        let connection = &mut self.connections[key];
        self.is_window_exceeded |= connection.note_sent(sent, &mut self.in_flight, &self.config);
        self.arm_stall_timer(key);
    }

    /// Cuts connections whose readers have stopped, the longest silence first, until the window
    /// in bytes holds. Called after an event was sent beyond it.
    #[cold]
    pub(super) fn cut_stopped(&mut self, out: &mut Actions<M>) {
        while self.in_flight > self.config.window_bytes_max
            && let Some(connection) = self.longest_stopped()
        {
            self.cut_stalled(connection, out);
        }
        self.is_window_exceeded = false;
    }
}
