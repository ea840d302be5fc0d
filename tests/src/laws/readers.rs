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
    taken: Taken,
    /// What the messages cost that were recorded.
    costs: BTreeMap<(StreamId, u64), usize>,
    /// The most that may have been in flight in the last step.
    peak: usize,
}

/// What was taken of the standalone stream: at least this, at most that. Between
/// the two lie indexes without an event.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    least: u64,
    most: u64,
}

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    stream: Option<StreamId>,
    /// What it took, or had before.
    taken: u64,
    /// Nothing up to here may come.
    floor: u64,
    /// Nothing after this may be left out.
    from: u64,
    /// What was sent and not taken.
    outstanding: VecDeque<(u64, usize)>,
    /// Whether that is all.
    is_sure: bool,
    /// Of what it was told that it is missing.
    gaps: Vec<RangeInclusive<u64>>,
    /// Whether its stream is known to be carried by it, and from where on.
    carries: bool,
    ended: bool,
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
    pub(super) crowd: Option<usize>,
}

/// An event that was sent.
#[derive(Clone, Debug)]
pub(super) struct SentEvent {
    /// Its index.
    pub(super) index: u64,
    /// What it is.
    pub(super) event: Event<u64>,
    /// The stream that its id names.
    pub(super) named: Option<StreamId>,
}

impl Readers {
    /// Follows a step, and returns what was sent in it.
    pub(super) fn follow(&mut self, before: &View, step: &Step) -> Vec<Sent> {
        let least = self.taken.least;
        self.begin(before, step);
        self.note_cost(before, step);
        self.peak = self.in_flight(None);
        self.pull(step, true);
        let is_due = before.deadline.is_some_and(|deadline| step.now >= deadline);
        let may_take_over = is_due && self.is_shadow_taking(step);
        let mut sent = self.follow_actions(least, before, step);
        if may_take_over {
            for sent in &mut sent {
                sent.crowd = None;
            }
            // Some of what was sent may have come before it was taken.
            self.pull(step, false);
        }
        for seat in &step.after.connections {
            if let Some(reader) = self.by_connection.get_mut(&seat.connection) {
                if seat.carries.is_some() {
                    reader.carry(least, self.taken.most);
                }
                reader.carries = seat.carries.is_some();
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
    pub(super) fn outstanding(&self) -> impl Iterator<Item = (ConnectionId, usize)> {
        self.by_connection
            .iter()
            .map(|(connection, reader)| (*connection, reader.outstanding.len()))
    }

    /// Returns the most that may have been in flight in the last step.
    pub(super) fn peak(&self) -> usize {
        self.peak
    }

    /// Returns what is in flight on all connections but one.
    fn in_flight(&self, but: Option<ConnectionId>) -> usize {
        let others = self.by_connection.iter().filter(|(connection, _)| Some(**connection) != but);
        others.flat_map(|(_, reader)| &reader.outstanding).map(|(_, cost)| cost).sum()
    }

    /// Notes what the message costs that is recorded in a step.
    fn note_cost(&mut self, before: &View, step: &Step) {
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
        let (index, named) = (event.index, event.named);
        let cost = self.cost(step, named, &event);
        let closed = if let Input::ConnectionClosed { connection, .. } = &step.input {
            Some(*connection)
        } else {
            None
        };
        let reader = self.by_connection.get_mut(&connection);
        let is_alone = reader.as_ref().is_none_or(|reader| reader.outstanding.is_empty());
        let sent = send(reader, connection, taken, event, cost);
        self.peak = self.peak.saturating_add(cost);
        let is_sure = self.by_connection.values().all(|reader| reader.is_sure);
        let crowd = (is_sure && !is_alone && cost > 0).then(|| self.in_flight(closed));
        let also_on = self.other_holder(step, connection, named, index);
        Sent { also_on, crowd, ..sent }
    }

    /// Returns the connections that hold nothing for sure.
    pub(super) fn empty(&self) -> BTreeSet<ConnectionId> {
        let is_empty = |reader: &Reader| reader.is_sure && reader.outstanding.is_empty();
        let empty = self.by_connection.iter().filter(|(_, reader)| is_empty(reader));
        empty.map(|(connection, _)| *connection).collect()
    }

    /// Returns how many connections are shadows.
    pub(super) fn shadows(&self) -> usize {
        let is_shadow = |reader: &&Reader| {
            reader.stream == Some(StreamId::Standalone) && !reader.carries && !reader.ended
        };
        self.by_connection.values().filter(is_shadow).count()
    }

    /// Notes the connection that the input begins.
    fn begin(&mut self, before: &View, step: &Step) {
        if step.result.is_err() {
            return;
        }
        let (connection, reader) = match &step.input {
            Input::Request { connection, .. } | Input::Reserve { connection } => {
                if before.seat(*connection).is_some() {
                    return;
                }
                (connection, Reader::after(step.after.carried(*connection), 0))
            }
            Input::Get { connection, last_event_id: None } => {
                (connection, Reader::after(Some(StreamId::Standalone), 0))
            }
            Input::Get { connection, last_event_id: Some(EventId { stream, index }) } => {
                if *stream == StreamId::Standalone {
                    self.taken.raise(*index, *index);
                }
                let reader = Reader::after(Some(*stream), *index);
                (connection, Reader { carries: true, ..reader })
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
    fn is_shadow_taking(&self, step: &Step) -> bool {
        let (Input::Acknowledged { connection, .. } | Input::ConnectionClosed { connection, .. }) =
            &step.input
        else {
            return false;
        };
        self.by_connection.get(connection).is_some_and(|reader| !reader.carries)
    }

    /// Notes what the input says was taken, unless its connection was cut before:
    /// for sure, or perhaps.
    fn pull(&mut self, step: &Step, is_sure: bool) {
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
        let pulled = reader.outstanding.iter().take_while(|(sent, _)| sent <= index).count();
        let last = reader.outstanding.drain(..pulled).next_back().map(|(sent, _)| sent);
        reader.taken = last.unwrap_or(reader.taken);
        reader.is_sure &= is_sure;
        if reader.stream == Some(StreamId::Standalone) {
            let surely = last.filter(|_| is_sure).unwrap_or(0);
            self.taken.raise(surely, reader.from.min(*index));
        }
    }

    fn follow_actions(&mut self, least: u64, before: &View, step: &Step) -> Vec<Sent> {
        let most = self.taken.most;
        let mut sent = Vec::new();
        let mut replays = step.replays.iter();
        for action in &step.actions {
            match action {
                Action::Send { connection, index, id, event } => {
                    let named = id.map(|id| id.stream);
                    let event = SentEvent { index: *index, event: event.clone(), named };
                    sent.push(self.send(step, *connection, (least, most), event));
                }
                Action::Replay { connection, stream, .. } => {
                    for (index, event) in replays.next().into_iter().flatten() {
                        let named = Some(*stream);
                        let event = SentEvent { index: *index, event: event.clone(), named };
                        sent.push(self.send(step, *connection, (least, most), event));
                    }
                }
                Action::Gap { connection, missed, .. } => {
                    if let Some(reader) = self.by_connection.get_mut(connection) {
                        reader.carry(least, most);
                        reader.gaps.push(missed.clone());
                    }
                }
                Action::Discard { connection } => {
                    if let Some(reader) = self.by_connection.get_mut(connection) {
                        reader.outstanding.clear();
                        reader.from = reader.taken;
                        reader.floor = reader.taken;
                        reader.gaps.clear();
                        reader.is_sure = true;
                    }
                }
                Action::Close { connection, reason } => {
                    sent.extend(self.end(before, step, *connection, *reason));
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
            let holds_it = reader.outstanding.iter().any(|(held, _)| *held == index);
            is_other && reader.stream == stream && holds_it
        };
        stream?;
        self.by_connection.iter().find(holds).map(|(other, _)| *other)
    }

    fn end(
        &mut self,
        before: &View,
        step: &Step,
        connection: ConnectionId,
        reason: EndReason,
    ) -> Option<Sent> {
        let reader = self.by_connection.get_mut(&connection)?;
        reader.ended = true;
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
            skipped: reader.from.saturating_add(1)..log.last.saturating_add(1),
            gaps: reader.gaps,
            also_on: None,
            crowd: None,
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
    let Some(reader) = reader.filter(|reader| !reader.ended) else {
        let event = Some(event);
        let (floor, skipped) = (u64::MAX, 0..0);
        let gaps = Vec::new();
        let (also_on, crowd) = (None, None);
        return Sent { connection, stream: None, event, floor, skipped, gaps, also_on, crowd };
    };
    reader.carry(least, most);
    reader.stream = reader.stream.or(event.named);
    let sent = Sent {
        connection,
        stream: reader.stream,
        event: Some(event),
        floor: reader.floor,
        skipped: reader.from.saturating_add(1)..index,
        gaps: reader.gaps.clone(),
        also_on: None,
        crowd: None,
    };
    reader.floor = index;
    reader.from = index;
    reader.outstanding.push_back((index, cost));
    sent
}

impl Reader {
    fn after(stream: Option<StreamId>, index: u64) -> Self {
        Self {
            stream,
            taken: index,
            floor: index,
            from: index,
            outstanding: VecDeque::new(),
            is_sure: true,
            gaps: Vec::new(),
            carries: false,
            ended: false,
        }
    }

    /// Begins to carry the standalone stream, if it did not: what others took
    /// does not come again.
    fn carry(&mut self, least: u64, most: u64) {
        if !self.carries && self.stream == Some(StreamId::Standalone) {
            self.floor = self.floor.max(least);
            self.from = self.from.max(most);
            self.carries = true;
        }
    }
}

impl Taken {
    fn raise(&mut self, least: u64, most: u64) {
        self.least = self.least.max(least);
        self.most = self.most.max(most);
    }
}
