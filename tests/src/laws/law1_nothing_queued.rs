//! Law 1: when `handle` returns, nothing is left queued inside.
//!
//! Every attached cursor is at the head of its log, or its window is full. The window of
//! a connection without events in flight is not full, whatever its cursor says. A
//! connection that fell behind because others exceed `window_bytes_max` catches up when
//! it acknowledges something, even if the event that did not fit was evicted since.

use std::collections::{BTreeMap, BTreeSet};

use rejoin_core::{Config, ConnectionId, EVENT_OVERHEAD_BYTES, Input, StreamId};

use super::readers::Readers;
use super::{ConnectionView, Step};

/// What is known of connections that may be behind.
#[derive(Clone, Debug, Default)]
pub(super) struct Lag {
    /// The connections that were not at the head.
    behind: BTreeSet<ConnectionId>,
    /// The missed index of each stream.
    missed: BTreeMap<StreamId, u64>,
}

/// Checks every attached connection.
pub(super) fn check(
    lag: &mut Lag,
    config: &Config,
    step: &Step,
    readers: &Readers,
) -> Result<(), String> {
    lag.behind.retain(|connection| step.after.connection(*connection).is_some());
    let empty = readers.empty_connections();
    step.after.connections.iter().try_for_each(|view| {
        let is_empty = empty.contains(&view.connection);
        check_connection(lag, config, step, view, is_empty, readers.peak_bytes())
    })?;
    lag.missed = step.after.logs.iter().map(|log| (log.stream, log.missed)).collect();
    Ok(())
}

fn check_connection(
    lag: &mut Lag,
    config: &Config,
    step: &Step,
    view: &ConnectionView,
    is_empty: bool,
    peak: usize,
) -> Result<(), String> {
    let Some(stream) = view.stream else {
        return Ok(());
    };
    let connection = view.connection;
    let (Some(cursor), Some(log)) = (view.cursor, step.after.log(stream)) else {
        return Err(format!(
            "connection {connection} is attached to {stream}, but has no cursor or no log"
        ));
    };
    if is_empty && cursor.has_unacknowledged {
        return Err(format!(
            "connection {connection} has nothing in flight, but its cursor is {cursor:?}"
        ));
    }
    let is_logged = view.next_logged == Some(cursor.next);
    let gap_end = view.next_logged.map_or(log.missed, |logged| log.missed.min(logged - 1));
    let gap = (log.missed >= cursor.next && !is_logged).then_some(gap_end);
    let Some(following) = gap.or(view.next_logged) else {
        lag.behind.remove(&connection);
        return Ok(());
    };
    let is_acknowledged =
        matches!(&step.input, Input::Acknowledged { connection: it, .. } if *it == connection);
    let was_behind = !lag.behind.insert(connection);
    // The event that did not fit may have been evicted at once.
    let mut cost = if gap.is_some() { 0 } else { view.next_cost };
    if let Input::BackendMessage { message, .. } = &step.input {
        cost = cost.max(message.bytes.saturating_add(EVENT_OVERHEAD_BYTES));
    }
    let fits_window = cost == 0 || peak.saturating_add(cost) <= config.window_bytes_max;
    let was_evicted = lag.missed.get(&stream).is_some_and(|missed| log.missed > *missed);
    let may_be_behind = !was_behind && !was_evicted || is_acknowledged;
    let window_end =
        cursor.first_unacknowledged.saturating_add(u64::from(config.window_events_max));
    let fits_events = !cursor.has_unacknowledged || following < window_end;
    if is_empty || fits_events && fits_window && may_be_behind {
        return Err(format!(
            "connection {connection} is at {cursor:?} of {log:?}, and was not sent {following}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rejoin_core::{EventId, Input, StreamId};

    use super::super::View;
    use super::super::fixtures::{attached, log, position, step};
    use super::*;

    #[test]
    fn an_unsent_event_is_detected() {
        let mut lagging = step(Input::Tick);
        lagging.after.logs = vec![log(2)];
        lagging.after.connections = vec![attached(1, 1)];
        assert!(
            check(&mut Lag::default(), &Config::default(), &lagging, &Readers::default()).is_ok()
        );
        lagging.after.connections[0].next_logged = Some(2);
        assert!(
            check(&mut Lag::default(), &Config::default(), &lagging, &Readers::default()).is_err()
        );
    }

    #[test]
    fn a_connection_without_log_or_cursor_is_detected() {
        let mut tick = step(Input::Tick);
        tick.after.connections = vec![attached(1, 1)];
        let check =
            |step: &Step| check(&mut Lag::default(), &Config::default(), step, &Readers::default());
        assert!(check(&tick).is_err(), "no log");
        tick.after.logs = vec![log(1)];
        assert!(check(&tick).is_ok());
        tick.after.connections[0].cursor = None;
        assert!(check(&tick).is_err(), "no cursor");
    }

    #[test]
    fn an_unreported_gap_is_detected() {
        let mut lagging = step(Input::Tick);
        lagging.after.logs = vec![log(2)];
        lagging.after.logs[0].missed = 2;
        lagging.after.connections = vec![attached(1, 1)];
        let run =
            |step: &Step| check(&mut Lag::default(), &Config::default(), step, &Readers::default());
        assert!(run(&lagging).is_err());
        lagging.after.connections = vec![attached(1, 2)];
        assert!(run(&lagging).is_ok());
    }

    #[test]
    fn a_full_window_without_events_is_detected() {
        let connection = ConnectionId(1);
        let last_event_id = Some(EventId::new(StreamId::Standalone, 1));
        let mut get = step(Input::Get { connection, last_event_id });
        get.after.logs = vec![log(2)];
        get.after.connections = vec![attached(1, 1)];
        let mut readers = Readers::default();
        readers.follow(&View::default(), &get);
        assert!(check(&mut Lag::default(), &Config::default(), &get, &readers).is_ok());
        get.after.connections[0].cursor = Some(position(1, 0));
        assert!(check(&mut Lag::default(), &Config::default(), &get, &readers).is_err());
    }
}
