//! Snapshots with events in flight: they are kept until their connections are closed, one by one.

use std::time::Duration;

use rejoin_core::{
    Action, Actions, AnswerFormat, Config, Head, Input, Message, Notification, Rejection, Report,
    Session, StreamId,
};

use crate::{at, backend, closed, request, response, run};

/// Returns a message of the backend with another size.
fn sized(input: Input<u64>, bytes: usize) -> Input<u64> {
    let Input::BackendMessage { message, related, overflow } = input else { return input };
    Input::BackendMessage { message: Message { bytes, ..message }, related, overflow }
}

/// Returns a POST whose response is JSON.
fn in_json(input: Input<u64>) -> Input<u64> {
    let Input::Post { connection, post, .. } = input else { return input };
    Input::Post { connection, format: AnswerFormat::Json, post }
}

#[test]
fn restored_session_waits_for_room_until_the_last_connection_is_closed() {
    let mut config = Config::default();
    config.retention = Some(Duration::ZERO);
    config.session_bytes_max = 2_000;
    let config = config.validate().unwrap();
    let inputs = vec![
        request(1, 0, None),
        response(0),
        closed(1, Some(1)),
        in_json(request(2, 1, None)),
        in_json(request(3, 2, None)),
        sized(response(1), 700),
        sized(response(2), 700),
    ];
    let mut stored = run(inputs, &config);
    let notification = sized(backend(Head::Notification(Notification::Other)), 1_500);
    let rejected = stored.handle(at(100), notification, &mut Actions::new()).unwrap_err();
    assert_eq!(rejected.reason, Rejection::Full);

    let mut out = Actions::<u64>::new();
    let restored = Session::restore(stored.snapshot(), config, at(0), &mut out).unwrap();
    let lost = |number| Action::Report(Report::ResponseLost { stream: StreamId::Request(number) });
    let release = Action::Release { stream: StreamId::Standalone };
    assert_eq!(out.iter().collect::<Vec<_>>(), [&lost(0), &lost(1), &release]);
    assert_eq!(restored.kept_bytes(), 0);
}
