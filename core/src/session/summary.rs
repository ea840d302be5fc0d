//! What an operator wants to know of a stream.

use core::iter;

use super::{
    Phase, STANDALONE, Session,
    stream::{Stage, StreamKey},
};
use crate::{ConnectionId, StreamId};

/// A stream at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSummary {
    /// The stream.
    pub id: StreamId,
    /// The index of its last event; 0 before the first one.
    pub last: u64,
    /// The index of the last event that was sent on a connection that is still attached.
    pub sent: Option<u64>,
    /// The index of the last event that any connection has acknowledged.
    pub acknowledged: u64,
    /// Number of events in its log.
    pub logged: usize,
    /// The connection that is attached.
    pub attached: Option<ConnectionId>,
    /// Number of its requests that are pending.
    pub pending_requests: usize,
    /// Whether all its requests were answered or cancelled.
    pub is_complete: bool,
    /// Whether it holds a sender.
    pub holds_sender: bool,
}

impl<C, S> Session<C, S> {
    /// Iterates over the streams that have a log: the standalone stream, and then the request
    /// streams by number. There are none once the session is closed.
    pub fn streams(&self) -> impl Iterator<Item = StreamSummary> {
        let is_open = !matches!(self.phase, Phase::Closed(_));
        let keys = iter::once(STANDALONE).chain(self.streams.request_streams());
        keys.filter(move |_| is_open).map(|key| self.summary(key))
    }

    fn summary(&self, key: StreamKey) -> StreamSummary {
        let stream = &self.streams[key];
        let attached = stream.attached().map(|key| &self.connections[key]);
        StreamSummary {
            id: stream.id,
            last: stream.log.last(),
            sent: attached.map(|connection| connection.cursor.next().saturating_sub(1)),
            acknowledged: stream.acknowledged,
            logged: stream.log.len(),
            attached: attached.map(|connection| connection.id),
            pending_requests: stream.pending_count(),
            is_complete: match stream.stage() {
                Stage::Standalone | Stage::Open { .. } => false,
                Stage::Complete { .. } | Stage::Retained { .. } => true,
            },
            holds_sender: self.held_streams.iter().any(|held| held.stream == stream.id),
        }
    }
}
