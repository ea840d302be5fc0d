//! Silence: for how long readers have acknowledged nothing of what they were sent.

use std::{collections::BTreeMap, time::Duration};

use rejoin_core::{Config, ConnectionId, Input, Instant, StreamId};

use super::{Position, Step, View};

/// For how long readers are silent, as a lower bound.
#[derive(Clone, Debug, Default)]
pub(super) struct Silence {
    /// Since when the reader of a connection with events in flight is silent.
    since: BTreeMap<ConnectionId, Instant>,
    /// The longest pause that the reader of a connection has made.
    longest_pause: BTreeMap<ConnectionId, Duration>,
    /// The stream that a connection is, or was, attached to.
    streams: BTreeMap<ConnectionId, StreamId>,
    /// For how long the earlier readers of a stream were silent, since a new event was
    /// acknowledged.
    earlier: BTreeMap<StreamId, Duration>,
    /// The upper bound of the acknowledged index of a stream.
    acknowledged: BTreeMap<StreamId, u64>,
}

impl Silence {
    /// Returns the silence in a new session: none. A session that replaces an earlier one counts the
    /// events of that as acknowledged.
    pub(super) fn of_new(session: &View) -> Self {
        let acknowledged = session.logs.iter().map(|log| (log.stream, log.last)).collect();
        Self { acknowledged, ..Self::default() }
    }

    /// Returns for how long a reader has been silent.
    pub(super) fn current(&self, now: Instant, reader: ConnectionId) -> Duration {
        self.of(now, reader).unwrap_or_default()
    }

    /// Returns for how long a reader has been silent, if anything is in flight.
    pub(super) fn of(&self, now: Instant, reader: ConnectionId) -> Option<Duration> {
        self.since.get(&reader).map(|since| now.since(*since))
    }

    /// Returns for how long a reader and the earlier ones of its stream have been silent.
    pub(super) fn total(&self, now: Instant, reader: ConnectionId) -> Duration {
        let stream = self.streams.get(&reader);
        let earlier = stream.and_then(|stream| self.earlier.get(stream)).copied();
        self.current(now, reader).saturating_add(earlier.unwrap_or_default())
    }

    /// Returns whether a reader is certainly active, if it is attached: neither stalled, nor is
    /// its stream stuck.
    pub(super) fn is_active(&self, config: &Config, now: Instant, reader: ConnectionId) -> bool {
        let silence = self.total(now, reader);
        let hold_timeout = config.hold_timeout.unwrap_or(Duration::MAX);
        silence.is_zero() || silence < config.stall_timeout_min.min(hold_timeout)
    }

    /// Returns whether a reader has certainly stopped, if something that costs something is in
    /// flight. Requests of other streams may be pending.
    pub(super) fn has_stopped(
        &self,
        config: &Config,
        now: Instant,
        reader: ConnectionId,
        are_others_pending: bool,
    ) -> bool {
        let Some(since) = self.since.get(&reader) else {
            return false;
        };
        let longest = self.longest_pause.get(&reader).copied().unwrap_or_default();
        let more_than_twice = longest.saturating_mul(2).saturating_add(Duration::from_nanos(1));
        let timeout = config.stall_timeout_min.max(more_than_twice);
        let timeout = timeout.min(stuck_timeout(config, are_others_pending));
        let end = since.saturating_add(timeout);
        end <= now && end < Instant::MAX
    }

    /// Returns whether a reader is certainly not active, if it is attached: it is stalled, or its
    /// stream is stuck. Requests of other streams may be pending.
    pub(super) fn is_stuck(
        &self,
        config: &Config,
        now: Instant,
        reader: ConnectionId,
        are_others_pending: bool,
    ) -> bool {
        let timeout = stuck_timeout(config, are_others_pending);
        let end = self.since.get(&reader).map(|since| since.saturating_add(timeout));
        end.is_some_and(|end| end <= now && end < Instant::MAX)
    }

    /// Applies a step.
    pub(super) fn follow(&mut self, now: Instant, before: &View, step: &Step) {
        self.note_detached(now, before, step);
        self.note_acknowledged(before, step);
        self.since.retain(|connection, _| step.after.connection(*connection).is_some());
        self.longest_pause.retain(|connection, _| step.after.connection(*connection).is_some());
        self.streams.retain(|connection, _| step.after.connection(*connection).is_some());
        for view in &step.after.connections {
            self.streams.extend(view.stream.map(|stream| (view.connection, stream)));
            let Some(cursor) = view.cursor.filter(Position::has_unacknowledged) else {
                let since = self.since.remove(&view.connection);
                self.note_pause(view.connection, since, now);
                continue;
            };
            let earlier = before.connection(view.connection).and_then(|view| view.cursor);
            let has_progressed = earlier
                .is_none_or(|earlier| earlier.first_unacknowledged != cursor.first_unacknowledged);
            if has_progressed
                || step.acknowledges(view.connection)
                || !self.since.contains_key(&view.connection)
            {
                let since = self.since.insert(view.connection, now);
                self.note_pause(view.connection, since, now);
            }
        }
    }

    /// Notes that a reader was silent since a time, and no longer is.
    fn note_pause(&mut self, reader: ConnectionId, since: Option<Instant>, now: Instant) {
        let pause = since.map_or(Duration::ZERO, |since| now.since(since));
        let longest = self.longest_pause.entry(reader).or_default();
        *longest = pause.max(*longest);
    }

    /// Adds the silence of connections that the step detached.
    fn note_detached(&mut self, now: Instant, before: &View, step: &Step) {
        for view in &before.connections {
            if let Some(stream) = view.stream
                && step.after.stream_on(view.connection) != Some(stream)
            {
                let silence = self.current(now, view.connection);
                let earlier = self.earlier.entry(stream).or_default();
                *earlier = earlier.saturating_add(silence);
            }
        }
    }

    /// Applies the acknowledgement of the input.
    fn note_acknowledged(&mut self, before: &View, step: &Step) {
        let (stream, min, max) = match &step.input {
            Input::Acknowledged { connection, through }
            | Input::ConnectionClosed { connection, through: Some(through) } => {
                let cursor = before.connection(*connection).and_then(|view| view.cursor);
                let Some(stream) = self.streams.get(connection) else { return };
                // The connection may have been cut before.
                let first = cursor
                    .filter(|cursor| cursor.has_unacknowledged() && !step.cuts(*connection))
                    .map(|cursor| cursor.first_unacknowledged);
                let last = step.after.log(*stream).map_or(0, |log| log.last);
                (*stream, first.filter(|first| first <= through), last.min(*through))
            }
            Input::Get { last_event_id: Some(id), .. } if step.result.is_ok() => {
                (id.stream, Some(id.index), id.index)
            }
            Input::Post { .. }
            | Input::Get { .. }
            | Input::ConnectionClosed { through: None, .. }
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
        let acknowledged = self.acknowledged.entry(stream).or_default();
        if min > Some(*acknowledged) {
            self.earlier.remove(&stream);
        }
        *acknowledged = max.max(*acknowledged);
    }
}

/// Returns after which silence the stream of a reader is stuck at the latest.
fn stuck_timeout(config: &Config, are_others_pending: bool) -> Duration {
    let hold_timeout = config.hold_timeout.filter(|_| are_others_pending);
    let timeouts = [config.stall_timeout_max, hold_timeout];
    timeouts.into_iter().flatten().min().unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use rejoin_core::EventId;

    use super::super::fixtures::{attached, log, position, step};
    use super::*;

    const STREAM: StreamId = StreamId::Standalone;

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    /// A view of a connection that was sent three events, the first `acknowledged` of which are
    /// acknowledged.
    fn sent(connection: u64, acknowledged: u64) -> View {
        let mut view = attached(connection, 0);
        view.cursor = Some(position(3, acknowledged));
        View { connections: vec![view], logs: vec![log(3)], ..View::default() }
    }

    fn after(input: Input<u64>, after: View) -> Step {
        Step { after, ..step(input) }
    }

    #[test]
    fn silence_continues_when_a_connection_is_replaced() {
        let mut silence = Silence::default();
        let (one, two) = (ConnectionId(1), ConnectionId(2));
        let id = Some(EventId::new(STREAM, 0));
        silence.follow(at(1), &View::default(), &after(Input::Tick, sent(1, 0)));
        assert_eq!(silence.total(at(4), one), Duration::from_secs(3));
        let get = Input::Get { connection: two, last_event_id: id };
        silence.follow(at(4), &sent(1, 0), &after(get, sent(2, 0)));
        assert_eq!(silence.current(at(5), two), Duration::from_secs(1));
        assert_eq!(silence.total(at(5), two), Duration::from_secs(4));
        let acknowledged = Input::Acknowledged { connection: two, through: 1 };
        silence.follow(at(6), &sent(2, 0), &after(acknowledged, sent(2, 1)));
        assert_eq!(silence.total(at(7), two), Duration::from_secs(1));
    }

    #[test]
    fn a_reader_has_stopped_after_more_than_twice_its_longest_pause() {
        let mut silence = Silence::default();
        let one = ConnectionId(1);
        silence.follow(at(1), &View::default(), &after(Input::Tick, sent(1, 0)));
        let config = config! {
            stall_timeout_min: Duration::from_secs(2),
            stall_timeout_max: Some(Duration::from_secs(8)),
        };
        let stopped = |silence: &Silence, now| silence.has_stopped(&config, at(now), one, true);
        assert!(!stopped(&silence, 2) && stopped(&silence, 3));
        let held = config! { hold_timeout: Some(Duration::from_secs(1)), ..config.clone() };
        let stopped_sooner = |others| silence.has_stopped(&held, at(2), one, others);
        assert!(stopped_sooner(true) && !stopped_sooner(false));
        let acknowledged = Input::Acknowledged { connection: one, through: 1 };
        silence.follow(at(4), &sent(1, 0), &after(acknowledged.clone(), sent(1, 1)));
        assert!(!stopped(&silence, 10) && stopped(&silence, 11), "its longest pause was 3 s");
        silence.follow(at(9), &sent(1, 1), &after(acknowledged, sent(1, 2)));
        assert!(!stopped(&silence, 16) && stopped(&silence, 17), "it is stalled");
        silence.follow(at(10), &sent(1, 2), &after(Input::Tick, sent(1, 3)));
        assert!(!stopped(&silence, 99), "nothing is in flight");
    }

    #[test]
    fn acknowledging_old_events_does_not_end_silence() {
        let mut silence = Silence::default();
        let two = ConnectionId(2);
        silence.follow(at(1), &View::default(), &after(Input::Tick, sent(1, 0)));
        let acknowledged = Input::Acknowledged { connection: ConnectionId(1), through: 1 };
        silence.follow(at(1), &sent(1, 0), &after(acknowledged, sent(1, 1)));
        let get = Input::Get { connection: two, last_event_id: Some(EventId::new(STREAM, 0)) };
        silence.follow(at(4), &sent(1, 1), &after(get, sent(2, 0)));
        let acknowledged = Input::Acknowledged { connection: two, through: 1 };
        silence.follow(at(5), &sent(2, 0), &after(acknowledged, sent(2, 1)));
        assert_eq!(silence.total(at(5), two), Duration::from_secs(3));
    }
}
