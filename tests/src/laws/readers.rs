//! Readers: what each connection was sent, and has acknowledged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Range, RangeInclusive};

use rejoin_core::{
    Action, CloseReason, ConnectionId, EVENT_OVERHEAD_BYTES, Event, EventId, Input, StreamId,
};

use super::{Step, View, sent_event};

/// What all connections were sent, and how far it was acknowledged.
#[derive(Clone, Debug, Default)]
pub(super) struct Readers {
    by_connection: BTreeMap<ConnectionId, Reader>,
    acknowledged: AcknowledgedRange,
    /// The costs of recorded messages, in bytes.
    costs: BTreeMap<(StreamId, u64), usize>,
}

/// Bounds of the acknowledged index of the standalone stream. Between the two are indexes
/// without an event.
#[derive(Clone, Copy, Debug, Default)]
struct AcknowledgedRange {
    min: u64,
    max: u64,
}

impl Readers {
    /// Returns the readers of a new session: none. A session that replaces an earlier one counts
    /// the events of that as acknowledged.
    pub(super) fn of_new(session: &View) -> Self {
        let standalone = session.logs.iter().find(|log| log.stream == StreamId::Standalone);
        let last = standalone.map_or(0, |log| log.last);
        Self { acknowledged: AcknowledgedRange { min: last, max: last }, ..Self::default() }
    }
}

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    stream: Option<StreamId>,
    /// The highest index that it acknowledged, or that its client had before.
    acknowledged: u64,
    /// No event up to here may be sent.
    floor: u64,
    /// No event after this may be skipped.
    expected_after: u64,
    /// Index and cost of what was sent and not acknowledged.
    in_flight: VecDeque<(u64, usize)>,
    /// Whether that is known exactly.
    is_exact: bool,
    /// The gaps that were reported to it.
    gaps: Vec<RangeInclusive<u64>>,
    /// Whether it is known to be attached, and from where on.
    is_attached: bool,
    is_closed: bool,
}

/// An event that was sent on a connection, or the completion of the connection.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// The connection.
    pub(super) connection: ConnectionId,
    /// The stream of the connection, `None` for that of `initialize`.
    pub(super) stream: Option<StreamId>,
    /// The event, `None` for the completion.
    pub(super) event: Option<SentEvent>,
    /// The highest index that must not be sent again.
    pub(super) floor: u64,
    /// The skipped indexes.
    pub(super) skipped: Range<u64>,
    /// The gaps that were reported.
    pub(super) gaps: Vec<RangeInclusive<u64>>,
    /// Another connection on which the same event is in flight.
    pub(super) also_on: Option<ConnectionId>,
}

/// An event in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    /// The connection.
    pub(super) connection: ConnectionId,
    /// The stream of the connection, `None` for that of `initialize`.
    pub(super) stream: Option<StreamId>,
    /// Its index.
    pub(super) index: u64,
    /// Its cost, in bytes.
    pub(super) cost: usize,
}

/// An event that was sent.
#[derive(Clone, Debug)]
pub(super) struct SentEvent {
    /// Its index.
    pub(super) index: u64,
    /// The event.
    pub(super) event: Event<u64>,
    /// The stream in its id.
    pub(super) id_stream: Option<StreamId>,
}

impl Readers {
    /// Follows a step, and returns what was sent in it.
    pub(super) fn follow(&mut self, before: &View, step: &Step) -> Vec<Sent> {
        let min = self.acknowledged.min;
        self.add_reader(before, step);
        self.record_cost(before, step);
        self.acknowledge(step, true);
        let is_due = before.deadline.is_some_and(|deadline| step.now >= deadline);
        let may_be_promoted = is_due && self.acknowledges_on_shadow(step);
        let sent = self.follow_actions(min, before, step);
        if may_be_promoted {
            // Some of it may have been sent before the acknowledgement.
            self.acknowledge(step, false);
        }
        for view in &step.after.connections {
            if let Some(reader) = self.by_connection.get_mut(&view.connection) {
                if view.stream.is_some() {
                    reader.attach(min, self.acknowledged.max);
                }
                reader.is_attached = view.stream.is_some();
            }
        }
        if let Input::ConnectionClosed { connection, .. } = &step.input {
            self.by_connection.remove(connection);
        }
        if step.after.closed.is_some() {
            self.by_connection.clear();
        }
        sent
    }

    /// Returns how many events are in flight on each connection.
    pub(super) fn events_in_flight(&self) -> impl Iterator<Item = (ConnectionId, usize)> {
        self.by_connection.iter().map(|(connection, reader)| (*connection, reader.in_flight.len()))
    }

    /// Iterates over the events in flight that cost something: all of them, if that
    /// [is known exactly](Self::is_exact).
    pub(super) fn in_flight(&self) -> impl Iterator<Item = InFlight> {
        let all = self.by_connection.iter().flat_map(|(connection, reader)| {
            let (connection, stream) = (*connection, reader.stream);
            let events = reader.in_flight.iter();
            events.map(move |(index, cost)| InFlight {
                connection,
                stream,
                index: *index,
                cost: *cost,
            })
        });
        all.filter(|event| event.cost > 0)
    }

    /// Returns whether it is known exactly what is in flight.
    pub(super) fn is_exact(&self) -> bool {
        self.by_connection.values().all(|reader| reader.is_exact)
    }

    /// Notes the cost of the message that a step records.
    fn record_cost(&mut self, before: &View, step: &Step) {
        let (Input::BackendMessage { message, .. }, Ok(())) = (&step.input, &step.result) else {
            return;
        };
        let cost = message.bytes.saturating_add(EVENT_OVERHEAD_BYTES);
        self.costs.retain(|(stream, _), _| step.after.log(*stream).is_some());
        for log in &step.after.logs {
            // A priming event, which costs nothing, may follow.
            let last = before.log(log.stream).map_or(0, |earlier| earlier.last);
            let new = last.saturating_add(1)..=log.last;
            self.costs.extend(new.map(|index| ((log.stream, index), cost)));
        }
    }

    /// Returns the cost of an event, in bytes.
    fn cost(&self, step: &Step, stream: Option<StreamId>, event: &SentEvent) -> usize {
        let Event::Message(body) = &event.event else {
            return 0;
        };
        if let Input::BackendMessage { message, .. } = &step.input
            && message.body == *body
        {
            return message.bytes.saturating_add(EVENT_OVERHEAD_BYTES);
        }
        stream.and_then(|it| self.costs.get(&(it, event.index))).copied().unwrap_or(0)
    }

    /// Notes a sent event.
    fn send(
        &mut self,
        step: &Step,
        connection: ConnectionId,
        bounds: (u64, u64),
        event: SentEvent,
    ) -> Sent {
        let (index, id_stream) = (event.index, event.id_stream);
        // A whole answer has no id.
        let stream = id_stream.or_else(|| self.by_connection.get(&connection)?.stream);
        let cost = self.cost(step, stream, &event);
        let reader = self.by_connection.get_mut(&connection);
        let sent = send(reader, connection, bounds, event, cost);
        let also_on = self.other_holder(step, connection, id_stream, index);
        Sent { also_on, ..sent }
    }

    /// Returns the connections that certainly have nothing in flight.
    pub(super) fn empty_connections(&self) -> BTreeSet<ConnectionId> {
        let is_empty = |reader: &Reader| reader.is_exact && reader.in_flight.is_empty();
        let empty = self.by_connection.iter().filter(|(_, reader)| is_empty(reader));
        empty.map(|(connection, _)| *connection).collect()
    }

    /// Returns how many connections are shadows.
    pub(super) fn shadows(&self) -> usize {
        let is_shadow = |reader: &&Reader| {
            reader.stream == Some(StreamId::Standalone) && !reader.is_attached && !reader.is_closed
        };
        self.by_connection.values().filter(is_shadow).count()
    }

    /// Adds the connection that the input opens.
    fn add_reader(&mut self, before: &View, step: &Step) {
        if step.result.is_err() {
            return;
        }
        let (connection, reader) = match &step.input {
            Input::Post { post, .. } if !post.has_request() => return,
            Input::Post { connection, .. } => {
                if before.connection(*connection).is_some() {
                    return;
                }
                (connection, Reader::after(step.after.stream_on(*connection), 0))
            }
            Input::Get { connection, last_event_id: None } => {
                (connection, Reader::after(Some(StreamId::Standalone), 0))
            }
            Input::Get { connection, last_event_id: Some(EventId { stream, index }) } => {
                if *stream == StreamId::Standalone {
                    self.acknowledged.raise(*index, *index);
                }
                let reader = Reader::after(Some(*stream), *index);
                (connection, Reader { is_attached: true, ..reader })
            }
            Input::Acknowledged { .. }
            | Input::ConnectionClosed { .. }
            | Input::Abandon { .. }
            | Input::Delete
            | Input::CloseSession { .. }
            | Input::BackendMessage { .. }
            | Input::Disconnect { .. }
            | Input::BackendGone
            | Input::BackendLost
            | Input::Committed { .. }
            | Input::LimitBytes { .. }
            | Input::Drain { .. }
            | Input::Tick => return,
        };
        if may_replace(step) {
            // An attached connection becomes a shadow, and may be promoted within the step.
            let others = self.by_connection.values_mut();
            others.for_each(|other| other.is_attached &= other.stream != reader.stream);
        }
        self.by_connection.insert(*connection, reader);
    }

    /// Returns whether the input acknowledges events of a connection that was not attached.
    fn acknowledges_on_shadow(&self, step: &Step) -> bool {
        let (Input::Acknowledged { connection, .. } | Input::ConnectionClosed { connection, .. }) =
            &step.input
        else {
            return false;
        };
        self.by_connection.get(connection).is_some_and(|reader| !reader.is_attached)
    }

    /// Applies the acknowledgement of the input, unless its connection was cut before. It
    /// is exact, or may have come too early.
    fn acknowledge(&mut self, step: &Step, is_exact: bool) {
        let (Input::Acknowledged { connection, through: index }
        | Input::ConnectionClosed { connection, through: Some(index) }) = &step.input
        else {
            return;
        };
        let Some(reader) = self.by_connection.get_mut(connection) else {
            return;
        };
        if step.cuts(*connection) {
            // Before the acknowledgement, or after it to make room.
            if reader.stream == Some(StreamId::Standalone) {
                self.acknowledged.raise(0, reader.expected_after.min(*index));
            }
            return;
        }
        let acknowledged = reader.in_flight.iter().take_while(|(sent, _)| sent <= index).count();
        let last = reader.in_flight.drain(..acknowledged).next_back().map(|(sent, _)| sent);
        reader.acknowledged = last.unwrap_or(reader.acknowledged);
        reader.is_exact &= is_exact;
        if reader.stream == Some(StreamId::Standalone) {
            let exact = last.filter(|_| is_exact).unwrap_or(0);
            self.acknowledged.raise(exact, reader.expected_after.min(*index));
        }
    }

    fn follow_actions(&mut self, min: u64, before: &View, step: &Step) -> Vec<Sent> {
        let max = self.acknowledged.max;
        let mut sent = Vec::new();
        for action in &step.actions {
            if let Some((connection, index, id, event)) = sent_event(action) {
                if let Event::Gap { first } = event
                    && let Some(reader) = self.by_connection.get_mut(&connection)
                {
                    reader.gaps.push(first..=index);
                }
                let id_stream = id.map(|id| id.stream);
                let event = SentEvent { index, event, id_stream };
                sent.push(self.send(step, connection, (min, max), event));
                continue;
            }
            match action {
                Action::Discard { connection } => {
                    if let Some(reader) = self.by_connection.get_mut(connection) {
                        reader.in_flight.clear();
                        reader.expected_after = reader.acknowledged;
                        reader.floor = reader.acknowledged;
                        reader.gaps.clear();
                        reader.is_exact = true;
                    }
                }
                Action::Close { connection, reason } => {
                    sent.extend(self.close(before, step, *connection, *reason));
                }
                Action::Cut { connection, .. } => {
                    self.by_connection.remove(connection);
                }
                Action::Send { .. }
                | Action::Respond { .. }
                | Action::Forward { .. }
                | Action::FailServerRequest { .. }
                | Action::CancelRequest { .. }
                | Action::Hold { .. }
                | Action::Release { .. }
                | Action::SessionClosed { .. }
                | Action::Commit(_)
                | Action::Report(_) => {}
            }
        }
        sent
    }

    /// Returns another connection on which the event is in flight.
    fn other_holder(
        &self,
        step: &Step,
        connection: ConnectionId,
        stream: Option<StreamId>,
        index: u64,
    ) -> Option<ConnectionId> {
        let holds = |(other, reader): &(&ConnectionId, &Reader)| {
            let is_closed = matches!(step.input, Input::ConnectionClosed { connection, .. } if connection == **other);
            let is_other = **other != connection && !is_closed;
            let holds_it = reader.in_flight.iter().any(|(held, _)| *held == index);
            is_other && reader.stream == stream && holds_it
        };
        stream?;
        self.by_connection.iter().find(holds).map(|(other, _)| *other)
    }

    fn close(
        &mut self,
        before: &View,
        step: &Step,
        connection: ConnectionId,
        reason: CloseReason,
    ) -> Option<Sent> {
        let reader = self.by_connection.get_mut(&connection)?;
        reader.is_closed = true;
        let reader = reader.clone();
        if reason != CloseReason::Complete {
            return None;
        }
        let stream = reader.stream?;
        let log = step.after.log(stream).or_else(|| before.log(stream))?;
        Some(Sent {
            connection,
            stream: reader.stream,
            event: None,
            floor: reader.floor,
            skipped: reader.expected_after.saturating_add(1)..log.last.saturating_add(1),
            gaps: reader.gaps,
            also_on: None,
        })
    }
}

/// Returns whether the connection that the input opens may have been attached in place of another.
fn may_replace(step: &Step) -> bool {
    let Input::Get { connection, last_event_id } = &step.input else {
        return false;
    };
    let is_cut = |action: &Action<u64>| matches!(action, Action::Cut { .. });
    last_event_id.is_some()
        || step.after.stream_on(*connection).is_some()
        || step.actions.iter().any(is_cut)
}

/// Notes an event that is sent to a reader. On an unknown or closed connection, no event
/// is allowed.
fn send(
    reader: Option<&mut Reader>,
    connection: ConnectionId,
    (min, max): (u64, u64),
    event: SentEvent,
    cost: usize,
) -> Sent {
    let index = event.index;
    let Some(reader) = reader.filter(|reader| !reader.is_closed) else {
        let event = Some(event);
        let (floor, skipped) = (u64::MAX, 0..0);
        let gaps = Vec::new();
        return Sent { connection, stream: None, event, floor, skipped, gaps, also_on: None };
    };
    reader.attach(min, max);
    reader.stream = reader.stream.or(event.id_stream);
    let sent = Sent {
        connection,
        stream: reader.stream,
        event: Some(event),
        floor: reader.floor,
        skipped: reader.expected_after.saturating_add(1)..index,
        gaps: reader.gaps.clone(),
        also_on: None,
    };
    reader.floor = index;
    reader.expected_after = index;
    reader.in_flight.push_back((index, cost));
    sent
}

impl Reader {
    fn after(stream: Option<StreamId>, index: u64) -> Self {
        Self {
            stream,
            acknowledged: index,
            floor: index,
            expected_after: index,
            in_flight: VecDeque::new(),
            is_exact: true,
            gaps: Vec::new(),
            is_attached: false,
            is_closed: false,
        }
    }

    /// Attaches the reader to the standalone stream, if it was not: what other connections
    /// acknowledged is not sent again.
    fn attach(&mut self, min: u64, max: u64) {
        if !self.is_attached && self.stream == Some(StreamId::Standalone) {
            self.floor = self.floor.max(min);
            self.expected_after = self.expected_after.max(max);
            self.is_attached = true;
        }
    }
}

impl AcknowledgedRange {
    fn raise(&mut self, min: u64, max: u64) {
        self.min = self.min.max(min);
        self.max = self.max.max(max);
    }
}
