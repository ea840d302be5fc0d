//! Section "Bytes in flight".

use rejoin_core::ConnectionId;

use super::{Model, connection::Connection};

impl Model {
    /// Returns the cost of what is in flight on all connections, in bytes.
    pub(super) fn bytes_in_flight(&self) -> usize {
        self.connections.iter().map(Connection::bytes_in_flight).fold(0, usize::saturating_add)
    }

    /// Notes whether an event that was just sent exceeds `window_bytes_max`.
    pub(super) fn check_window_bytes(&mut self) {
        self.is_over_window |= self.bytes_in_flight() > self.config.window_bytes_max;
    }

    /// Cuts connections whose readers have stopped, while `window_bytes_max` is exceeded.
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
            (connection.silent_since.map(|silent_since| silent_since.at), connection.id)
        };
        stopped.min_by_key(since).map(|connection| connection.id)
    }
}
