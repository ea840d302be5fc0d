//! Lifecycle: initialization, idle timeout, close.

use rejoin_core::{
    Action, Answer, AnswerFormat, ApiMisuse, ClientFault, CloseReason, Config, ConnectionId,
    FailureReason, Head, Input, Message, Method, Post, Rejection, Report, RequestId,
    SessionCloseReason, UndeliverableReason,
};

use crate::script::*;

#[test]
fn only_a_ping_may_precede_the_response_to_initialize() {
    let mut script = Script::new(Config::default());
    script.expect_deadline_in(60_000);
    script.expect(initialize(0, 1), [forward(1)]);
    script.expect_rejection(get(1), ClientFault::NotInitialized);
    script.expect_rejection(request(1, 1, 3), ClientFault::NotInitialized);
    script.expect_rejection(initialize(1, 3), ClientFault::AlreadyInitialized);
    let head = Head::Request { id: RequestId::from(7), method: Method::Ping, progress_token: None };
    let ping = Input::Post {
        connection: ConnectionId(1),
        format: AnswerFormat::Sse,
        post: Post::Single(Message { head, body: 3, bytes: 1 }),
    };
    script.expect(ping, [forward(3)]);
    assert_eq!(script.model.pending_requests(), 1);
    let connection = ConnectionId(0);
    let sent = Action::Respond { connection, answer: Answer::Message(2) };
    script.expect(initialized("2025-11-25"), [sent, close(0, CloseReason::Complete)]);
    script.expect_rejection(initialize(2, 4), ClientFault::AlreadyInitialized);
    script.expect(response(7, 5), [send(1, FIRST, 1, 5), close(1, CloseReason::Complete)]);
    assert_eq!(script.model.connections(), [ConnectionId(0), ConnectionId(1)]);
    script.expect(
        closed(0, None),
        [session_closed(SessionCloseReason::InitializeUnacknowledged, &[])],
    );
    assert_eq!(script.model.connections(), []);
}

#[test]
fn any_other_first_input_closes_the_session() {
    let mut script = Script::new(Config::default());
    let closed = Rejection::Closed(SessionCloseReason::ExpectedInitialize);
    let (result, actions) = script.model.handle(rejoin_core::Instant::EPOCH, get(0));
    assert_eq!(
        (result, actions),
        (Err(closed), vec![session_closed(SessionCloseReason::ExpectedInitialize, &[])])
    );
    assert_eq!(script.model.deadline(), None);
    script.expect_rejection(get(0), Rejection::Closed(SessionCloseReason::ExpectedInitialize));
    script.expect(acknowledged(0, 1), []);
}

#[test]
fn initialize_must_be_answered_in_time() {
    let mut script = Script::new(Config::default());
    script.expect(initialize(0, 1), [forward(1)]);
    script.wait(60_000);
    let failed = respond(0, failed_answer(0, FailureReason::SessionClosed));
    script.expect(
        Input::Tick,
        [
            failed,
            close(0, CloseReason::SessionClosed),
            session_closed(SessionCloseReason::InitializeTimeout, &[0]),
        ],
    );
}

#[test]
fn an_unused_session_expires_as_idle() {
    let mut script = Script::initialized(Config::default());
    script.expect_deadline_in(300_000);
    script.expect(get(1), [prime(1, STANDALONE, 0)]);
    script.expect(acknowledged(1, 0), []);
    assert_eq!(script.model.deadline(), None);
    script.wait(900_000);
    script.expect(closed(1, None), []);
    script.expect_deadline_in(300_000);
    script.wait(299_999);
    script.expect_rejection(resume(2, FIRST, 0), ClientFault::UnknownStream(FIRST));
    script.expect_deadline_in(1);
    script.wait(1);
    script.expect(Input::Tick, [session_closed(SessionCloseReason::Idle, &[])]);
}

#[test]
fn closing_fails_pending_requests_within_the_window() {
    let mut script = Script::initialized(config! { window_events_max: 2 });
    script.expect(request(1, 1, 3), [prime(1, FIRST, 0), forward(3)]);
    script.expect(json_request(2, 2, 4), [forward(4)]);
    script.expect(get(3), [prime(3, STANDALONE, 0)]);
    script.expect(progress(1, 5), [send(1, FIRST, 1, 5)]);
    let failed = respond(2, failed_answer(2, FailureReason::BackendGone));
    script.expect(
        Input::BackendGone,
        [
            failed,
            close(1, CloseReason::SessionClosed),
            close(2, CloseReason::SessionClosed),
            close(3, CloseReason::SessionClosed),
            session_closed(SessionCloseReason::BackendGone, &[1, 2]),
        ],
    );
}

#[test]
fn an_abandoned_stream_is_cancelled() {
    let mut script = Script::initialized(Config::default());
    script.expect_rejection(resume(2, FIRST, 0), ClientFault::UnknownStream(FIRST));
    script.expect(request(1, 1, 3), [prime(1, FIRST, 0), forward(3)]);
    script.expect_rejection(get(1), ApiMisuse::ConnectionInUse(ConnectionId(1)));
    script.expect(acknowledged(1, 0), []);
    script.expect_rejection(Input::Abandon { stream: SECOND }, ApiMisuse::UnknownStream(SECOND));
    script.expect(Input::Abandon { stream: FIRST }, [close(1, CloseReason::Abandoned)]);
    script.expect(
        response(1, 4),
        [Action::Report(Report::Undeliverable {
            id: Some(RequestId::from(1)),
            reason: UndeliverableReason::CancelledRequest,
        })],
    );
}
