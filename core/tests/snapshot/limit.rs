//! Snapshots of sessions whose limit was lowered.

use rejoin_core::{Actions, Head, Input, Notification, Session, StreamId, ValidConfig};

use crate::{at, backend, closed, config, get, log_message, progress, request, response, run};

/// The cost of a log message.
const COST: usize = 202;

fn limit(events: usize) -> Input<u64> {
    Input::LimitBytes { bytes_max: events * COST }
}

/// Restores the session that was initialized and handled `inputs`.
fn restored(inputs: Vec<Input<u64>>, config: &ValidConfig) -> (Session<u64>, Session<u64>) {
    let initialize = [request(1, 0, None), response(0), closed(1, Some(1))];
    let stored = run(initialize.into_iter().chain(inputs).collect(), &self::config());
    let mut out = Actions::new();
    let restored = Session::restore(stored.snapshot(), config.clone(), at(0), &mut out).unwrap();
    (stored, restored)
}

/// Returns what a session keeps after some more log messages.
fn kept_after(mut session: Session<u64>, inputs: Vec<Input<u64>>) -> usize {
    for input in inputs {
        session.handle(at(1_000), input, &mut Actions::new()).unwrap();
    }
    session.kept_bytes()
}

#[test]
fn restored_session_has_the_limit_until_it_is_raised() {
    let messages = || (0..4).map(|_| log_message());
    let (_, session) = restored(vec![limit(2)], &config());
    assert_eq!(kept_after(session, messages().collect()), 2 * COST);
    let (_, session) = restored(vec![limit(2)], &config());
    assert_eq!(kept_after(session, [limit(3)].into_iter().chain(messages()).collect()), 3 * COST);
    let mut tiny = (*config()).clone();
    tiny.session_bytes_max = COST;
    let (_, session) = restored(vec![limit(2)], &tiny.validate().unwrap());
    assert_eq!(kept_after(session, messages().collect()), COST);
}

#[test]
fn session_that_shrinks_goes_on_when_it_is_restored() {
    let inputs = vec![get(10, None), log_message(), log_message(), limit(1)];
    let (stored, restored) = restored(inputs, &config());
    assert_eq!(stored.kept_bytes(), 2 * COST, "the reader awaits both");
    assert_eq!(restored.kept_bytes(), COST, "the reader is gone");
}

#[test]
fn restored_session_keeps_a_single_event_above_the_limit() {
    let (stored, restored) = restored(vec![limit(0), log_message(), get(10, None)], &config());
    assert_eq!(stored.kept_bytes(), COST);
    assert_eq!(restored.kept_bytes(), COST);
}

/// Closes all connections, as a restore does.
fn close_all(mut session: Session<u64>) -> Session<u64> {
    for id in session.connections().collect::<Vec<_>>() {
        let closed = Input::ConnectionClosed { connection: id, through: None };
        session.handle(at(100), closed, &mut Actions::new()).unwrap();
    }
    session
}

#[test]
fn restored_events_in_flight_from_the_standalone_stream_are_not_evicted() {
    let disconnect = Input::Disconnect { stream: StreamId::Standalone, retry: None };
    // The older event is in flight on the connection that is restored last.
    let inputs = vec![
        request(2, 1, Some(7)),
        get(10, None),
        backend(Head::Notification(Notification::Other)),
        progress(7),
        disconnect,
        limit(1),
    ];
    let (stored, restored) = restored(inputs, &config());
    let dropped = close_all(stored);
    for session in [&dropped, &restored] {
        let events = |stream| session.log(stream).unwrap().len();
        assert_eq!((events(StreamId::Standalone), events(StreamId::Request(0))), (1, 0));
    }
}
