//! Law 7: memory is bounded by the limits in `Config`, whatever the peers do.

use std::{collections::BTreeSet, time::Duration};

use rejoin_core::{Action, Config, Head, Input, Instant, RequestId, StreamId};

use super::readers::{Readers, Sent};
use super::silence::Silence;
use super::{Step, View, answered_id, cancelled_id, posted, request_id};

/// The unanswered server requests.
pub(super) type ServerRequests = BTreeSet<RequestId>;

/// Checks all limits except those of single logs.
pub(super) fn check(
    waiting: &mut ServerRequests,
    config: &Config,
    step: &Step,
    readers: &Readers,
    sent: &[Sent],
) -> Result<(), String> {
    update(waiting, step);
    let view = &step.after;
    let events: usize = view.logs.iter().map(|log| log.events).sum();
    if events > 1 || config.session_bytes_max == 0 {
        check_limit("bytes", view.bytes, config.session_bytes_max)?;
    }
    let bytes: usize = view.logs.iter().map(|log| log.bytes).sum();
    if view.closed.is_none() && bytes != view.bytes {
        return Err(format!("the logs cost {bytes} bytes, but the session counts {}", view.bytes));
    }
    check_limit("pending requests", view.pending, config.pending_requests_max)?;
    check_limit("connections", view.connections.len(), config.connections_max)?;
    let attached_streams = view.connections.iter().filter_map(|view| view.stream);
    let pending_streams = view.requests.iter().map(|(_, stream)| *stream);
    let mut in_use: BTreeSet<StreamId> = attached_streams.chain(pending_streams).collect();
    in_use.insert(StreamId::Standalone);
    check_limit("streams in use", in_use.len() - 1, config.streams_max)?;
    let retained = view.logs.iter().filter(|log| !in_use.contains(&log.stream)).count();
    let retained_max =
        config.retained_unacknowledged_max.saturating_add(config.retained_acknowledged_max);
    check_limit("retained streams", retained, retained_max)?;
    check_limit("server requests", waiting.len(), config.server_requests_max)?;
    check_limit("shadows", readers.shadows(), config.shadows_max)?;
    let window = usize::try_from(config.window_events_max).unwrap_or(usize::MAX);
    for (connection, events) in readers.events_in_flight() {
        check_limit(&format!("events on connection {connection}"), events, window)?;
    }
    for bytes in sent.iter().filter_map(|sent| sent.bytes_in_flight) {
        check_limit("bytes in flight", bytes, config.window_bytes_max)?;
    }
    Ok(())
}

/// Checks the limits of logs on which something was recorded, unless they may have a reader:
/// what a reader has not acknowledged is limited by the session only, and stays until the
/// next event when the reader leaves.
pub(super) fn check_logs(
    config: &Config,
    now: Instant,
    before: &View,
    step: &Step,
    silence: &Silence,
) -> Result<(), String> {
    if matches!(step.input, Input::Disconnect { .. }) {
        // A priming event uses an index, but is not logged.
        return Ok(());
    }
    for log in &step.after.logs {
        let grew = before.log(log.stream).is_none_or(|earlier| earlier.last < log.last);
        let mut views = before.connections.iter().chain(&step.after.connections);
        let is_read = views.any(|view| {
            view.stream == Some(log.stream)
                && !is_stalled(config, silence.current(now, view.connection))
        });
        if !grew || is_read {
            continue;
        }
        check_limit("events in a log", log.events, config.stream_events_max)?;
        if log.events > 1 || config.stream_bytes_max == 0 {
            check_limit("bytes in a log", log.bytes, config.stream_bytes_max)?;
        }
    }
    Ok(())
}

/// Returns whether a reader that was silent for so long is certainly stalled.
fn is_stalled(config: &Config, silence: Duration) -> bool {
    config.stall_timeout_max.is_some_and(|timeout| silence >= timeout)
}

fn check_limit(what: &str, count: usize, max: usize) -> Result<(), String> {
    if count > max {
        return Err(format!("{count} {what}, but the limit is {max}"));
    }
    Ok(())
}

/// Adds new server requests, and removes those that were answered, cancelled or failed.
fn update(waiting: &mut ServerRequests, step: &Step) {
    let head = backend_head(step);
    let mut new_request = head.and_then(request_id).cloned();
    for action in &step.actions {
        let Action::FailServerRequest { id, .. } = action else {
            continue;
        };
        if !waiting.remove(id) && new_request.as_ref() == Some(id) {
            new_request = None;
        }
    }
    waiting.extend(new_request);
    if let Some(id) = head.and_then(cancelled_id) {
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

/// Returns the head of an accepted message of the backend.
fn backend_head(step: &Step) -> Option<&Head> {
    let (Input::BackendMessage { message, .. }, Ok(())) = (&step.input, &step.result) else {
        return None;
    };
    Some(&message.head)
}

#[cfg(test)]
mod tests {
    use rejoin_core::{ConnectionId, EVENT_OVERHEAD_BYTES, Event, EventId};

    use super::super::fixtures::{attached, backend, log, position, request, send, step};
    use super::super::{ConnectionView, LogView, View};
    use super::*;

    fn run(config: &Config, step: &Step) -> Result<(), String> {
        let mut readers = Readers::default();
        let sent = readers.follow(&View::default(), step);
        let silence = Silence::default();
        check_logs(config, Instant::EPOCH, &View::default(), step, &silence)?;
        check(&mut ServerRequests::new(), config, step, &readers, &sent)
    }

    #[test]
    fn a_log_over_its_limits_is_detected() {
        let mut full = step(Input::Tick);
        full.after.logs = vec![log(9)];
        full.after.logs[0].events = 3;
        full.after.logs[0].bytes = 300;
        full.after.bytes = 300;
        assert!(run(&Config::default(), &full).is_ok());
        assert!(run(&Config { stream_events_max: 2, ..Config::default() }, &full).is_err());
        assert!(run(&Config { stream_bytes_max: 299, ..Config::default() }, &full).is_err());
        assert!(run(&Config { session_bytes_max: 299, ..Config::default() }, &full).is_err());
        full.after.logs[0].events = 1;
        assert!(run(&Config { stream_bytes_max: 299, ..Config::default() }, &full).is_ok());
        assert!(run(&Config { stream_bytes_max: 0, ..Config::default() }, &full).is_err());
        assert!(run(&Config { session_bytes_max: 299, ..Config::default() }, &full).is_ok());
        assert!(run(&Config { session_bytes_max: 0, ..Config::default() }, &full).is_err());
        full.after.bytes = 299;
        assert!(run(&Config::default(), &full).is_err(), "the sum of the logs differs");
    }

    #[test]
    fn a_log_over_its_limits_is_detected_once_its_reader_is_stalled() {
        let at = |seconds| Instant::new(Duration::from_secs(seconds));
        let mut head = step(backend(request(9), 1));
        head.after.logs = vec![LogView { events: 3, ..log(3) }];
        head.after.connections = vec![attached(1, 0)];
        head.after.connections[0].cursor = Some(position(1, 0));
        let mut silence = Silence::default();
        silence.follow(at(1), &View::default(), &head);
        let mut before = head.after.clone();
        before.logs = vec![log(2)];
        let config = Config { stream_events_max: 2, ..Config::default() };
        let run = |config, seconds| check_logs(config, at(seconds), &before, &head, &silence);
        assert!(run(&config, 10).is_ok());
        assert!(run(&config, 11).is_err());
        assert!(run(&Config { stall_timeout_max: None, ..config }, 11).is_ok());
    }

    #[test]
    fn too_many_events_on_a_connection_are_detected() {
        let stream = StreamId::Standalone;
        let last_event_id = Some(EventId::new(stream, 0));
        let mut get = step(Input::Get { connection: ConnectionId(1), last_event_id });
        get.actions = (1..=3).map(|index| send(1, stream, index, Event::Message(index))).collect();
        assert!(run(&Config { window_events_max: 3, ..Config::default() }, &get).is_ok());
        assert!(run(&Config { window_events_max: 2, ..Config::default() }, &get).is_err());
    }

    #[test]
    fn too_many_bytes_in_flight_are_detected() {
        let config = Config { window_bytes_max: EVENT_OVERHEAD_BYTES, ..Config::default() };
        let mut readers = Readers::default();
        let stream = StreamId::Standalone;
        let last_event_id = Some(EventId::new(stream, 0));
        let get = step(Input::Get { connection: ConnectionId(1), last_event_id });
        readers.follow(&View::default(), &get);
        let mut run = |index: u64| {
            let mut sent = step(backend(request(9), index));
            sent.actions = vec![send(1, stream, index, Event::Message(index))];
            let view = View::default();
            let events = readers.follow(&view, &sent);
            check(&mut ServerRequests::new(), &config, &sent, &readers, &events)
        };
        assert!(run(1).is_ok(), "one fits, however large it is");
        assert!(run(2).is_err());
    }

    #[test]
    fn too_many_of_anything_are_detected() {
        let mut many = step(Input::Tick);
        many.after.pending = 2;
        many.after.connections = vec![attached(1, 0), attached(2, 0)];
        many.after.requests =
            vec![(1.into(), StreamId::Request(0)), (2.into(), StreamId::Request(1))];
        many.after.logs = vec![log(0)];
        many.after.logs.extend((0..4).map(|n| {
            let stream = StreamId::Request(n);
            LogView { stream, ..log(0) }
        }));
        assert!(run(&Config::default(), &many).is_ok());
        for config in [
            Config { pending_requests_max: 1, ..Config::default() },
            Config { connections_max: 1, ..Config::default() },
            Config { streams_max: 1, ..Config::default() },
            Config {
                retained_unacknowledged_max: 1,
                retained_acknowledged_max: 0,
                ..Config::default()
            },
        ] {
            assert!(run(&config, &many).is_err());
        }
    }

    #[test]
    fn too_many_shadows_are_detected() {
        let mut get = step(Input::Get { connection: ConnectionId(1), last_event_id: None });
        get.after.connections = vec![ConnectionView { stream: None, ..attached(1, 0) }];
        assert!(run(&Config::default(), &get).is_ok());
        assert!(run(&Config { shadows_max: 0, ..Config::default() }, &get).is_err());
    }

    #[test]
    fn too_many_server_requests_are_detected() {
        let mut request_step = step(backend(request(1), 5));
        let config = Config { server_requests_max: 0, ..Config::default() };
        assert!(run(&Config::default(), &request_step).is_ok());
        assert!(run(&config, &request_step).is_err());
        let reason = rejoin_core::UnansweredReason::Evicted;
        request_step.actions = vec![Action::FailServerRequest { id: 1.into(), reason }];
        assert!(run(&config, &request_step).is_ok());
    }
}
