//! Kept bytes: the cost of all events that are logged or in flight.

use smallvec::SmallVec;

use super::{Session, connection::ConnectionKey, stream::StreamKey};
use crate::Entry;

/// An event in flight that no log has, and its cost in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct UnloggedEvent {
    pub(crate) index: u64,
    pub(crate) cost: usize,
}

impl<C, S> Session<C, S> {
    /// Returns the cost in bytes of all events that are logged or in flight.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.logged_bytes.saturating_add(self.unlogged_bytes)
    }

    /// Counts an event in flight that is not, or no longer, logged.
    pub(super) fn add_unlogged(&mut self, key: ConnectionKey, event: UnloggedEvent) {
        if event.cost > 0 {
            self.unlogged_bytes = self.unlogged_bytes.saturating_add(event.cost);
            self.connections[key].unlogged.push(event);
        }
    }

    /// Counts what is in flight from the log of a stream that is about to be dropped.
    pub(super) fn add_unlogged_from(&mut self, stream: StreamKey) {
        let Some(connection) = self.streams[stream].holder() else { return };
        let in_flight = self.connections[connection].cursor.in_flight();
        let in_flight = self.streams[stream].log.range(in_flight);
        let events: SmallVec<[_; 1]> = in_flight
            .map(|logged| UnloggedEvent { index: logged.index, cost: logged.entry.cost() })
            .collect();
        for event in events {
            self.add_unlogged(connection, event);
        }
    }

    /// Stops counting the events of a connection through `index`, which are no longer in flight.
    pub(super) fn remove_unlogged(&mut self, key: ConnectionKey, index: u64) {
        let Self { connections, unlogged_bytes, .. } = self;
        connections[key].unlogged.retain(|event| {
            let is_in_flight = event.index > index;
            *unlogged_bytes -= if is_in_flight { 0 } else { event.cost };
            is_in_flight
        });
    }

    /// Returns whether an event that costs something is in flight on a connection.
    pub(super) fn has_kept_in_flight(&self, key: ConnectionKey) -> bool {
        let connection = &self.connections[key];
        let is_logged = |stream: StreamKey| {
            let mut in_flight = self.streams[stream].log.range(connection.cursor.in_flight());
            in_flight.any(|logged| matches!(logged.entry, Entry::Message { .. }))
        };
        !connection.unlogged.is_empty() || connection.role().stream().is_some_and(is_logged)
    }
}
