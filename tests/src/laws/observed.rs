//! Sessions whose state is read after every input.

use std::{collections::BTreeSet, time::Duration};

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
            requests: self.requests.clone(),
        };
        Ok((restored, actions.drain().collect()))
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
        let actions = self.actions.drain().collect();
        if result.is_ok() {
            let ids = posted(&input).iter().filter_map(|message| request_id(&message.head));
            self.requests.extend(ids.cloned());
        }
        let after = self.view();
        Step { now, input, result, actions, after }
    }

    /// Reads the state of the session.
    pub fn view(&mut self) -> View {
        let Self { session, clock, streams, requests, .. } = self;
        let connections: Vec<ConnectionView> =
            session.connections().map(|id| connection_view(session, id)).collect();
        streams.extend(connections.iter().filter_map(|view| view.stream));
        let logs: Vec<LogView> = streams.iter().filter_map(|id| log_view(session, *id)).collect();
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

fn connection_view(session: &Session<u64>, connection: ConnectionId) -> ConnectionView {
    let cursor = session.cursor(connection).map(Position::from);
    let stream = session.stream_on(connection);
    let first = stream.zip(cursor).and_then(|(stream, cursor)| {
        let logged = session.log(stream)?.range(cursor.next..u64::MAX).next()?;
        let cost = match &logged.entry {
            Entry::Message { bytes, .. } => bytes.saturating_add(EVENT_OVERHEAD_BYTES),
            Entry::Failure(_) => 0,
        };
        Some((logged.index, cost))
    });
    let (first, cost) = first.unzip();
    ConnectionView { connection, stream, cursor, next_logged: first, next_cost: cost.unwrap_or(0) }
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
        newest: log.range(last..last.saturating_add(1)).next().map(|logged| event(logged).1),
    })
}
