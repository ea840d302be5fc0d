//! Section "Crowding".

use rejoin_core::ConnectionId;

use super::{Model, connection::Connection};

impl Model {
    /// What is in flight on all connections costs so much.
    pub(super) fn in_flight(&self) -> usize {
        self.connections.iter().map(Connection::in_flight).fold(0, usize::saturating_add)
    }

    /// An event that costs something was sent: there may be no room for it.
    pub(super) fn note_whether_crowded(&mut self) {
        self.is_crowded |= self.in_flight() > self.config.window_bytes_max;
    }

    /// Cuts those whose readers have stopped.
    pub(super) fn make_room(&mut self) {
        while self.closed.is_none()
            && self.is_crowded
            && self.in_flight() > self.config.window_bytes_max
            && let Some(connection) = self.longest_stopped()
        {
            self.cut_as_stalled(connection);
        }
        self.is_crowded = false;
    }

    fn longest_stopped(&self) -> Option<ConnectionId> {
        let stopped = self.connections.iter().filter(|connection| {
            connection.in_flight() > 0 && connection.has_stopped(self.now, &self.config)
        });
        let since =
            |connection: &&Connection| (connection.waits.map(|waits| waits.at), connection.id);
        stopped.min_by_key(since).map(|connection| connection.id)
    }
}
