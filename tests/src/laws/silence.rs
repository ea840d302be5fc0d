//! Silence: for how long readers took nothing of what they were sent.

use std::{collections::BTreeMap, time::Duration};

use rejoin_core::{Action, ConnectionId, Cursor, Input, Instant, StreamId};

use super::{Step, View};

/// For how long readers took nothing, at least.
#[derive(Clone, Debug, Default)]
pub(super) struct Silence {
    /// Since when what was sent on a connection was not taken.
    since: BTreeMap<ConnectionId, Instant>,
    /// The stream that a connection carries, or carried.
    streams: BTreeMap<ConnectionId, StreamId>,
    /// For how long the connections that carried a stream before were silent, since anything
    /// new was taken.
    earlier: BTreeMap<StreamId, Duration>,
    /// Up to where a stream was taken, at most.
    acknowledged: BTreeMap<StreamId, u64>,
}

impl Silence {
    /// Returns for how long a reader has taken nothing.
    pub(super) fn current(&self, now: Instant, reader: ConnectionId) -> Duration {
        self.since.get(&reader).map_or(Duration::ZERO, |since| now.since(*since))
    }

    /// Returns for how long a reader has taken nothing, and those before it on its stream.
    pub(super) fn total(&self, now: Instant, reader: ConnectionId) -> Duration {
        let stream = self.streams.get(&reader);
        let earlier = stream.and_then(|stream| self.earlier.get(stream)).copied();
        self.current(now, reader).saturating_add(earlier.unwrap_or_default())
    }

    /// Goes through all that hold something that they did not take.
    pub(super) fn readers(&self) -> impl Iterator<Item = ConnectionId> {
        self.since.keys().copied()
    }

    /// Notes what a step changes.
    pub(super) fn follow(&mut self, now: Instant, before: &View, step: &Step) {
        self.note_detached(now, before, step);
        self.note_acknowledged(before, step);
        self.since.retain(|connection, _| step.after.connection(*connection).is_some());
        self.streams.retain(|connection, _| step.after.connection(*connection).is_some());
        for seat in &step.after.connections {
            self.streams.extend(seat.stream.map(|stream| (seat.connection, stream)));
            let Some(cursor) = seat.cursor.filter(Cursor::has_unacknowledged) else {
                self.since.remove(&seat.connection);
                continue;
            };
            let earlier = before.connection(seat.connection).and_then(|seat| seat.cursor);
            let is_news = earlier.is_none_or(|earlier| {
                earlier.first_unacknowledged() != cursor.first_unacknowledged()
            });
            if is_news
                || step.acknowledges(seat.connection)
                || !self.since.contains_key(&seat.connection)
            {
                self.since.insert(seat.connection, now);
            }
        }
    }

    /// Notes which connections carry their stream no longer.
    fn note_detached(&mut self, now: Instant, before: &View, step: &Step) {
        for seat in &before.connections {
            if let Some(stream) = seat.stream
                && step.after.stream_on(seat.connection) != Some(stream)
            {
                let silence = self.current(now, seat.connection);
                let earlier = self.earlier.entry(stream).or_default();
                *earlier = earlier.saturating_add(silence);
            }
        }
    }

    /// Notes what is said to be taken.
    fn note_acknowledged(&mut self, before: &View, step: &Step) {
        let (stream, least, most) = match &step.input {
            Input::Acknowledged { connection, through }
            | Input::ConnectionClosed { connection, through: Some(through) }
                if !is_cut(step, *connection) =>
            {
                let cursor = before.connection(*connection).and_then(|seat| seat.cursor);
                let Some(stream) = self.streams.get(connection) else { return };
                let first = cursor
                    .filter(Cursor::has_unacknowledged)
                    .map(|cursor| cursor.first_unacknowledged());
                let last = step.after.log(*stream).map_or(0, |log| log.last);
                (*stream, first.filter(|first| first <= through), last.min(*through))
            }
            Input::Get { last_event_id: Some(id), .. } if step.result.is_ok() => {
                (id.stream, Some(id.index), id.index)
            }
            Input::Reserve { .. }
            | Input::Request { .. }
            | Input::Get { .. }
            | Input::Message { .. }
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
        let taken = self.acknowledged.entry(stream).or_default();
        if least > Some(*taken) {
            self.earlier.remove(&stream);
        }
        *taken = most.max(*taken);
    }
}

/// Returns whether a connection was cut before the input came.
fn is_cut(step: &Step, connection: ConnectionId) -> bool {
    step.actions.iter().any(|action| {
        matches!(action, Action::Close { connection: cut, reason }
            if *cut == connection && !reason.drains())
    })
}

#[cfg(test)]
mod tests {
    use rejoin_core::EventId;

    use super::super::fixtures::{attached, log, step};
    use super::*;

    const STREAM: StreamId = StreamId::Standalone;

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    /// A view in which a connection was sent the first three events, and took so many.
    fn sent(connection: u64, taken: u64) -> View {
        let mut seat = attached(connection, 0);
        if let Some(cursor) = &mut seat.cursor {
            cursor.sent(1, 3);
            assert_eq!(cursor.acknowledge(taken).is_some(), taken > 0);
        }
        View { connections: vec![seat], logs: vec![log(3)], ..View::default() }
    }

    fn after(input: Input<u64>, after: View) -> Step {
        Step { after, ..step(input) }
    }

    #[test]
    fn silence_goes_on_when_a_connection_is_replaced() {
        let mut silence = Silence::default();
        let (one, two) = (ConnectionId(1), ConnectionId(2));
        let id = Some(EventId::new(STREAM, 0));
        silence.follow(at(1), &View::default(), &after(Input::Tick, sent(1, 0)));
        assert_eq!(silence.total(at(4), one), Duration::from_secs(3));
        let get = Input::Get { connection: two, last_event_id: id };
        silence.follow(at(4), &sent(1, 0), &after(get, sent(2, 0)));
        assert_eq!(silence.current(at(5), two), Duration::from_secs(1));
        assert_eq!(silence.total(at(5), two), Duration::from_secs(4));
        let taken = Input::Acknowledged { connection: two, through: 1 };
        silence.follow(at(6), &sent(2, 0), &after(taken, sent(2, 1)));
        assert_eq!(silence.total(at(7), two), Duration::from_secs(1));
    }

    #[test]
    fn what_was_taken_before_does_not_end_it() {
        let mut silence = Silence::default();
        let two = ConnectionId(2);
        silence.follow(at(1), &View::default(), &after(Input::Tick, sent(1, 0)));
        let taken = Input::Acknowledged { connection: ConnectionId(1), through: 1 };
        silence.follow(at(1), &sent(1, 0), &after(taken, sent(1, 1)));
        let get = Input::Get { connection: two, last_event_id: Some(EventId::new(STREAM, 0)) };
        silence.follow(at(4), &sent(1, 1), &after(get, sent(2, 0)));
        let taken = Input::Acknowledged { connection: two, through: 1 };
        silence.follow(at(5), &sent(2, 0), &after(taken, sent(2, 1)));
        assert_eq!(silence.total(at(5), two), Duration::from_secs(3));
    }
}
