//! Table of the connections of a session.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

use slab::Slab;

use super::{
    kept::UnloggedEvent,
    stall_estimator::StallEstimator,
    stream::{STANDALONE, StreamKey},
};
use crate::{
    ANSWER_INDEX, Action, Answer, ConnectionId, Cursor, Entry, Event, EventId, Instant,
    MessageKind, StreamId,
    ascending_map::AscendingMap,
    capacity,
    timers::{Key, TimerKey, to_key},
};

/// Identifies a known connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionKey(pub(crate) Key);

/// A known connection.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    role: Role,
    pub(crate) cursor: Cursor,
    /// The events in flight that no log has.
    pub(crate) unlogged: Vec<UnloggedEvent>,
    /// Whether its client awaits a response in JSON, as the whole answer: no event was sent that
    /// needs SSE, and the request is still wanted.
    pub(crate) awaits_json: bool,
    /// Whether its client has an event id to resume after, or will have one.
    pub(crate) can_resume: bool,
    /// Whether anything was acknowledged on it.
    pub(crate) has_acknowledged: bool,
    /// Whether its reader is stalled.
    pub(crate) is_stalled: bool,
    /// While anything is unacknowledged: when its reader last made progress. While it drains
    /// with nothing unacknowledged: when that began.
    pub(crate) silent_since: Instant,
    /// Estimates how long its reader may acknowledge nothing.
    pub(crate) stall_estimator: StallEstimator,
    /// Fires when its reader stalls, and then when it is cut.
    pub(crate) stall_timer: Option<TimerKey>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It awaits the response to `initialize`.
    Initialize,
    /// It is sent the events of a stream.
    Attached(StreamKey),
    /// It may be promoted to the standalone stream.
    Shadow,
    /// It was closed, and its end was not reported yet.
    Draining(Source),
}

/// Where the events on a draining connection came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Initialize,
    Stream(StreamKey),
    /// A stream that was removed, or, in a restored session, of which nothing is in flight here.
    Removed(StreamId),
}

impl Role {
    /// Returns the stream whose events are in flight on the connection.
    pub(crate) fn stream(self) -> Option<StreamKey> {
        match self {
            Self::Attached(stream) | Self::Draining(Source::Stream(stream)) => Some(stream),
            Self::Initialize
            | Self::Shadow
            | Self::Draining(Source::Initialize | Source::Removed(_)) => None,
        }
    }

    /// Returns the stream that the connection is attached to.
    pub(crate) fn attached_to(self) -> Option<StreamKey> {
        match self {
            Self::Attached(stream) => Some(stream),
            Self::Initialize | Self::Shadow | Self::Draining(_) => None,
        }
    }
}

/// All known connections of a session, by key and by id.
#[derive(Debug)]
pub(crate) struct Connections {
    slab: Slab<Connection>,
    ids: AscendingMap<ConnectionKey>,
    /// The connections with the role of a shadow, oldest first.
    shadows: Vec<ConnectionKey>,
}

impl Connection {
    pub(crate) fn new(
        id: ConnectionId,
        role: Role,
        cursor: Cursor,
        stall_estimator: StallEstimator,
    ) -> Self {
        Self {
            id,
            role,
            cursor,
            unlogged: Vec::new(),
            awaits_json: false,
            can_resume: false,
            has_acknowledged: false,
            is_stalled: false,
            silent_since: Instant::EPOCH,
            stall_estimator,
            stall_timer: None,
        }
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Handles the removal of the stream whose events are in flight on the draining connection.
    pub(crate) fn on_stream_removed(&mut self, stream: StreamId) {
        self.role = Role::Draining(Source::Removed(stream));
    }

    /// Returns the action that sends the entry of a log. A response that is awaited in JSON is
    /// the whole answer.
    pub(crate) fn entry_action<C, S: Clone>(
        &mut self,
        id: EventId,
        entry: &Entry<S>,
    ) -> Action<C, S> {
        let is_whole = self.awaits_json && id.index == ANSWER_INDEX;
        match entry {
            Entry::Message { body, kind: MessageKind::Response(_), .. } if is_whole => {
                Action::Respond { connection: self.id, answer: Answer::Message(body.clone()) }
            }
            Entry::Failure(failure) if is_whole => {
                Action::Respond { connection: self.id, answer: Answer::Failure(failure.clone()) }
            }
            Entry::Message { body, .. } => self.event_action(id, Event::Message(body.clone())),
            Entry::Failure(failure) => self.event_action(id, Event::Failure(failure.clone())),
        }
    }

    /// Returns the action that sends a gap. Its client gets the id, which it can resume after, only if
    /// `has_logging`: with a log message.
    pub(crate) fn gap_action<C, S>(
        &mut self,
        id: EventId,
        first: u64,
        has_logging: bool,
    ) -> Action<C, S> {
        self.awaits_json = false;
        self.can_resume |= has_logging;
        Action::Send { connection: self.id, id, event: Event::Gap { first } }
    }

    /// Returns the action that sends an event as SSE, with an id that a client can resume after.
    pub(crate) fn event_action<C, S>(&mut self, id: EventId, event: Event<S>) -> Action<C, S> {
        self.awaits_json = false;
        self.can_resume = true;
        Action::Send { connection: self.id, id, event }
    }

    /// Returns for how many nanoseconds its reader has acknowledged nothing of what is in flight.
    pub(crate) fn silence(&self, now: Instant) -> u64 {
        if self.cursor.has_unacknowledged() { now.nanos_since(self.silent_since) } else { 0 }
    }
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self { slab: Slab::with_capacity(1), ids: AscendingMap::new(), shadows: Vec::new() }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn contains(&self, key: ConnectionKey) -> bool {
        self.slab.contains(key.0 as usize)
    }

    pub(crate) fn find(&self, id: ConnectionId) -> Option<ConnectionKey> {
        self.ids.get(id.0)
    }

    /// Returns the draining connection of a removed stream, if there is one.
    pub(crate) fn draining_from_removed(&self, stream: StreamId) -> Option<ConnectionKey> {
        let mut keys = self.ids.iter().map(|(_, key)| key);
        keys.find(|key| self[*key].role == Role::Draining(Source::Removed(stream)))
    }

    pub(crate) fn add(&mut self, connection: Connection) -> ConnectionKey {
        let id = connection.id;
        let key = ConnectionKey(to_key(self.slab.insert(connection)));
        self.ids.insert(id.0, key);
        key
    }

    pub(crate) fn remove(&mut self, key: ConnectionKey) {
        let connection = self.slab.remove(key.0 as usize);
        self.ids.remove(connection.id.0);
        if matches!(connection.role, Role::Shadow) {
            self.remove_shadow(key);
        }
        capacity::shrink_slab(&mut self.slab);
    }

    /// Records that a connection was closed, and drains.
    pub(crate) fn drain(&mut self, key: ConnectionKey) {
        let source = match self[key].role {
            Role::Initialize => Source::Initialize,
            Role::Attached(stream) => Source::Stream(stream),
            Role::Shadow => {
                self.remove_shadow(key);
                Source::Stream(STANDALONE)
            }
            Role::Draining(source) => source,
        };
        self[key].role = Role::Draining(source);
    }

    /// Returns the shadows of the standalone stream, oldest first.
    pub(crate) fn shadows(&self) -> &[ConnectionKey] {
        &self.shadows
    }

    /// Makes a connection the newest shadow of the standalone stream.
    pub(crate) fn add_shadow(&mut self, key: ConnectionKey) {
        self[key].role = Role::Shadow;
        self.shadows.push(key);
    }

    /// Gives the newest shadow the role of the connection that is attached to the standalone
    /// stream, and returns it.
    pub(crate) fn promote_shadow(&mut self) -> Option<ConnectionKey> {
        let newest = self.shadows.pop()?;
        self[newest].role = Role::Attached(STANDALONE);
        Some(newest)
    }

    #[cold]
    fn remove_shadow(&mut self, key: ConnectionKey) {
        self.shadows.retain(|shadow| *shadow != key);
        if self.shadows.is_empty() {
            self.shadows = Vec::new();
        }
    }

    /// Iterates over the connections, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnectionId, ConnectionKey)> {
        self.ids.iter().map(|(id, key)| (ConnectionId(id), key))
    }
}

#[expect(clippy::indexing_slicing, reason = "a key is dropped with the entry it refers to")]
impl Index<ConnectionKey> for Connections {
    type Output = Connection;

    fn index(&self, key: ConnectionKey) -> &Connection {
        &self.slab[key.0 as usize]
    }
}

#[expect(clippy::indexing_slicing, reason = "a key is dropped with the entry it refers to")]
impl IndexMut<ConnectionKey> for Connections {
    fn index_mut(&mut self, key: ConnectionKey) -> &mut Connection {
        &mut self.slab[key.0 as usize]
    }
}
