//! Request streams, from their POST to their tombstone.

use rejoin_core::{
    Action, Answer, ApiMisuse, ClientFault, CloseReason, Config, ConnectionId, CutReason,
    FailureReason, Input, Priming, Report, RequestId, UnansweredReason, UndeliverableReason,
};

use crate::script::*;

#[test]
fn a_response_completes_its_stream() {
    let mut script = Script::initialized(Config::default());
    script.expect(request(1, 1, 3), [prime(1, FIRST, 0), forward(3)]);
    script.expect_rejection(request(2, 1, 3), ClientFault::RequestIdInUse(RequestId::from(1)));
    script.expect(progress(1, 4), [send(1, FIRST, 1, 4)]);
    script.expect(response(1, 5), [send(1, FIRST, 2, 5), close(1, CloseReason::Complete)]);
    assert_eq!(script.model.pending_requests(), 0);
    assert_eq!(script.model.acknowledged(ConnectionId(1)), None);
    script.expect(acknowledged(1, 2), []);
    assert_eq!(script.model.acknowledged(ConnectionId(1)), Some(2));
    script.expect(
        resume(2, FIRST, 2),
        [cut(1, CutReason::Replaced), close(2, CloseReason::Complete)],
    );
    let unknown = Report::Undeliverable {
        id: Some(RequestId::from(1)),
        reason: UndeliverableReason::UnknownRequest,
    };
    script.expect(response(1, 6), [Action::Report(unknown)]);
}

#[test]
fn missed_events_are_replayed_on_resume() {
    let mut script = Script::initialized(Config::default());
    script.expect(request(1, 1, 3), [prime(1, FIRST, 0), forward(3)]);
    script.expect(progress(1, 4), [send(1, FIRST, 1, 4)]);
    script.expect(closed(1, Some(1)), []);
    script.expect(response(1, 5), []);
    script
        .expect_rejection(resume(2, FIRST, 3), ClientFault::FutureEvent { stream: FIRST, last: 2 });
    script.expect(resume(2, FIRST, 1), [send(2, FIRST, 2, 5), close(2, CloseReason::Complete)]);
}

#[test]
fn a_resume_is_limited_by_its_window() {
    let mut script = Script::initialized(config! { window_events_max: 2 });
    script.expect(request(1, 1, 3), [prime(1, FIRST, 0), forward(3)]);
    script.expect(closed(1, None), []);
    for body in [4, 5, 6] {
        script.expect(progress(1, body), []);
    }
    script.expect(resume(2, FIRST, 0), [send(2, FIRST, 1, 4), send(2, FIRST, 2, 5)]);
    script.expect(response(1, 7), []);
    script.expect(acknowledged(2, 1), [send(2, FIRST, 3, 6)]);
    script.expect(acknowledged(2, 1), []);
    script.expect(acknowledged(2, 3), [send(2, FIRST, 4, 7), close(2, CloseReason::Complete)]);
}

#[test]
fn a_cancelled_request_keeps_its_id_until_the_late_response() {
    let mut script = Script::initialized(Config::default());
    script.expect(request(1, 1, 3), [prime(1, FIRST, 0), forward(3)]);
    script.expect(server_request(9, 4, Some(1)), [send(1, FIRST, 1, 4)]);
    script.expect(
        from_client(cancelled_head(1), 5),
        [forward(5), close(1, CloseReason::Cancelled), fail(9, UnansweredReason::Cancelled)],
    );
    script.expect_rejection(resume(2, FIRST, 0), ClientFault::CancelledStream(FIRST));
    script.expect_rejection(request(2, 1, 6), ClientFault::RequestIdInUse(RequestId::from(1)));
    let late = Report::Undeliverable {
        id: Some(RequestId::from(1)),
        reason: UndeliverableReason::CancelledRequest,
    };
    script.expect(response(1, 7), [Action::Report(late)]);
    let unknown = Report::Undeliverable {
        id: Some(RequestId::from(9)),
        reason: UndeliverableReason::UnknownServerRequest,
    };
    script.expect(from_client(response_head(9), 8), [Action::Report(unknown)]);
    script.expect(request(2, 1, 6), [prime(2, SECOND, 0), forward(6)]);
}

#[test]
fn a_batch_opens_one_stream() {
    let config = config! { priming: Priming::Always };
    let mut script = Script::new(config);
    script.expect(initialize(0, 1), [forward(1)]);
    let sent = respond(0, Answer::Message(2));
    script.expect(initialized("2025-03-26"), [sent, close(0, CloseReason::Complete)]);
    let heads = vec![(request_head(1), 3), (cancelled_head(1), 4), (request_head(2), 5)];
    script.expect(batch(1, heads), [prime(1, FIRST, 0), forward(3), forward(4), forward(5)]);
    script.expect(response(2, 6), [send(1, FIRST, 1, 6), close(1, CloseReason::Complete)]);
    script.expect_rejection(batch(2, vec![]), ClientFault::BatchEmpty);
}

#[test]
fn a_late_resume_finds_a_tombstone() {
    let config = config! { idle_timeout: None };
    let mut script = Script::initialized(config);
    script.expect(request(1, 1, 3), [prime(1, FIRST, 0), forward(3)]);
    script.expect(progress(1, 4), [send(1, FIRST, 1, 4)]);
    script.expect(closed(1, None), []);
    script.expect(response(1, 5), []);
    script.expect_deadline_in(60_000);
    assert_eq!(script.model.kept_bytes(), 2 * COST);
    script.wait(60_000);
    script.expect(Input::Tick, []);
    assert_eq!(script.model.kept_bytes(), 0);
    script.expect(
        resume(2, FIRST, 0),
        [
            gap(2, FIRST, 1, 1),
            send_failure(2, FIRST, 2, 1, FailureReason::Expired),
            close(2, CloseReason::Complete),
        ],
    );
    script.expect(closed(2, Some(2)), []);
    script.expect(resume(3, FIRST, 2), [close(3, CloseReason::Complete)]);
    script.expect(closed(3, None), []);
    script.wait(600_000);
    script.expect_rejection(resume(4, FIRST, 0), ClientFault::ExpiredStream(FIRST));
}

#[test]
fn an_orphan_is_cancelled_and_ends_in_a_failure() {
    let mut script = Script::initialized(Config::default());
    script.expect(request(1, 1, 3), [prime(1, FIRST, 0), forward(3)]);
    script.expect(closed(1, Some(0)), []);
    script.expect_deadline_in(600_000);
    script.wait(600_000);
    script.expect(Input::Tick, [Action::CancelRequest { id: RequestId::from(1) }]);
    script.expect(
        resume(2, FIRST, 0),
        [send_failure(2, FIRST, 1, 1, FailureReason::Orphaned), close(2, CloseReason::Complete)],
    );
}

#[test]
fn a_json_response_is_one_object_and_can_be_lost() {
    let mut script = Script::initialized(Config::default());
    script.expect(json_request(1, 1, 3), [forward(3)]);
    let sent = respond(1, Answer::Message(4));
    script.expect(response(1, 4), [sent, close(1, CloseReason::Complete)]);
    script.expect(closed(1, None), [Action::Report(Report::ResponseLost { stream: FIRST })]);
    script.expect(json_request(2, 2, 5), [forward(5)]);
    script.expect(progress(2, 6), [send(2, SECOND, 1, 6)]);
    script.expect(response(2, 7), [send(2, SECOND, 2, 7), close(2, CloseReason::Complete)]);
    script.expect(closed(2, None), []);
}

#[test]
fn a_disconnect_sends_a_retry_and_closes_the_connection() {
    let mut script = Script::initialized(Config::default());
    script.expect(json_request(1, 1, 3), [forward(3)]);
    script.expect_rejection(disconnect(FIRST, None), ApiMisuse::NothingToResumeFrom(FIRST));
    script.expect(
        disconnect(FIRST, Some(500)),
        [prime_retry(1, FIRST, 1, 500), close(1, CloseReason::Requested)],
    );
    script.expect(disconnect(FIRST, Some(500)), []);
    script.expect(response(1, 4), []);
    script.expect_rejection(disconnect(FIRST, None), ApiMisuse::StreamNotOpen(FIRST));
    script.expect(
        resume(2, FIRST, 1),
        [cut(1, CutReason::Replaced), send(2, FIRST, 2, 4), close(2, CloseReason::Complete)],
    );
}
