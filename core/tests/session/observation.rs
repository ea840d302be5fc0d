//! What a driver observes: summaries of streams, and actions with other bodies.

use std::time::Duration;

use rejoin_core::{
    Action, Answer, CloseReason, Config, ConnectionId, CutReason, Event, EventId, Failure,
    FailureReason, Report, RequestId, SessionCloseReason, StreamId, StreamSummary,
    UnansweredReason,
};

use crate::script::Run;

/// Returns the summary of a stream on which nothing has happened.
fn empty(id: StreamId) -> StreamSummary {
    StreamSummary {
        id,
        last: 0,
        sent: None,
        acknowledged: 0,
        logged: 0,
        attached: None,
        pending_requests: 0,
        is_complete: false,
        holds_sender: false,
    }
}

#[test]
fn streams_are_the_standalone_one_and_those_of_requests() {
    let standalone = empty(StreamId::Standalone);
    assert_eq!(Run::new(Config::default()).streams(), [standalone]);
    let mut run = Run::live("2025-06-18", Config::default());
    run.step("> post 1 request 7 token t");
    run.step("> post 2 request 8");
    let stream = |number| StreamSummary {
        sent: Some(0),
        attached: Some(ConnectionId(number + 1)),
        pending_requests: 1,
        ..empty(StreamId::Request(number))
    };
    assert_eq!(run.streams(), [standalone, stream(0), stream(1)]);

    run.step("> backend progress t");
    run.step("> backend progress t");
    run.step("> ack 1 through 1");
    let sent = StreamSummary { last: 2, sent: Some(2), acknowledged: 1, logged: 2, ..stream(0) };
    assert_eq!(run.streams(), [standalone, sent, stream(1)]);

    run.step("> closed 1 through 2");
    let detached = StreamSummary { sent: None, attached: None, acknowledged: 2, ..sent };
    assert_eq!(run.streams(), [standalone, detached, stream(1)]);

    run.step("> backend response 7");
    let complete =
        StreamSummary { last: 3, logged: 3, pending_requests: 0, is_complete: true, ..detached };
    assert_eq!(run.streams(), [standalone, complete, stream(1)]);

    run.step("> get 3");
    run.step("> backend notification");
    let attached = StreamSummary {
        last: 1,
        sent: Some(1),
        logged: 1,
        attached: Some(ConnectionId(3)),
        ..standalone
    };
    assert_eq!(run.streams(), [attached, complete, stream(1)]);

    run.step("> ack 3 through 1");
    let acknowledged = StreamSummary { acknowledged: 1, ..attached };
    assert_eq!(run.streams(), [acknowledged, complete, stream(1)]);

    run.step("> +60s tick");
    assert_eq!(run.streams(), [acknowledged, stream(1)], "a tombstone has no log");
    run.step("> shutdown");
    assert_eq!(run.streams(), []);
}

#[test]
fn stream_that_holds_a_sender_is_told() {
    let config = config! { stream_events_max: 4, session_bytes_max: 768, window_events_max: 1 };
    let mut run = Run::live("2025-06-18", config);
    run.step("> post 1 request 7 token t");
    run.step("> backend progress t");
    assert!(run.streams().iter().all(|stream| !stream.holds_sender));
    assert_eq!(run.step("> backend progress t"), ["hold 0"]);
    let holds: Vec<_> =
        run.streams().iter().map(|stream| (stream.id, stream.holds_sender)).collect();
    assert_eq!(holds, [(StreamId::Standalone, false), (StreamId::Request(0), true)]);
    // The second event waits for the window.
    assert_eq!(run.streams()[1].sent, Some(1));
}

#[test]
fn action_keeps_everything_but_its_bodies() {
    let (connection, stream) = (ConnectionId(3), StreamId::Request(5));
    let id = EventId { stream, index: 7 };
    let request = || RequestId::from(9);
    let failure = || Failure { id: request(), reason: FailureReason::Orphaned };
    // The number of the action, to tell them apart, and the two bodies.
    let actions = |client: u32, server: u32| -> Vec<Action<u32>> {
        vec![
            Action::Forward { message: client },
            Action::Send { connection, id, event: Event::Message(server) },
            Action::Send { connection, id, event: Event::Failure(failure()) },
            Action::Send {
                connection,
                id,
                event: Event::Priming { retry: Some(Duration::from_secs(1)) },
            },
            Action::Send { connection, id, event: Event::Gap { first: 2 } },
            Action::Respond { connection, answer: Answer::Message(server) },
            Action::Respond { connection, answer: Answer::Failure(failure()) },
            Action::Close { connection, reason: CloseReason::Complete },
            Action::Cut { connection, reason: CutReason::Stalled },
            Action::Discard { connection },
            Action::FailServerRequest { id: request(), reason: UnansweredReason::TimedOut },
            Action::CancelRequest { id: request() },
            Action::Hold { stream },
            Action::Release { stream },
            Action::SessionClosed {
                reason: SessionCloseReason::Idle,
                pending_requests: vec![request()],
                server_requests: vec![RequestId::from(10)],
            },
            Action::Report(Report::ReaderStalled { connection }),
        ]
    };
    let mapped: Vec<Action<u32>> =
        actions(1, 2).iter().map(|action| action.map(|it| it * 10, |it| it * 100)).collect();
    assert_eq!(mapped, actions(10, 200));
}
