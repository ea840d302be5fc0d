//! Snapshots of sessions that drain.

use std::time::Duration;

use rejoin_core::{
    Action, Actions, Event, EventId, Input, Rejection, Session, SessionCloseReason, StreamId,
};

use crate::{at, closed, config, get, request, response, run};

const DRAIN: Input<u64> = Input::Drain { retry: Duration::from_secs(5) };

/// Restores the session that was initialized and handled `inputs`.
fn restored(inputs: Vec<Input<u64>>) -> Session<u64> {
    let initialize = [request(1, 0, None), response(0), closed(1, Some(1))];
    let stored = run(initialize.into_iter().chain(inputs).collect(), &config());
    Session::restore(stored.snapshot(), config(), at(0), &mut Actions::new()).unwrap()
}

#[test]
fn restored_session_drains_until_its_client_has_the_response() {
    let mut session = restored(vec![request(2, 7, None), DRAIN, response(7)]);
    let mut out = Actions::new();
    let rejected = session.handle(at(1), request(3, 8, None), &mut out).unwrap_err();
    assert_eq!(rejected.reason, Rejection::Draining);
    session.handle(at(1), get(4, None), &mut out).unwrap();
    let last_event_id = Some(EventId::new(StreamId::Request(0), 0));
    session.handle(at(1), get(5, last_event_id), &mut out).unwrap();
    assert_eq!(session.close_reason(), None);
    out.clear();
    session.handle(at(1), closed(5, Some(1)), &mut out).unwrap();
    assert_eq!(session.close_reason(), Some(SessionCloseReason::ServerShutdown));
    let is_retry = |action: &Action<u64>| {
        let retry = Some(Duration::from_secs(5));
        matches!(action, Action::Send { event: Event::Priming { retry: it }, .. } if *it == retry)
    };
    // The priming event of the connection itself is still unacknowledged, and admits another one.
    assert!(out.iter().any(is_retry), "{out:?}");
}

#[test]
fn restored_session_closes_if_it_waited_for_connections_only() {
    let mut config = (*config()).clone();
    config.retention = Some(Duration::ZERO);
    let config = config.validate().unwrap();
    let inputs = vec![
        request(1, 0, None),
        response(0),
        closed(1, Some(1)),
        request(2, 7, None),
        response(7),
        DRAIN,
    ];
    let stored = run(inputs, &config);
    assert_eq!(stored.close_reason(), None, "the response is in flight");
    let snapshot = stored.snapshot();
    let session = Session::<u64>::restore(snapshot, config, at(0), &mut Actions::new()).unwrap();
    assert_eq!(session.close_reason(), Some(SessionCloseReason::ServerShutdown));
}
