//! When `handle` returns nothing is left queued inside: every attached cursor is
//! at the head or out of window. One whose connection holds nothing is not out of
//! window, whatever it says of itself.

use std::collections::BTreeMap;

use rejoin_core::{Action, Config, ConnectionId};

use super::readers::Readers;
use super::{Seat, Step};

/// Through which index each connection was told of gaps.
pub(super) type Told = BTreeMap<ConnectionId, u64>;

/// Checks every connection that carries a stream.
pub(super) fn check(
    told: &mut Told,
    config: &Config,
    step: &Step,
    readers: &Readers,
) -> Result<(), String> {
    for action in &step.actions {
        if let Action::Gap { connection, missed, .. } = action {
            told.insert(*connection, *missed.end());
        }
    }
    told.retain(|connection, _| step.after.seat(*connection).is_some());
    let empty = readers.empty();
    step.after.connections.iter().try_for_each(|seat| {
        let is_empty = empty.contains(&seat.connection);
        check_seat(told, config, step, seat, is_empty)
    })
}

fn check_seat(
    told: &Told,
    config: &Config,
    step: &Step,
    seat: &Seat,
    is_empty: bool,
) -> Result<(), String> {
    let Some(stream) = seat.carries else {
        return Ok(());
    };
    let connection = seat.connection;
    let (Some(cursor), Some(log)) = (seat.cursor, step.after.log(stream)) else {
        return Err(format!(
            "connection {connection} carries {stream}, but has no cursor or no log"
        ));
    };
    let told = told.get(&connection).copied().unwrap_or(0);
    let owes_gap = log.missed >= cursor.next() && log.missed > told;
    let is_at_head = seat.first.is_none() && !owes_gap;
    let following = seat.first.unwrap_or(log.last.saturating_add(1));
    if is_empty && cursor.is_outstanding() {
        return Err(format!("connection {connection} holds nothing, but is at {cursor:?}"));
    }
    if !is_at_head && (is_empty || cursor.admits(following, config.window)) {
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
    use super::super::stage::{carrying, log, step};
    use super::*;

    #[test]
    fn an_event_that_could_be_sent_is_seen() {
        let mut lagging = step(Input::Tick);
        lagging.after.logs = vec![log(2)];
        lagging.after.connections = vec![carrying(1, 1)];
        assert!(check(&mut Told::new(), &Config::default(), &lagging, &Readers::default()).is_ok());
        lagging.after.connections[0].first = Some(2);
        assert!(
            check(&mut Told::new(), &Config::default(), &lagging, &Readers::default()).is_err()
        );
    }

    #[test]
    fn a_connection_of_nothing_is_seen() {
        let mut carrying_on = step(Input::Tick);
        carrying_on.after.connections = vec![carrying(1, 1)];
        let check =
            |step: &Step| check(&mut Told::new(), &Config::default(), step, &Readers::default());
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
        lagging.after.connections = vec![carrying(1, 1)];
        let mut told = Told::new();
        assert!(check(&mut told, &Config::default(), &lagging, &Readers::default()).is_err());
        told.insert(ConnectionId(1), 2);
        assert!(check(&mut told, &Config::default(), &lagging, &Readers::default()).is_ok());
    }

    #[test]
    fn a_connection_that_holds_nothing_and_waits_is_seen() {
        let connection = ConnectionId(1);
        let last_event_id = Some(EventId::new(StreamId::Standalone, 1));
        let mut get = step(Input::Get { connection, last_event_id });
        get.after.logs = vec![log(2)];
        get.after.connections = vec![carrying(1, 1)];
        let mut readers = Readers::default();
        readers.follow(&View::default(), &get);
        assert!(check(&mut Told::new(), &Config::default(), &get, &readers).is_ok());
        let outstanding = r#"{"next":2,"untaken":1,"end":2,"told":0,"start":1}"#;
        get.after.connections[0].cursor = Some(serde_json::from_str(outstanding).unwrap());
        assert!(check(&mut Told::new(), &Config::default(), &get, &readers).is_err());
    }
}
