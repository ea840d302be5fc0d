//! Section "Crowding".

use rejoin_core::ConnectionId;

use super::{Model, connection::Connection};

impl Model {
    /// What is in flight on all connections costs so much.
    pub(super) fn bytes_in_flight(&self) -> usize {
        self.connections.iter().map(Connection::bytes_in_flight).fold(0, usize::saturating_add)
    }

    /// An event that costs something was sent: there may be no room for it.
    pub(super) fn check_window_bytes(&mut self) {
        self.is_over_window |= self.bytes_in_flight() > self.config.window_bytes_max;
    }

    /// Cuts those whose readers have stopped.
    pub(super) fn cut_stopped_readers(&mut self) {
        while self.closed.is_none()
            && self.is_over_window
            && self.bytes_in_flight() > self.config.window_bytes_max
            && let Some(connection) = self.longest_stopped()
        {
            self.cut_stalled(connection);
        }
        self.is_over_window = false;
    }

    fn longest_stopped(&self) -> Option<ConnectionId> {
        let stopped = self.connections.iter().filter(|connection| {
            connection.bytes_in_flight() > 0 && connection.has_stopped(self.now, &self.config)
        });
        let since = |connection: &&Connection| {
            (connection.silent_since.map(|waits| waits.at), connection.id)
        };
        stopped.min_by_key(since).map(|connection| connection.id)
    }
}
