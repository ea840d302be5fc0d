//! Section "Backpressure": readers that have stopped, and are cut while a stream waits for room.

use std::time::Duration;

use rejoin_core::ConnectionId;

use super::{Case, Model, connection::Connection, state::Stamp};

impl Model {
    /// Cuts connections whose readers have stopped, while a stream waits for room.
    pub(super) fn cut_stopped_readers(&mut self) {
        while self.closed.is_none()
            && self.any_lacks_room()
            && let Some(connection) = self.longest_stopped()
        {
            self.reach(Case::CutForRoom);
            self.cut_stalled(connection);
        }
    }

    /// Returns since when a reader is silent, and after how long it has stopped.
    pub(super) fn stop_timeout(&self, connection: &Connection) -> Option<(Stamp, Duration)> {
        let nanosecond = Duration::from_nanos(1);
        let more_than_twice = connection.longest_pause.saturating_mul(2).saturating_add(nanosecond);
        let timeout = self.config.stall_timeout_min.max(more_than_twice);
        let own = connection.stream.and_then(|stream| self.streams.get(stream));
        let own_pending = own.map_or(0, |stream| stream.pending().len());
        let are_others_pending = self.pending_requests() > own_pending;
        let hold = self.config.hold_timeout.filter(|_| are_others_pending);
        let timeout = timeout.min(hold.unwrap_or(Duration::MAX));
        let silent_since = connection.silent_since.filter(|_| connection.keeps_events())?;
        Some((silent_since, timeout))
    }

    /// Returns the connection of the stopped reader that is cut first.
    pub(super) fn longest_stopped(&self) -> Option<ConnectionId> {
        let stopped = self.connections.iter().filter(|it| self.has_stopped(it));
        let since = |connection: &&Connection| {
            (connection.silent_since.map(|silent_since| silent_since.at), connection.id)
        };
        stopped.min_by_key(since).map(|connection| connection.id)
    }

    fn has_stopped(&self, connection: &Connection) -> bool {
        connection.keeps_events()
            && (self.stop_timeout(connection).is_some_and(|it| self.has_passed(it))
                || connection.is_stalled)
    }
}
