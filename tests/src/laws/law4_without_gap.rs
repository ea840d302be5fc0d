//! Whoever keeps reading gets no gap at all: no event is evicted that a connection still
//! has to be sent, or was sent and did not take, unless its reader took nothing for
//! `stall_timeout_min` at a time, or the session was full.
//!
//! The sender is held instead; one that does not wait can fill the session.

use std::collections::BTreeMap;

use rejoin_core::{Config, ConnectionId, Cursor, EVENT_OVERHEAD_BYTES, Input, Instant};

use super::{Step, View};

/// Since when what was sent on a connection was not taken.
pub(super) type Silent = BTreeMap<ConnectionId, Instant>;

/// Checks every stream that a reader reads.
pub(super) fn check(
    silent: &mut Silent,
    config: &Config,
    now: Instant,
    before: &View,
    step: &Step,
) -> Result<(), String> {
    let is_full = before.bytes.saturating_add(cost(step)) > config.session_bytes_max;
    for seat in &before.connections {
        let silence = silent.get(&seat.connection).map(|since| now.since(*since));
        let is_reading = silence.is_none_or(|silence| silence < config.stall_timeout_min);
        let (Some(stream), true, false) = (seat.carries, is_reading, is_full) else {
            continue;
        };
        let carries_on = step.after.carried(seat.connection) == Some(stream);
        let (Some(was), Some(is), true) = (before.log(stream), step.after.log(stream), carries_on)
        else {
            continue;
        };
        let untaken = seat.cursor.map_or(0, |cursor| cursor.untaken());
        if is.missed > was.missed && is.missed >= untaken && !is_taken(step, seat.connection) {
            return Err(format!(
                "connection {} keeps reading, took all before {untaken}, and misses {}",
                seat.connection, is.missed
            ));
        }
    }
    follow(silent, now, before, step);
    Ok(())
}

/// Returns what is recorded in a step at most.
fn cost(step: &Step) -> usize {
    match &step.input {
        Input::Backend { message, .. } => message.bytes.saturating_add(EVENT_OVERHEAD_BYTES),
        Input::Reserve { .. }
        | Input::Request { .. }
        | Input::Get { .. }
        | Input::Message { .. }
        | Input::Taken { .. }
        | Input::Closed { .. }
        | Input::Abandon { .. }
        | Input::Delete
        | Input::CloseSession { .. }
        | Input::CloseStream { .. }
        | Input::BackendGone
        | Input::Tick => 0,
    }
}

/// Returns whether the input says that a connection took more.
fn is_taken(step: &Step, connection: ConnectionId) -> bool {
    matches!(&step.input, Input::Taken { connection: taken, .. } if *taken == connection)
}

/// Notes which connections hold something that was not taken, and since when.
fn follow(silent: &mut Silent, now: Instant, before: &View, step: &Step) {
    silent.retain(|connection, _| step.after.seat(*connection).is_some());
    for seat in &step.after.connections {
        let Some(cursor) = seat.cursor.filter(Cursor::is_outstanding) else {
            silent.remove(&seat.connection);
            continue;
        };
        let earlier = before.seat(seat.connection).and_then(|seat| seat.cursor);
        let is_news = earlier.is_none_or(|earlier| earlier.untaken() != cursor.untaken());
        if is_news || is_taken(step, seat.connection) || !silent.contains_key(&seat.connection) {
            silent.insert(seat.connection, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rejoin_core::{Event, StreamId};

    use super::super::stage::{backend, carrying, log, request, step};
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    /// Evicts an event that a connection did not take, so long after it last took one.
    fn evict(seconds: u64, config: &Config) -> Result<(), String> {
        let mut silent = Silent::from([(ConnectionId(1), at(1))]);
        let mut before = step(Input::Tick);
        before.after.logs = vec![log(1)];
        before.after.connections = vec![carrying(1, 0)];
        let mut after = step(backend(request(9), 50));
        after.after.logs = vec![log(2)];
        after.after.logs[0].missed = 1;
        after.after.logs[0].newest = Some(Event::Message(50));
        after.after.connections = vec![carrying(1, 0)];
        assert_eq!(after.after.carried(ConnectionId(1)), Some(StreamId::Standalone));
        check(&mut silent, config, at(1 + seconds), &before.after, &after)
    }

    #[test]
    fn an_event_that_a_reader_misses_is_seen() {
        let config = Config { stall_timeout_min: Duration::from_secs(2), ..Config::default() };
        assert!(evict(1, &config).is_err());
        assert!(evict(2, &config).is_ok(), "it may be stalled");
        assert!(evict(1, &Config { session_bytes_max: 0, ..config }).is_ok(), "it is full");
    }
}
