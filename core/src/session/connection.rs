//! The connections of a session.

use alloc::vec::Vec;
use core::{
    ops::{Index, IndexMut},
    time::Duration,
};

use slab::Slab;

use super::{in_flight::InFlight, stall_estimator::StallEstimator, stream::StreamKey};
use crate::{
    AnswerFormat, ConnectionId, Cursor, Instant, StreamId, shrink,
    sorted_vec_map::SortedVecMap,
    timers::{Key, TimerKey, to_key},
};

/// Names a known connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionKey(pub(crate) Key);

/// A known connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) subject: Subject,
    pub(crate) role: Role,
    pub(crate) cursor: Cursor,
    pub(crate) in_flight: InFlight,
    /// JSON until it is an SSE connection.
    pub(crate) format: AnswerFormat,
    /// Whether its client has an event id, or will have one.
    pub(crate) can_resume: bool,
    /// Whether anything was taken on it.
    pub(crate) has_acknowledged: bool,
    /// Whether its reader is stalled.
    pub(crate) is_stalled: bool,
    /// Since when its reader has taken nothing, while anything was sent and not taken; or
    /// since when it drains and holds nothing.
    pub(crate) silent_since: Instant,
    /// How long its reader may take nothing.
    pub(crate) stall_estimator: StallEstimator,
    /// Its place among those that may stall, or be cut.
    pub(crate) stall_timer: Option<TimerKey>,
}

/// What a connection is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The answer to `initialize`.
    Initialize,
    /// A stream.
    Stream(StreamKey),
    /// A stream that was buried; it can but drain.
    Removed(StreamId),
}

/// What a connection does for its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum Role {
    Attached,
    Shadow,
    Draining,
}

/// All known connections of a session, by key and by id.
#[derive(Debug)]
pub(crate) struct Connections {
    slab: Slab<Connection>,
    ids: SortedVecMap<ConnectionId, ConnectionKey>,
    /// The shadows of the standalone stream, the oldest first.
    pub(crate) shadows: Vec<ConnectionKey>,
}

impl Connection {
    pub(crate) fn new(
        id: ConnectionId,
        subject: Subject,
        role: Role,
        cursor: Cursor,
        pace: StallEstimator,
    ) -> Self {
        Self {
            id,
            subject,
            role,
            cursor,
            in_flight: InFlight::default(),
            format: AnswerFormat::Sse,
            can_resume: false,
            has_acknowledged: false,
            is_stalled: false,
            silent_since: Instant::EPOCH,
            stall_estimator: pace,
            stall_timer: None,
        }
    }

    /// Returns for how long its reader has taken nothing of what is in flight.
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        if self.cursor.has_unacknowledged() { now.since(self.silent_since) } else { Duration::ZERO }
    }
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self { slab: Slab::with_capacity(1), ids: SortedVecMap::new(), shadows: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn contains(&self, key: ConnectionKey) -> bool {
        self.slab.contains(key.0 as usize)
    }

    pub(crate) fn find(&self, id: ConnectionId) -> Option<ConnectionKey> {
        self.ids.get(&id).copied()
    }

    /// Returns the connection that drains from a stream that was buried, if there is one.
    pub(crate) fn draining_from_removed(&self, stream: StreamId) -> Option<ConnectionKey> {
        let mut keys = self.ids.iter().map(|(_, key)| *key);
        keys.find(|key| self[*key].subject == Subject::Removed(stream))
    }

    pub(crate) fn add(&mut self, connection: Connection) -> ConnectionKey {
        let id = connection.id;
        let key = ConnectionKey(to_key(self.slab.insert(connection)));
        self.ids.insert(id, key);
        key
    }

    pub(crate) fn remove(&mut self, key: ConnectionKey) -> Connection {
        let connection = self.slab.remove(key.0 as usize);
        self.ids.remove(&connection.id);
        shrink::slab(&mut self.slab);
        connection
    }

    /// Goes through all of them, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnectionId, ConnectionKey)> {
        self.ids.iter().map(|(id, key)| (*id, *key))
    }
}

#[expect(clippy::indexing_slicing, reason = "a key is given up with what it names")]
impl Index<ConnectionKey> for Connections {
    type Output = Connection;

    fn index(&self, key: ConnectionKey) -> &Connection {
        &self.slab[key.0 as usize]
    }
}

#[expect(clippy::indexing_slicing, reason = "a key is given up with what it names")]
impl IndexMut<ConnectionKey> for Connections {
    fn index_mut(&mut self, key: ConnectionKey) -> &mut Connection {
        &mut self.slab[key.0 as usize]
    }
}
