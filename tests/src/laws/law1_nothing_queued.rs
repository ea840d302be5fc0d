//! Law 1: when `handle` returns, nothing is left queued inside.
//!
//! Every attached cursor is at the head of its log, or its window is full. The window of
//! a connection without events in flight is not full, whatever its cursor says. Nothing is sent
//! before its commit, and the gap of an event that was evicted before may wait for that.

use rejoin_core::Config;

use super::commits::Commits;
use super::readers::Readers;
use super::{ConnectionView, Step};

/// Checks every attached connection.
pub(super) fn check(
    config: &Config,
    step: &Step,
    readers: &Readers,
    commits: &Commits,
) -> Result<(), String> {
    let empty = readers.empty_connections();
    step.after.connections.iter().try_for_each(|view| {
        check_connection(config, step, view, empty.contains(&view.connection), commits)
    })
}

fn check_connection(
    config: &Config,
    step: &Step,
    view: &ConnectionView,
    is_empty: bool,
    commits: &Commits,
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
        return Ok(());
    };
    let waits = match gap {
        Some(_) => commits.has_uncommitted(stream),
        None => commits.is_committed(stream, following) == Some(false),
    };
    if waits || !commits.is_open(stream) {
        return Ok(());
    }
    let window_end =
        cursor.first_unacknowledged.saturating_add(u64::from(config.window_events_max));
    if !cursor.has_unacknowledged || following < window_end {
        return Err(format!(
            "connection {connection} is at {cursor:?} of {log:?}, and was not sent {following}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rejoin_core::{ConnectionId, EventId, Input, StreamId};

    use super::super::View;
    use super::super::fixtures::{attached, log, position, step};
    use super::*;

    fn run(step: &Step) -> Result<(), String> {
        let commits = Commits::default();
        check(&config! { window_events_max: 2 }, step, &Readers::default(), &commits)
    }

    #[test]
    fn an_unsent_event_is_detected() {
        let mut lagging = step(Input::Tick);
        lagging.after.logs = vec![log(3)];
        lagging.after.connections = vec![attached(1, 1)];
        assert!(run(&lagging).is_ok());
        lagging.after.connections[0].next_logged = Some(2);
        assert!(run(&lagging).is_err());
        lagging.after.connections[0].cursor = Some(position(1, 0));
        assert!(run(&lagging).is_err(), "the window admits one more");
        lagging.after.connections[0].cursor = Some(position(2, 0));
        lagging.after.connections[0].next_logged = Some(3);
        assert!(run(&lagging).is_ok(), "the window is full");
    }

    #[test]
    fn a_connection_without_log_or_cursor_is_detected() {
        let mut tick = step(Input::Tick);
        tick.after.connections = vec![attached(1, 1)];
        assert!(run(&tick).is_err(), "no log");
        tick.after.logs = vec![log(1)];
        assert!(run(&tick).is_ok());
        tick.after.connections[0].cursor = None;
        assert!(run(&tick).is_err(), "no cursor");
    }

    #[test]
    fn an_unreported_gap_is_detected() {
        let mut lagging = step(Input::Tick);
        lagging.after.logs = vec![log(2)];
        lagging.after.logs[0].missed = 2;
        lagging.after.connections = vec![attached(1, 1)];
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
        let check = |get: &Step| check(&Config::default(), get, &readers, &Commits::default());
        assert!(check(&get).is_ok());
        get.after.connections[0].cursor = Some(position(1, 0));
        assert!(check(&get).is_err());
    }
}
