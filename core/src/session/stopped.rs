//! Stopped readers, whose connections are cut while a message waits for room, or while the
//! session shrinks.

use super::{Session, connection::ConnectionKey};
use crate::{Actions, Instant};

impl<C, S> Session<C, S> {
    /// Returns the connection of the stopped reader that has been silent for the longest time.
    pub(super) fn longest_stopped(&self) -> Option<ConnectionKey> {
        let all = self.connections.iter().map(|(_, key)| key);
        let stopped = all.filter(|key| self.has_kept_in_flight(*key) && self.has_stopped(*key));
        stopped.min_by_key(|key| self.connections[*key].silent_since)
    }

    fn has_stopped(&self, key: ConnectionKey) -> bool {
        self.connections[key].is_stalled
            || self.stops_at(key).is_some_and(|deadline| deadline <= self.now)
    }

    /// Returns when a reader stops by its silence.
    fn stops_at(&self, key: ConnectionKey) -> Option<Instant> {
        let connection = &self.connections[key];
        let stop = connection.stall_estimator.stop_timeout(self.config.timeouts().stall);
        let pending =
            connection.role().stream().map_or(0, |stream| self.streams[stream].pending_count());
        let timeout = match self.hold_timeout(pending) {
            Some(hold) if hold.nanos() < stop.nanos() => hold,
            Some(_) | None => stop,
        };
        connection.silent_since.deadline_after(timeout).finite()
    }

    /// Returns when the stream that a connection is attached to becomes stuck.
    fn stuck_on(&self, key: ConnectionKey) -> Option<Instant> {
        self.stuck_at(self.connections[key].role().attached_to()?)
    }

    /// Returns when there may be more room without an input: the next reader stops, or the next
    /// stream becomes stuck.
    pub(super) fn next_stop(&self) -> Option<Instant> {
        let all = self.connections.iter().map(|(_, key)| key);
        let deadlines = all.flat_map(|key| {
            let stops_at = self.stops_at(key).filter(|_| self.has_kept_in_flight(key));
            stops_at.into_iter().chain(self.stuck_on(key))
        });
        deadlines.filter(|deadline| *deadline > self.now).min()
    }
}

impl<C, S: Clone> Session<C, S> {
    /// Cuts the connections of stopped readers until there is room for a waiting message.
    pub(super) fn cut_stopped(&mut self, out: &mut Actions<C, S>) {
        while self.lacks_room()
            && let Some(connection) = self.longest_stopped()
        {
            self.cut_stalled(connection, out);
        }
    }
}
