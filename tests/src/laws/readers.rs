//! Readers: what each connection was sent, and from where on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Range, RangeInclusive};

use rejoin_core::{
    Action, ConnectionId, EVENT_OVERHEAD_BYTES, EndReason, Event, EventId, Input, StreamId,
};

use super::{Step, View};

/// What connections were sent, and how far it was taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Readers {
    by_connection: BTreeMap<ConnectionId, Reader>,
    acknowledged: AcknowledgedRange,
    /// What the messages cost that were recorded.
    costs: BTreeMap<(StreamId, u64), usize>,
    /// The most that may have been in flight in the last step.
    peak_bytes: usize,
}

/// What was taken of the standalone stream: at least this, at most that. Between
/// the two lie indexes without an event.
#[derive(Clone, Copy, Debug, Default)]
struct AcknowledgedRange {
    min: u64,
    max: u64,
}

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    stream: Option<StreamId>,
    /// What it took, or had before.
    acknowledged: u64,
    /// Nothing up to here may come.
    floor: u64,
    /// Nothing after this may be left out.
    expected_after: u64,
    /// What was sent and not taken.
    in_flight: VecDeque<(u64, usize)>,
    /// Whether that is all.
    is_exact: bool,
    /// Of what it was told that it is missing.
    gaps: Vec<RangeInclusive<u64>>,
    /// Whether its stream is known to be carried by it, and from where on.
    is_attached: bool,
    is_closed: bool,
}

/// An event that was sent on a connection, or the end of all that it will get.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// On which connection.
    pub(super) connection: ConnectionId,
    /// The stream that the connection carries, `None` for that of `initialize`.
    pub(super) stream: Option<StreamId>,
    /// The event, `None` at the end.
    pub(super) event: Option<SentEvent>,
    /// What may not come any more.
    pub(super) floor: u64,
    /// What was passed by.
    pub(super) skipped: Range<u64>,
    /// What was told as a gap.
    pub(super) gaps: Vec<RangeInclusive<u64>>,
    /// Another connection that holds the same event.
    pub(super) also_on: Option<ConnectionId>,
    /// What is in flight with it at least, unless nothing else is on its connection, or it
    /// costs nothing.
    pub(super) bytes_in_flight: Option<usize>,
}

/// An event that was sent.
#[derive(Clone, Debug)]
pub(super) struct SentEvent {
    /// Its index.
    pub(super) index: u64,
    /// What it is.
    pub(super) event: Event<u64>,
    /// The stream that its id names.
    pub(super) id_stream: Option<StreamId>,
}

impl Readers {
    /// Follows a step, and returns what was sent in it.
    pub(super) fn follow(&mut self, before: &View, step: &Step) -> Vec<Sent> {
        let least = self.acknowledged.min;
        self.add_reader(before, step);
        self.record_cost(before, step);
        self.peak_bytes = self.bytes_in_flight(None);
        self.acknowledge(step, true);
        let is_due = before.deadline.is_some_and(|deadline| step.now >= deadline);
        let may_take_over = is_due && self.acknowledges_on_shadow(step);
        let mut sent = self.follow_actions(least, before, step);
        if may_take_over {
            for sent in &mut sent {
                sent.bytes_in_flight = None;
            }
            // Some of what was sent may have come before it was taken.
            self.acknowledge(step, false);
        }
        for seat in &step.after.connections {
            if let Some(reader) = self.by_connection.get_mut(&seat.connection) {
                if seat.stream.is_some() {
                    reader.attach(least, self.acknowledged.max);
                }
                reader.is_attached = seat.stream.is_some();
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

    /// Returns how many events each connection holds.
    pub(super) fn events_in_flight(&self) -> impl Iterator<Item = (ConnectionId, usize)> {
        self.by_connection.iter().map(|(connection, reader)| (*connection, reader.in_flight.len()))
    }

    /// Returns the most that may have been in flight in the last step.
    pub(super) fn peak_bytes(&self) -> usize {
        self.peak_bytes
    }

    /// Returns what is in flight on all connections but one.
    fn bytes_in_flight(&self, but: Option<ConnectionId>) -> usize {
        let others = self.by_connection.iter().filter(|(connection, _)| Some(**connection) != but);
        others.flat_map(|(_, reader)| &reader.in_flight).map(|(_, cost)| cost).sum()
    }

    /// Notes what the message costs that is recorded in a step.
    fn record_cost(&mut self, before: &View, step: &Step) {
        let Input::BackendMessage { message, .. } = &step.input else {
            return;
        };
        let cost = message.bytes.saturating_add(EVENT_OVERHEAD_BYTES);
        self.costs.retain(|(stream, _), _| step.after.log(*stream).is_some());
        for log in &step.after.logs {
            if before.log(log.stream).is_none_or(|earlier| earlier.last < log.last) {
                self.costs.insert((log.stream, log.last), cost);
            }
        }
    }

    /// Returns what an event costs.
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

    /// Notes an event that is sent.
    fn send(
        &mut self,
        step: &Step,
        connection: ConnectionId,
        taken: (u64, u64),
        event: SentEvent,
    ) -> Sent {
        let (index, named) = (event.index, event.id_stream);
        let cost = self.cost(step, named, &event);
        let closed = if let Input::ConnectionClosed { connection, .. } = &step.input {
            Some(*connection)
        } else {
            None
        };
        let reader = self.by_connection.get_mut(&connection);
        let is_alone = reader.as_ref().is_none_or(|reader| reader.in_flight.is_empty());
        let sent = send(reader, connection, taken, event, cost);
        self.peak_bytes = self.peak_bytes.saturating_add(cost);
        let is_sure = self.by_connection.values().all(|reader| reader.is_exact);
        let crowd = (is_sure && !is_alone && cost > 0).then(|| self.bytes_in_flight(closed));
        let also_on = self.other_holder(step, connection, named, index);
        Sent { also_on, bytes_in_flight: crowd, ..sent }
    }

    /// Returns the connections that hold nothing for sure.
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

    /// Notes the connection that the input begins.
    fn add_reader(&mut self, before: &View, step: &Step) {
        if step.result.is_err() {
            return;
        }
        let (connection, reader) = match &step.input {
            Input::Request { connection, .. } | Input::Reserve { connection } => {
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
            Input::Message { .. }
            | Input::Acknowledged { .. }
            | Input::ConnectionClosed { .. }
            | Input::Abandon { .. }
            | Input::Delete
            | Input::CloseSession { .. }
            | Input::BackendMessage { .. }
            | Input::Disconnect { .. }
            | Input::BackendGone
            | Input::Tick => return,
        };
        self.by_connection.insert(*connection, reader);
    }

    /// Returns whether the input says what was taken of a connection that carried
    /// nothing before.
    fn acknowledges_on_shadow(&self, step: &Step) -> bool {
        let (Input::Acknowledged { connection, .. } | Input::ConnectionClosed { connection, .. }) =
            &step.input
        else {
            return false;
        };
        self.by_connection.get(connection).is_some_and(|reader| !reader.is_attached)
    }

    /// Notes what the input says was taken, unless its connection was cut before:
    /// for sure, or perhaps.
    fn acknowledge(&mut self, step: &Step, is_sure: bool) {
        let (Input::Acknowledged { connection, through: index }
        | Input::ConnectionClosed { connection, through: Some(index) }) = &step.input
        else {
            return;
        };
        let is_cut = |action: &Action<u64>| {
            let Action::Close { connection: ended, reason } = action else {
                return false;
            };
            ended == connection && !reason.drains()
        };
        if step.actions.iter().any(is_cut) {
            return;
        }
        let Some(reader) = self.by_connection.get_mut(connection) else {
            return;
        };
        let pulled = reader.in_flight.iter().take_while(|(sent, _)| sent <= index).count();
        let last = reader.in_flight.drain(..pulled).next_back().map(|(sent, _)| sent);
        reader.acknowledged = last.unwrap_or(reader.acknowledged);
        reader.is_exact &= is_sure;
        if reader.stream == Some(StreamId::Standalone) {
            let surely = last.filter(|_| is_sure).unwrap_or(0);
            self.acknowledged.raise(surely, reader.expected_after.min(*index));
        }
    }

    fn follow_actions(&mut self, least: u64, before: &View, step: &Step) -> Vec<Sent> {
        let most = self.acknowledged.max;
        let mut sent = Vec::new();
        let mut replays = step.replays.iter();
        for action in &step.actions {
            match action {
                Action::Send { connection, index, id, event } => {
                    let named = id.map(|id| id.stream);
                    let event = SentEvent { index: *index, event: event.clone(), id_stream: named };
                    sent.push(self.send(step, *connection, (least, most), event));
                }
                Action::Replay { connection, stream, .. } => {
                    for (index, event) in replays.next().into_iter().flatten() {
                        let named = Some(*stream);
                        let event =
                            SentEvent { index: *index, event: event.clone(), id_stream: named };
                        sent.push(self.send(step, *connection, (least, most), event));
                    }
                }
                Action::Gap { connection, missed, .. } => {
                    if let Some(reader) = self.by_connection.get_mut(connection) {
                        reader.attach(least, most);
                        reader.gaps.push(missed.clone());
                    }
                }
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
                Action::Forward { .. }
                | Action::FailServerRequest { .. }
                | Action::CancelRequest { .. }
                | Action::Release { .. }
                | Action::SessionClosed { .. }
                | Action::Report(_) => {}
            }
        }
        sent
    }

    /// Returns another connection that holds an event which it could still send.
    fn other_holder(
        &self,
        step: &Step,
        connection: ConnectionId,
        stream: Option<StreamId>,
        index: u64,
    ) -> Option<ConnectionId> {
        let holds = |(other, reader): &(&ConnectionId, &Reader)| {
            let is_gone = matches!(step.input, Input::ConnectionClosed { connection, .. } if connection == **other);
            let is_other = **other != connection && !is_gone;
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
        reason: EndReason,
    ) -> Option<Sent> {
        let reader = self.by_connection.get_mut(&connection)?;
        reader.is_closed = true;
        let reader = reader.clone();
        if !reason.drains() {
            self.by_connection.remove(&connection);
        }
        if reason != EndReason::Complete {
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
            bytes_in_flight: None,
        })
    }
}

/// Notes an event that is sent to a reader; on a connection that is not there, or has
/// ended, nothing may come any more.
fn send(
    reader: Option<&mut Reader>,
    connection: ConnectionId,
    (least, most): (u64, u64),
    event: SentEvent,
    cost: usize,
) -> Sent {
    let index = event.index;
    let Some(reader) = reader.filter(|reader| !reader.is_closed) else {
        let event = Some(event);
        let (floor, skipped) = (u64::MAX, 0..0);
        let gaps = Vec::new();
        let (also_on, crowd) = (None, None);
        return Sent {
            connection,
            stream: None,
            event,
            floor,
            skipped,
            gaps,
            also_on,
            bytes_in_flight: crowd,
        };
    };
    reader.attach(least, most);
    reader.stream = reader.stream.or(event.id_stream);
    let sent = Sent {
        connection,
        stream: reader.stream,
        event: Some(event),
        floor: reader.floor,
        skipped: reader.expected_after.saturating_add(1)..index,
        gaps: reader.gaps.clone(),
        also_on: None,
        bytes_in_flight: None,
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

    /// Begins to carry the standalone stream, if it did not: what others took
    /// does not come again.
    fn attach(&mut self, least: u64, most: u64) {
        if !self.is_attached && self.stream == Some(StreamId::Standalone) {
            self.floor = self.floor.max(least);
            self.expected_after = self.expected_after.max(most);
            self.is_attached = true;
        }
    }
}

impl AcknowledgedRange {
    fn raise(&mut self, least: u64, most: u64) {
        self.min = self.min.max(least);
        self.max = self.max.max(most);
    }
}
