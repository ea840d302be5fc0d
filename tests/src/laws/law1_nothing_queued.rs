//! When `handle` returns nothing is left queued inside: every attached cursor is
//! at the head or out of window. One whose connection holds nothing is not out of
//! window, whatever it says of itself. One that fell behind because others hold too many
//! bytes is served when it takes something.

use std::collections::{BTreeMap, BTreeSet};

use rejoin_core::{Action, Config, ConnectionId, EVENT_OVERHEAD_BYTES, Input};

use super::readers::Readers;
use super::{ConnectionView, Step};

/// What is known of connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Lag {
    /// Through which index each was told of gaps.
    reported_gaps: BTreeMap<ConnectionId, u64>,
    /// Which were not at the head.
    behind: BTreeSet<ConnectionId>,
}

/// Checks every connection that carries a stream.
pub(super) fn check(
    told: &mut Lag,
    config: &Config,
    step: &Step,
    readers: &Readers,
) -> Result<(), String> {
    for action in &step.actions {
        if let Action::Gap { connection, missed, .. } = action {
            told.reported_gaps.insert(*connection, *missed.end());
        }
    }
    told.reported_gaps.retain(|connection, _| step.after.connection(*connection).is_some());
    told.behind.retain(|connection| step.after.connection(*connection).is_some());
    let empty = readers.empty_connections();
    step.after.connections.iter().try_for_each(|seat| {
        let is_empty = empty.contains(&seat.connection);
        check_connection(told, config, step, seat, is_empty, readers.peak_bytes())
    })
}

fn check_connection(
    told: &mut Lag,
    config: &Config,
    step: &Step,
    seat: &ConnectionView,
    is_empty: bool,
    peak: usize,
) -> Result<(), String> {
    let Some(stream) = seat.stream else {
        return Ok(());
    };
    let connection = seat.connection;
    let (Some(cursor), Some(log)) = (seat.cursor, step.after.log(stream)) else {
        return Err(format!(
            "connection {connection} carries {stream}, but has no cursor or no log"
        ));
    };
    let through = told.reported_gaps.get(&connection).copied().unwrap_or(0);
    let owes_gap = log.missed >= cursor.next() && log.missed > through;
    let is_at_head = seat.next_logged.is_none() && !owes_gap;
    let following = seat.next_logged.unwrap_or(log.last.saturating_add(1));
    if is_empty && cursor.has_unacknowledged() {
        return Err(format!("connection {connection} holds nothing, but is at {cursor:?}"));
    }
    let is_taken =
        matches!(&step.input, Input::Acknowledged { connection: it, .. } if *it == connection);
    let was_behind = if is_at_head {
        told.behind.remove(&connection);
        false
    } else {
        !told.behind.insert(connection)
    };
    // What was refused may have been evicted at once.
    let mut cost = seat.next_cost;
    if let Input::BackendMessage { message, .. } = &step.input {
        cost = cost.max(message.bytes.saturating_add(EVENT_OVERHEAD_BYTES));
    }
    let has_room = cost == 0 || peak.saturating_add(cost) <= config.window_bytes_max;
    let was_served = !was_behind || is_taken;
    let is_admitted = cursor.admits(following, config.window_events_max) && has_room && was_served;
    if !is_at_head && (is_empty || is_admitted) {
        return Err(format!(
            "connection {connection} is at {cursor:?} of {log:?}, and could be sent {following}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rejoin_core::{EventId, Input, StreamId};

    use super::super::View;
    use super::super::fixtures::{attached, log, step};
    use super::*;

    #[test]
    fn an_event_that_could_be_sent_is_seen() {
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
    fn a_connection_of_nothing_is_seen() {
        let mut carrying_on = step(Input::Tick);
        carrying_on.after.connections = vec![attached(1, 1)];
        let check =
            |step: &Step| check(&mut Lag::default(), &Config::default(), step, &Readers::default());
        assert!(check(&carrying_on).is_err(), "no log");
        carrying_on.after.logs = vec![log(1)];
        assert!(check(&carrying_on).is_ok());
        carrying_on.after.connections[0].cursor = None;
        assert!(check(&carrying_on).is_err(), "no cursor");
    }

    #[test]
    fn a_gap_that_was_not_told_is_seen() {
        let mut lagging = step(Input::Tick);
        lagging.after.logs = vec![log(2)];
        lagging.after.logs[0].missed = 2;
        lagging.after.connections = vec![attached(1, 1)];
        let mut told = Lag::default();
        assert!(check(&mut told, &Config::default(), &lagging, &Readers::default()).is_err());
        told.reported_gaps.insert(ConnectionId(1), 2);
        assert!(check(&mut told, &Config::default(), &lagging, &Readers::default()).is_ok());
    }

    #[test]
    fn a_connection_that_holds_nothing_and_waits_is_seen() {
        let connection = ConnectionId(1);
        let last_event_id = Some(EventId::new(StreamId::Standalone, 1));
        let mut get = step(Input::Get { connection, last_event_id });
        get.after.logs = vec![log(2)];
        get.after.connections = vec![attached(1, 1)];
        let mut readers = Readers::default();
        readers.follow(&View::default(), &get);
        assert!(check(&mut Lag::default(), &Config::default(), &get, &readers).is_ok());
        let outstanding = r#"{"next":2,"first_unacknowledged":1,"sent_end":2,
            "gap_reported_through":0,"rewind_to":1}"#;
        get.after.connections[0].cursor = Some(serde_json::from_str(outstanding).unwrap());
        assert!(check(&mut Lag::default(), &Config::default(), &get, &readers).is_err());
    }
}
