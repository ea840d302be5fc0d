//! Memory is bounded by the limits in `Config`, whatever the peers do.

use std::collections::BTreeSet;

use rejoin_core::{Action, Config, Head, Input, RequestId, StreamId};

use super::readers::{Readers, Sent};
use super::{LogView, Step, View, answered_id, cancelled_id, posted, request_id};

/// The requests of the backend that wait for an answer.
pub(super) type Waiting = BTreeSet<RequestId>;

/// Checks everything that has a limit.
pub(super) fn check(
    waiting: &mut Waiting,
    config: &Config,
    before: &View,
    step: &Step,
    readers: &Readers,
    sent: &[Sent],
) -> Result<(), String> {
    follow(waiting, step);
    let view = &step.after;
    for log in view.logs.iter().filter(|log| is_without_reader(before, step, log)) {
        within("events in a log", log.events, config.stream_events_max)?;
        if log.events > 1 || config.stream_bytes_max == 0 {
            within("bytes in a log", log.bytes, config.stream_bytes_max)?;
        }
    }
    let events: usize = view.logs.iter().map(|log| log.events).sum();
    if events > 1 || config.session_bytes_max == 0 {
        within("bytes", view.bytes, config.session_bytes_max)?;
    }
    let bytes: usize = view.logs.iter().map(|log| log.bytes).sum();
    if view.closed.is_none() && bytes != view.bytes {
        return Err(format!("the logs cost {bytes}, but it says {}", view.bytes));
    }
    within("pending requests", view.pending, config.pending_max)?;
    within("connections", view.connections.len(), config.connections_max)?;
    let carried = view.connections.iter().filter_map(|seat| seat.carries);
    let awaited = view.requests.iter().map(|(_, stream)| *stream);
    let mut used: BTreeSet<StreamId> = carried.chain(awaited).collect();
    used.insert(StreamId::Standalone);
    within("streams in use", used.len() - 1, config.streams_max)?;
    let kept = view.logs.iter().filter(|log| !used.contains(&log.stream)).count();
    let kept_max = config.untaken_max.saturating_add(config.taken_max);
    within("retained streams", kept, kept_max)?;
    within("waiting requests of the backend", waiting.len(), config.asked_max)?;
    within("shadows", readers.shadows(), config.shadows_max)?;
    let window = usize::try_from(config.window).unwrap_or(usize::MAX);
    for (connection, held) in readers.outstanding() {
        within(&format!("events on connection {connection}"), held, window)?;
    }
    for crowd in sent.iter().filter_map(|sent| sent.crowd) {
        within("bytes in flight", crowd, config.window_bytes_max)?;
    }
    Ok(())
}

/// Returns whether something was recorded that no connection can be waiting for. What one
/// still waits for has the limit of the session; when it goes, that stays until the next event.
fn is_without_reader(before: &View, step: &Step, log: &LogView) -> bool {
    let mut seats = before.connections.iter().chain(&step.after.connections);
    let is_carried = seats.any(|seat| seat.carries == Some(log.stream));
    let grew = before.log(log.stream).is_none_or(|earlier| earlier.last < log.last);
    !is_carried && grew
}

fn within(what: &str, count: usize, max: usize) -> Result<(), String> {
    if count > max {
        return Err(format!("{count} {what}, more than {max}"));
    }
    Ok(())
}

/// Notes which requests of the backend begin to wait, and which wait no longer.
fn follow(waiting: &mut Waiting, step: &Step) {
    let told = backend_head(step);
    let mut asked = told.and_then(request_id).cloned();
    for action in &step.actions {
        let Action::Fail { id, .. } = action else {
            continue;
        };
        if !waiting.remove(id) && asked.as_ref() == Some(id) {
            asked = None;
        }
    }
    waiting.extend(asked);
    if let Some(id) = told.and_then(cancelled_id) {
        waiting.remove(id);
    }
    let posted = if step.result.is_ok() { posted(&step.input) } else { &[] };
    for id in posted.iter().filter_map(|message| answered_id(&message.head)) {
        waiting.remove(id);
    }
    if step.after.closed.is_some() {
        waiting.clear();
    }
}

/// Returns the head of a message of the backend that was accepted.
fn backend_head(step: &Step) -> Option<&Head> {
    let (Input::Backend { message, .. }, Ok(_)) = (&step.input, &step.result) else {
        return None;
    };
    Some(&message.head)
}

#[cfg(test)]
mod tests {
    use rejoin_core::{ConnectionId, EVENT_OVERHEAD_BYTES, Event, EventId};

    use super::super::stage::{backend, carrying, log, request, send, step};
    use super::super::{Seat, View};
    use super::*;

    fn see(config: &Config, step: &Step) -> Result<(), String> {
        let mut readers = Readers::default();
        let sent = readers.follow(&View::default(), step);
        check(&mut Waiting::new(), config, &View::default(), step, &readers, &sent)
    }

    #[test]
    fn a_log_over_its_limits_is_seen() {
        let mut full = step(Input::Tick);
        full.after.logs = vec![log(9)];
        full.after.logs[0].events = 3;
        full.after.logs[0].bytes = 300;
        full.after.bytes = 300;
        assert!(see(&Config::default(), &full).is_ok());
        assert!(see(&Config { stream_events_max: 2, ..Config::default() }, &full).is_err());
        assert!(see(&Config { stream_bytes_max: 299, ..Config::default() }, &full).is_err());
        assert!(see(&Config { session_bytes_max: 299, ..Config::default() }, &full).is_err());
        full.after.logs[0].events = 1;
        assert!(see(&Config { stream_bytes_max: 299, ..Config::default() }, &full).is_ok());
        assert!(see(&Config { stream_bytes_max: 0, ..Config::default() }, &full).is_err());
        assert!(see(&Config { session_bytes_max: 299, ..Config::default() }, &full).is_ok());
        assert!(see(&Config { session_bytes_max: 0, ..Config::default() }, &full).is_err());
        full.after.bytes = 299;
        assert!(see(&Config::default(), &full).is_err(), "it does not add up");
    }

    #[test]
    fn too_much_on_a_connection_is_seen() {
        let stream = StreamId::Standalone;
        let last_event_id = Some(EventId::new(stream, 0));
        let mut get = step(Input::Get { connection: ConnectionId(1), last_event_id });
        get.actions = (1..=3).map(|index| send(1, stream, index, Event::Message(index))).collect();
        assert!(see(&Config { window: 3, ..Config::default() }, &get).is_ok());
        assert!(see(&Config { window: 2, ..Config::default() }, &get).is_err());
    }

    #[test]
    fn too_many_bytes_in_flight_are_seen() {
        let config = Config { window_bytes_max: EVENT_OVERHEAD_BYTES, ..Config::default() };
        let mut readers = Readers::default();
        let stream = StreamId::Standalone;
        let last_event_id = Some(EventId::new(stream, 0));
        let get = step(Input::Get { connection: ConnectionId(1), last_event_id });
        readers.follow(&View::default(), &get);
        let mut see = |index: u64| {
            let mut sent = step(backend(request(9), index));
            sent.actions = vec![send(1, stream, index, Event::Message(index))];
            let view = View::default();
            let events = readers.follow(&view, &sent);
            check(&mut Waiting::new(), &config, &view, &sent, &readers, &events)
        };
        assert!(see(1).is_ok(), "one fits, however large it is");
        assert!(see(2).is_err());
    }

    #[test]
    fn too_many_of_anything_are_seen() {
        let mut many = step(Input::Tick);
        many.after.pending = 2;
        many.after.connections = vec![carrying(1, 0), carrying(2, 0)];
        many.after.requests =
            vec![(1.into(), StreamId::Request(0)), (2.into(), StreamId::Request(1))];
        many.after.logs = vec![log(0)];
        many.after.logs.extend((0..4).map(|n| {
            let stream = StreamId::Request(n);
            super::super::LogView { stream, ..log(0) }
        }));
        assert!(see(&Config::default(), &many).is_ok());
        for config in [
            Config { pending_max: 1, ..Config::default() },
            Config { connections_max: 1, ..Config::default() },
            Config { streams_max: 1, ..Config::default() },
            Config { untaken_max: 1, taken_max: 0, ..Config::default() },
        ] {
            assert!(see(&config, &many).is_err());
        }
    }

    #[test]
    fn too_many_shadows_are_seen() {
        let mut get = step(Input::Get { connection: ConnectionId(1), last_event_id: None });
        get.after.connections = vec![Seat { carries: None, ..carrying(1, 0) }];
        assert!(see(&Config::default(), &get).is_ok());
        assert!(see(&Config { shadows_max: 0, ..Config::default() }, &get).is_err());
    }

    #[test]
    fn too_many_waiting_requests_are_seen() {
        let mut ask = step(backend(request(1), 5));
        let config = Config { asked_max: 0, ..Config::default() };
        assert!(see(&Config::default(), &ask).is_ok());
        assert!(see(&config, &ask).is_err());
        let reason = rejoin_core::UnansweredReason::Evicted;
        ask.actions = vec![Action::Fail { id: 1.into(), reason }];
        assert!(see(&config, &ask).is_ok());
    }
}
