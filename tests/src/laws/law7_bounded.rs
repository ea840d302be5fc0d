//! Law 7: memory is bounded by the limits in `Config`, whatever the peers do.

use std::{collections::BTreeSet, time::Duration};

use rejoin_core::{Config, EVENT_OVERHEAD_BYTES, Event, Input, Instant, StreamId};

use super::readers::Readers;
use super::server_requests::ServerRequests;
use super::silence::Silence;
use super::{LogView, Step, View, sent_event};

/// Checks the limits of everything that is counted.
pub(super) fn check(
    waiting: &ServerRequests,
    config: &Config,
    step: &Step,
    readers: &Readers,
) -> Result<(), String> {
    let view = &step.after;
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
    check_limit("server requests", waiting.count(), config.server_requests_max)?;
    check_limit("shadows", readers.shadows(), config.shadows_max)?;
    let window = usize::try_from(config.window_events_max).unwrap_or(usize::MAX);
    for (connection, events) in readers.events_in_flight() {
        check_limit(&format!("events on connection {connection}"), events, window)?;
    }
    Ok(())
}

/// Checks what a session keeps: the logs, and what is in flight and in no log. The response to
/// `initialize` comes on top.
pub(super) fn check_kept(bytes_max: usize, step: &Step, readers: &Readers) -> Result<(), String> {
    let view = &step.after;
    let is_logged = |stream: StreamId, index: u64| {
        let in_flight = view.log(stream).into_iter().flat_map(|log| &log.in_flight);
        in_flight.into_iter().any(|(logged, _)| *logged == index)
    };
    let mut bytes: usize = view.logs.iter().map(|log| log.bytes).sum();
    let mut events: usize = view.logs.iter().map(|log| log.events).sum();
    let mut initialize_bytes = 0;
    for event in readers.in_flight() {
        match event.stream {
            None => initialize_bytes += event.cost,
            Some(stream) if is_logged(stream, event.index) => {}
            Some(_) => {
                bytes += event.cost;
                events += 1;
            }
        }
    }
    let all = bytes + initialize_bytes;
    if view.bytes < all || view.bytes > all && readers.is_exact() {
        return Err(format!("{all} bytes are kept, but the session counts {}", view.bytes));
    }
    if events > 1 {
        check_limit("bytes", view.bytes - initialize_bytes, bytes_max)?;
    }
    Ok(())
}

/// Checks the limits of logs on which something was recorded, unless they may have a reader:
/// what is in flight, and what a reader has not acknowledged, is limited by the session only, and
/// the latter stays until the next event when the reader leaves.
pub(super) fn check_logs(
    config: &Config,
    now: Instant,
    before: &View,
    step: &Step,
    silence: &Silence,
) -> Result<(), String> {
    if matches!(step.input, Input::Disconnect { .. } | Input::Committed { .. }) {
        // A priming event uses an index, but is not logged.
        return Ok(());
    }
    for log in &step.after.logs {
        let earlier = before.log(log.stream);
        let grew = earlier.is_none_or(|earlier| earlier.last < log.last);
        let mut views = before.connections.iter().chain(&step.after.connections);
        let is_read = views.any(|view| {
            view.stream == Some(log.stream)
                && !is_stalled(config, silence.current(now, view.connection))
        });
        if !grew || is_read {
            continue;
        }
        // When an event was recorded, more may have been in flight than after the step.
        let earlier_in_flight = earlier.into_iter().flat_map(|earlier| &earlier.in_flight);
        let mut in_flight: BTreeSet<_> = earlier_in_flight.chain(&log.in_flight).copied().collect();
        in_flight.extend(sent_message(before, step, log));
        let bytes_in_flight: usize = in_flight.iter().map(|(_, cost)| cost).sum();
        let events = log.events.saturating_sub(in_flight.len());
        check_limit("events in a log", events, config.stream_events_max)?;
        if events > 1 || config.stream_bytes_max == 0 {
            let bytes = log.bytes.saturating_sub(bytes_in_flight);
            check_limit("bytes in a log", bytes, config.stream_bytes_max)?;
        }
    }
    Ok(())
}

/// Returns index and cost of the message that a step recorded on a stream, if it was sent.
fn sent_message(before: &View, step: &Step, log: &LogView) -> Option<(u64, usize)> {
    let Input::BackendMessage { message, .. } = &step.input else {
        return None;
    };
    let is_it = |action| {
        let (connection, _, id, event) = sent_event(action)?;
        let stream = id.map_or_else(|| before.stream_on(connection), |id| Some(id.stream));
        let is_here = stream == Some(log.stream) && event == Event::Message(message.body);
        is_here.then_some((log.last, message.bytes.saturating_add(EVENT_OVERHEAD_BYTES)))
    };
    step.actions.iter().find_map(is_it)
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

#[cfg(test)]
mod tests {
    use rejoin_core::{Action, Answer, ConnectionId, EventId};

    use super::super::ConnectionView;
    use super::super::fixtures::{
        attached, backend, log, position, post, request, response, send, step,
    };
    use super::*;

    fn run(config: &Config, step: &Step) -> Result<(), String> {
        let mut readers = Readers::default();
        readers.follow(&View::default(), step);
        let silence = Silence::default();
        check_logs(config, Instant::EPOCH, &View::default(), step, &silence)?;
        check_kept(config.session_bytes_max, step, &readers)?;
        let mut waiting = ServerRequests::default();
        waiting.follow(step)?;
        check(&waiting, config, step, &readers)
    }

    #[test]
    fn a_log_over_its_limits_is_detected() {
        let mut full = step(Input::Tick);
        full.after.logs = vec![log(9)];
        full.after.logs[0].events = 3;
        full.after.logs[0].bytes = 300;
        full.after.bytes = 300;
        assert!(run(&Config::default(), &full).is_ok());
        assert!(run(&config! { stream_events_max: 2 }, &full).is_err());
        assert!(run(&config! { stream_bytes_max: 299 }, &full).is_err());
        assert!(run(&config! { session_bytes_max: 299 }, &full).is_err());
        full.after.logs[0].events = 1;
        assert!(run(&config! { stream_bytes_max: 299 }, &full).is_ok());
        assert!(run(&config! { stream_bytes_max: 0 }, &full).is_err());
        assert!(run(&config! { session_bytes_max: 299 }, &full).is_ok());
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
        let config = config! { stream_events_max: 2 };
        let run = |config, seconds| check_logs(config, at(seconds), &before, &head, &silence);
        assert!(run(&config, 10).is_ok());
        assert!(run(&config, 11).is_err());
        assert!(run(&config! { stall_timeout_max: None, ..config.clone() }, 11).is_ok());
    }

    #[test]
    fn too_many_events_on_a_connection_are_detected() {
        let stream = StreamId::Standalone;
        let last_event_id = Some(EventId::new(stream, 0));
        let mut get = step(Input::Get { connection: ConnectionId(1), last_event_id });
        get.actions = (1..=3).map(|index| send(1, stream, index, Event::Message(index))).collect();
        assert!(run(&config! { window_events_max: 3 }, &get).is_ok());
        assert!(run(&config! { window_events_max: 2 }, &get).is_err());
    }

    #[test]
    fn what_is_in_flight_and_not_logged_is_counted() {
        let stream = StreamId::Standalone;
        let connection = ConnectionId(1);
        let last_event_id = Some(EventId::new(stream, 0));
        let mut readers = Readers::default();
        readers.follow(&View::default(), &step(Input::Get { connection, last_event_id }));
        let mut sent = step(backend(request(9), 1));
        sent.actions = vec![send(1, stream, 1, Event::Message(1))];
        sent.after.bytes = EVENT_OVERHEAD_BYTES;
        readers.follow(&View::default(), &sent);
        assert!(check_kept(usize::MAX, &sent, &readers).is_ok());
        sent.after.logs = vec![LogView { bytes: EVENT_OVERHEAD_BYTES, events: 1, ..log(2) }];
        assert!(check_kept(usize::MAX, &sent, &readers).is_err());
        sent.after.bytes = 2 * EVENT_OVERHEAD_BYTES;
        assert!(check_kept(usize::MAX, &sent, &readers).is_ok());
        assert!(check_kept(EVENT_OVERHEAD_BYTES, &sent, &readers).is_err());
        sent.after.logs[0].in_flight = vec![(1, EVENT_OVERHEAD_BYTES)];
        sent.after.bytes = EVENT_OVERHEAD_BYTES;
        assert!(check_kept(EVENT_OVERHEAD_BYTES, &sent, &readers).is_ok(), "it is logged, too");
    }

    #[test]
    fn the_response_to_initialize_comes_on_top() {
        let mut readers = Readers::default();
        readers.follow(&View::default(), &step(post(1, 7, 70)));
        let mut sent = step(backend(response(7), 1));
        let answer = Answer::Message(1);
        sent.actions = vec![Action::Respond { connection: ConnectionId(1), answer }];
        readers.follow(&View::default(), &sent);
        sent.after.logs = vec![LogView { bytes: 300, events: 2, ..log(2) }];
        sent.after.bytes = 300 + EVENT_OVERHEAD_BYTES;
        assert!(check_kept(300, &sent, &readers).is_ok());
        assert!(check_kept(299, &sent, &readers).is_err());
        sent.after.bytes = 300;
        assert!(check_kept(300, &sent, &readers).is_err(), "it is not counted");
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
            config! { pending_requests_max: 1 },
            config! { connections_max: 1 },
            config! { streams_max: 1 },
            config! { retained_unacknowledged_max: 1, retained_acknowledged_max: 0 },
        ] {
            assert!(run(&config, &many).is_err());
        }
    }

    #[test]
    fn too_many_shadows_are_detected() {
        let mut get = step(Input::Get { connection: ConnectionId(1), last_event_id: None });
        get.after.connections = vec![ConnectionView { stream: None, ..attached(1, 0) }];
        assert!(run(&Config::default(), &get).is_ok());
        assert!(run(&config! { shadows_max: 0 }, &get).is_err());
    }

    #[test]
    fn too_many_server_requests_are_detected() {
        let mut request_step = step(backend(request(1), 5));
        let config = config! { server_requests_max: 0 };
        assert!(run(&Config::default(), &request_step).is_ok());
        assert!(run(&config, &request_step).is_err());
        let reason = rejoin_core::UnansweredReason::Evicted;
        request_step.actions = vec![Action::FailServerRequest { id: 1.into(), reason }];
        assert!(run(&config, &request_step).is_ok());
    }
}
