//! Sessions whose state is read after every input.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rejoin_core::{
    Action, Actions, ConnectionId, EVENT_OVERHEAD_BYTES, Entry, Event, Input, Instant, Logged,
    RequestId, Session, StreamId, ValidConfig,
};

use super::{ConnectionView, LogView, Position, Step, View, posted, request_id};

/// A session, and the keys that are needed to read a [`View`] of it.
#[derive(Debug)]
pub struct ObservedSession {
    session: Session<u64>,
    clock: ClockOffset,
    actions: Actions<u64>,
    streams: BTreeSet<StreamId>,
    /// The stream that each known connection is, or was, attached to.
    streams_on: BTreeMap<ConnectionId, StreamId>,
    requests: Vec<RequestId>,
}

/// The offset of the session's clock: its `inner` time corresponds to the `outer` one.
#[derive(Clone, Copy, Debug)]
struct ClockOffset {
    outer: Instant,
    inner: Instant,
}

impl ClockOffset {
    fn to_inner(self, outer: Instant) -> Instant {
        self.inner.saturating_add(outer.since(self.outer))
    }

    fn to_outer(self, inner: Instant) -> Instant {
        self.outer.saturating_add(inner.since(self.inner))
    }
}

impl ObservedSession {
    /// Wraps a session that was just created at `now`.
    #[must_use]
    pub fn new(session: Session<u64>, now: Instant) -> Self {
        Self {
            session,
            clock: ClockOffset { outer: now, inner: now },
            actions: Actions::new(),
            streams: BTreeSet::from([StreamId::Standalone]),
            streams_on: BTreeMap::new(),
            requests: Vec::new(),
        }
    }

    /// Returns the session that is restored from a snapshot of this one, by way of JSON, on
    /// a clock that shows `restored_now` when this one shows `now`.
    ///
    /// # Errors
    ///
    /// The snapshot cannot be serialized, deserialized or restored.
    pub fn restore(
        &self,
        config: &ValidConfig,
        now: Instant,
        restored_now: Instant,
    ) -> Result<(Self, Vec<Action<u64>>), String> {
        let text = self.snapshot_json()?;
        let snapshot = serde_json::from_str(&text).map_err(|it| it.to_string())?;
        let mut actions = Actions::new();
        let session = Session::restore(snapshot, config.clone(), restored_now, &mut actions)
            .map_err(|error| format!("{error}: {text}"))?;
        let restored = Self {
            session,
            clock: ClockOffset { outer: now, inner: restored_now },
            actions: Actions::new(),
            streams: self.streams.clone(),
            streams_on: BTreeMap::new(),
            requests: self.requests.clone(),
        };
        Ok((restored, actions.drain().collect()))
    }

    /// Returns the session.
    #[must_use]
    pub fn session(&self) -> &Session<u64> {
        &self.session
    }

    /// Returns a snapshot of the session as JSON.
    ///
    /// # Errors
    ///
    /// The snapshot cannot be serialized.
    pub fn snapshot_json(&self) -> Result<String, String> {
        serde_json::to_string(&self.session.snapshot()).map_err(|it| it.to_string())
    }

    /// Handles an input.
    ///
    /// # Panics
    ///
    /// A rejected input comes back changed.
    pub fn step(&mut self, now: Instant, input: Input<u64>) -> Step {
        self.actions.clear();
        let result =
            self.session.handle(self.clock.to_inner(now), input.clone(), &mut self.actions);
        let result = result.map_err(|rejected| {
            assert_eq!(rejected.input, input, "a rejected input comes back unchanged");
            rejected.reason
        });
        let actions: Vec<Action<u64>> = self.actions.drain().collect();
        for action in &actions {
            // A connection may be attached and closed within one step.
            if let Action::Send { connection, id, .. } = action {
                self.streams_on.insert(*connection, id.stream);
            }
        }
        if result.is_ok() {
            let ids = posted(&input).iter().filter_map(|message| request_id(&message.head));
            self.requests.extend(ids.cloned());
        }
        let after = self.view();
        Step { now, input, result, actions, after }
    }

    /// Reads the state of the session.
    pub fn view(&mut self) -> View {
        let Self { session, clock, streams, streams_on, requests, .. } = self;
        let connections: Vec<ConnectionView> =
            session.connections().map(|id| connection_view(session, id)).collect();
        streams.extend(connections.iter().filter_map(|view| view.stream));
        streams_on.retain(|id, _| session.cursor(*id).is_some());
        streams_on.extend(connections.iter().filter_map(|it| Some((it.connection, it.stream?))));
        let mut logs: Vec<LogView> =
            streams.iter().filter_map(|id| log_view(session, *id)).collect();
        for log in &mut logs {
            let on_it = streams_on.iter().filter(|(_, stream)| **stream == log.stream);
            log.in_flight = on_it.flat_map(|(id, _)| in_flight(session, log.stream, *id)).collect();
        }
        if logs.len() != streams.len() {
            *streams = logs.iter().map(|log| log.stream).collect();
            streams.insert(StreamId::Standalone);
        }
        let pair = |id: &RequestId| Some((id.clone(), session.stream_of(id)?));
        let pending: Vec<(RequestId, StreamId)> = requests.iter().filter_map(pair).collect();
        if pending.len() != requests.len() {
            *requests = pending.iter().map(|(id, _)| id.clone()).collect();
        }
        View {
            deadline: deadline(session).map(|deadline| clock.to_outer(deadline)),
            closed: session.close_reason(),
            pending: session.pending_requests(),
            bytes: session.kept_bytes(),
            connections,
            logs,
            requests: pending,
        }
    }
}

/// Returns the deadline by way of `deadline_before`, with a limit just after it.
fn deadline(session: &Session<u64>) -> Option<Instant> {
    let limit = session.deadline()?.saturating_add(Duration::from_nanos(1));
    session.deadline_before(limit)
}

/// Returns an event as it is sent.
fn event(logged: &Logged<u64>) -> (u64, Event<u64>) {
    let event = match &logged.entry {
        Entry::Message { body, .. } => Event::Message(*body),
        Entry::Failure(failure) => Event::Failure(failure.clone()),
    };
    (logged.index, event)
}

/// Returns the cost of an event, in bytes.
fn cost(logged: &Logged<u64>) -> usize {
    match &logged.entry {
        Entry::Message { bytes, .. } => bytes.saturating_add(EVENT_OVERHEAD_BYTES),
        Entry::Failure(_) => 0,
    }
}

fn connection_view(session: &Session<u64>, connection: ConnectionId) -> ConnectionView {
    let cursor = session.cursor(connection).map(Position::from);
    let stream = session.stream_on(connection);
    let log = stream.and_then(|stream| session.log(stream)).zip(cursor);
    let next = log.and_then(|(log, cursor)| log.range(cursor.next..u64::MAX).next());
    let awaited = log.map(|(log, cursor)| log.range(cursor.first_unacknowledged..u64::MAX));
    ConnectionView {
        connection,
        stream,
        cursor,
        next_logged: next.map(|logged| logged.index),
        awaited_bytes: awaited.into_iter().flatten().map(cost).sum(),
    }
}

/// Returns index and cost of the logged messages that are in flight on a connection.
fn in_flight(
    session: &Session<u64>,
    stream: StreamId,
    connection: ConnectionId,
) -> Vec<(u64, usize)> {
    let cursor = session.cursor(connection).filter(|cursor| cursor.has_unacknowledged());
    let Some((cursor, log)) = cursor.zip(session.log(stream)) else {
        return Vec::new();
    };
    let sent = log.range(cursor.first_unacknowledged()..cursor.next());
    sent.map(|logged| (logged.index, cost(logged))).filter(|(_, cost)| *cost > 0).collect()
}

fn log_view(session: &Session<u64>, stream: StreamId) -> Option<LogView> {
    let log = session.log(stream)?;
    let last = log.last();
    Some(LogView {
        stream,
        last,
        missed: log.missed_through(),
        events: log.len(),
        bytes: log.bytes(),
        in_flight: Vec::new(),
        newest: log.range(last..last.saturating_add(1)).next().map(|logged| event(logged).1),
    })
}
