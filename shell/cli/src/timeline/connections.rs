//! The connections of a session, as far as marks refer to them.

use std::collections::BTreeMap;

use rejoin::rejoin_core::{ConnectionId, StreamId};

use super::Row;

/// The connections, and the last event that each stream was sent.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// At most as many as the session has.
    open: BTreeMap<ConnectionId, Connection>,
    /// At most [`STREAMS_MAX`].
    sent: BTreeMap<StreamId, u64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) row: Row,
    /// The last event that was sent on it.
    pub(super) sent: u64,
    pub(super) acknowledged: Option<u64>,
    /// Whether the session has closed it, so that its end is in order.
    pub(super) is_closing: bool,
}

/// Maximum number of streams whose last event is known.
const STREAMS_MAX: usize = 4_096;

impl Connections {
    pub(super) fn open(&mut self, id: ConnectionId, row: Row) {
        let connection = Connection { row, sent: 0, acknowledged: None, is_closing: false };
        self.open.insert(id, connection);
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.open.get(&id)
    }

    pub(super) fn row(&self, id: ConnectionId) -> Row {
        self.get(id).map_or(Row::Session, |connection| connection.row)
    }

    pub(super) fn attach(&mut self, id: ConnectionId, row: Row) {
        if let Some(connection) = self.open.get_mut(&id) {
            connection.row = row;
        }
    }

    pub(super) fn close(&mut self, id: ConnectionId) {
        if let Some(connection) = self.open.get_mut(&id) {
            connection.is_closing = true;
        }
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        self.open.remove(&id)
    }

    /// Notes an acknowledgement. Returns whether it is a new one.
    pub(super) fn acknowledge(&mut self, id: ConnectionId, through: u64) -> bool {
        let Some(connection) = self.open.get_mut(&id) else { return false };
        let is_new = connection.acknowledged.is_none_or(|acknowledged| acknowledged < through);
        if is_new {
            connection.acknowledged = Some(through);
        }
        is_new
    }

    /// Returns the last event that a stream was sent on any connection.
    pub(super) fn sent_on(&self, stream: StreamId) -> Option<u64> {
        self.sent.get(&stream).copied()
    }

    /// Notes that a stream was sent its events through this one.
    pub(super) fn set_sent(&mut self, stream: StreamId, through: u64) {
        let sent = self.sent.entry(stream).or_default();
        *sent = through.max(*sent);
        if self.sent.len() > STREAMS_MAX {
            // The standalone stream is the first.
            let oldest = self.sent.keys().nth(1).copied();
            oldest.and_then(|oldest| self.sent.remove(&oldest));
        }
    }

    /// Notes an event that was sent. Returns whether the stream was sent it before.
    pub(super) fn send(&mut self, id: ConnectionId, stream: StreamId, event: u64) -> bool {
        let again = self.sent_on(stream).is_some_and(|sent| event <= sent);
        self.set_sent(stream, event);
        if let Some(connection) = self.open.get_mut(&id) {
            connection.sent = event;
            connection.row = Row::Stream(stream);
        }
        again
    }
}
