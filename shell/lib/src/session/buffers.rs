//! The buffers of a session's connections.

use std::collections::VecDeque;

use rejoin_core::ConnectionId;

use super::buffer::ConnectionBuffer;
use crate::payload::ServerPayload;

/// A compact map from connection to buffer, sorted by connection. Connection ids ascend, so that
/// a new one is the last; usually the oldest one is removed.
#[derive(Debug)]
pub(super) struct ConnectionBuffers<S>(VecDeque<(ConnectionId, ConnectionBuffer<S>)>);

impl<S: ServerPayload> ConnectionBuffers<S> {
    pub(super) fn get_mut(&mut self, connection: ConnectionId) -> Option<&mut ConnectionBuffer<S>> {
        let at = self.position(connection).ok()?;
        self.0.get_mut(at).map(|(_, buffer)| buffer)
    }

    /// Adds a buffer for a connection, unless it has one.
    pub(super) fn insert(&mut self, connection: ConnectionId) {
        if let Err(at) = self.position(connection) {
            self.0.insert(at, (connection, ConnectionBuffer::default()));
        }
    }

    pub(super) fn remove(&mut self, connection: ConnectionId) -> Option<ConnectionBuffer<S>> {
        let at = self.position(connection).ok()?;
        let (_, buffer) = self.0.remove(at)?;
        if self.0.is_empty() {
            self.0.shrink_to(IDLE_CAPACITY);
        }
        Some(buffer)
    }

    #[cfg(feature = "store")]
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnectionId, &ConnectionBuffer<S>)> {
        self.0.iter().map(|(connection, buffer)| (*connection, buffer))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the cost of all events that are still to be sent, as a session counts it.
    pub(super) fn kept_bytes(&self) -> usize {
        self.0.iter().map(|(_, buffer)| buffer.kept_bytes()).sum()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut ConnectionBuffer<S>> {
        self.0.iter_mut().map(|(_, buffer)| buffer)
    }

    fn position(&self, connection: ConnectionId) -> Result<usize, usize> {
        let Some((last, _)) = self.0.back() else { return Err(0) };
        let Some(behind) = last.0.checked_sub(connection.0) else { return Err(self.0.len()) };
        // Fast path: if none in between was removed, the distance of the ids is that of the positions.
        if let Ok(behind) = usize::try_from(behind)
            && let Some(position) = (self.0.len() - 1).checked_sub(behind)
            && let Some((found, _)) = self.0.get(position)
            && *found == connection
        {
            return Ok(position);
        }
        self.0.binary_search_by_key(&connection, |(id, _)| *id)
    }
}

impl<S> Default for ConnectionBuffers<S> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

/// Capacity that an idle session keeps.
const IDLE_CAPACITY: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_found_whichever_others_were_removed() {
        for removed in 0_u32..1 << 5 {
            let mut buffers = ConnectionBuffers::<bytes::Bytes>::default();
            (0..5).for_each(|number| buffers.insert(ConnectionId(number)));
            let is_removed = |number: &u64| removed & 1 << number != 0;
            for number in (0..5).filter(is_removed) {
                assert!(buffers.remove(ConnectionId(number)).is_some());
            }
            for number in 0..6 {
                let is_present = number < 5 && !is_removed(&number);
                assert_eq!(buffers.get_mut(ConnectionId(number)).is_some(), is_present);
            }
            assert_eq!(buffers.iter_mut().count(), 5 - removed.count_ones() as usize);
        }
    }
}
