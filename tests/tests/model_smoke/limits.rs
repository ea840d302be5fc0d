//! Stalled readers, and what is evicted.

use rejoin_core::{
    Action, ClientFault, CloseReason, Config, ConnectionId, CutReason, FailureReason, Input,
    Report, RequestId, SessionCloseReason, UnansweredReason,
};

use crate::script::*;

#[test]
fn a_reader_that_makes_progress_holds_the_backend() {
    // Half of `session_bytes_max` is two events.
    let config = config! {
        window_events_max: 2,
        stream_events_max: 4,
        session_bytes_max: 4 * COST,
    };
    let mut script = Script::initialized(config);
    script.expect(get(1), [prime(1, STANDALONE, 0)]);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3)]);
    script.expect(notify(4, None), [hold(STANDALONE)]);
    script.expect(notify(5, None), [hold(STANDALONE)]);
    script.expect(acknowledged(1, 0), [send(1, STANDALONE, 2, 4)]);
    script.wait(100);
    script.expect(acknowledged(1, 2), [send(1, STANDALONE, 3, 5), release(STANDALONE)]);
    script.expect(acknowledged(1, 3), []);
}

#[test]
fn a_stalled_reader_holds_no_sender_and_is_cut() {
    // Half of `session_bytes_max` is two events.
    let config = config! {
        window_events_max: 2,
        stream_events_max: 4,
        session_bytes_max: 4 * COST,
    };
    let mut script = Script::initialized(config);
    script.expect(get(1), [prime(1, STANDALONE, 0)]);
    script.expect(get(2), []);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3)]);
    script.expect(notify(4, None), [hold(STANDALONE)]);
    script.expect_deadline_in(10_000);
    script.wait(10_000);
    script.expect(Input::Tick, [release(STANDALONE)]);
    script.expect(notify(5, None), []);
    script.expect_deadline_in(50_000);
    script.wait(50_000);
    script.expect(
        Input::Tick,
        [cut(1, CutReason::Stalled), send(2, STANDALONE, 1, 3), send(2, STANDALONE, 2, 4)],
    );
    assert_eq!(script.model.connections(), [ConnectionId(2)]);
}

#[test]
fn a_reader_after_a_stalled_one_has_time_to_read() {
    // The session may keep one event, but not two.
    let config = config! { stream_events_max: 1, session_bytes_max: 400 };
    let mut script = Script::initialized(config);
    script.expect(get(1), [prime(1, STANDALONE, 0)]);
    script.expect(get(2), []);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3), hold(STANDALONE)]);
    script.wait(60_000);
    script.expect_full(
        notify(4, None),
        [
            release(STANDALONE),
            cut(1, CutReason::Stalled),
            send(2, STANDALONE, 1, 3),
            hold(STANDALONE),
        ],
    );
    script.wait(999);
    script.expect(Input::Tick, []);
    script.wait(1);
    script.expect(Input::Tick, [cut(2, CutReason::Stalled), release(STANDALONE)]);
    script.expect(notify(4, None), []);
    assert_eq!(script.model.logged_events(STANDALONE, 0..9).len(), 1);
    assert_eq!(script.model.kept_bytes(), COST);
}

#[test]
fn logs_without_capacity_report_every_loss() {
    let config = config! {
        stream_events_max: 0,
        session_bytes_max: 0,
        shadows_max: 0,
        tombstones_max: 0,
        retained_acknowledged_max: 0,
        window_events_max: 1,
    };
    let mut script = Script::initialized(config);
    script.expect(get(1), [prime(1, STANDALONE, 0)]);
    script.expect_rejection(get(2), ClientFault::StandaloneConflict);
    script.expect(server_request(7, 3, None), [hold(STANDALONE)]);
    script.expect(
        without_waiting(server_request(8, 4, None)),
        [fail(7, UnansweredReason::Evicted), hold(STANDALONE)],
    );
    script.expect(acknowledged(1, 0), [gap(1, STANDALONE, 1, 1)]);
    script.expect(acknowledged(1, 1), [send(1, STANDALONE, 2, 4)]);
    script.expect(
        without_waiting(server_request(9, 5, None)),
        [fail(9, UnansweredReason::Evicted), hold(STANDALONE)],
    );

    script.expect(request(2, 1, 6), [prime(2, FIRST, 0), forward(6)]);
    let evicted = Action::Report(Report::ResponseEvicted { stream: FIRST, id: RequestId::from(1) });
    script.expect(without_waiting(response(1, 7)), [evicted]);
    let failed = failure(1, FailureReason::Evicted);
    assert_eq!(script.model.logged_events(FIRST, 1..2), [(1, failed)]);
    script.expect(
        acknowledged(2, 0),
        [send_failure(2, FIRST, 1, 1, FailureReason::Evicted), close(2, CloseReason::Complete)],
    );
    script.expect(acknowledged(2, 1), []);
    script.expect_rejection(resume(3, FIRST, 0), ClientFault::ExpiredStream(FIRST));
}

#[test]
fn the_session_evicts_acknowledged_events_first_then_the_oldest() {
    // Three events, of which two may be acknowledged.
    let config = config! { session_bytes_max: 3 * COST };
    let mut script = Script::initialized(config);
    script.expect(notify(3, None), []);
    script.expect(request(1, 1, 4), [prime(1, FIRST, 0), forward(4)]);
    script.expect(response(1, 5), [send(1, FIRST, 1, 5), close(1, CloseReason::Complete)]);
    script.expect(closed(1, Some(1)), []);
    script.expect(request(2, 2, 6), [prime(2, SECOND, 0), forward(6)]);
    assert_eq!(script.model.kept_bytes(), 2 * COST);
    script.expect(server_request(7, 7, Some(2)), [send(2, SECOND, 1, 7)]);
    assert_eq!(script.model.logged_events(FIRST, 0..9), []);
    assert_eq!(script.model.kept_bytes(), 2 * COST);
    script.expect(progress(2, 8), [send(2, SECOND, 2, 8)]);
    assert_eq!(script.model.kept_bytes(), 3 * COST);
    script.expect(progress(2, 9), [send(2, SECOND, 3, 9)]);
    assert_eq!(script.model.logged_events(STANDALONE, 0..9), []);
    script.expect_full(progress(2, 10), [hold(SECOND)]);
    script.expect(closed(2, None), [release(SECOND)]);
    script.expect(progress(2, 10), [fail(7, UnansweredReason::Evicted)]);
    assert_eq!(script.model.logged_events(SECOND, 0..9).len(), 3);
}

#[test]
fn closing_sends_failures_for_pending_requests() {
    let mut script = Script::initialized(Config::default());
    script.expect(request(1, 1, 3), [prime(1, FIRST, 0), forward(3)]);
    let failure = FailureReason::SessionClosed;
    let reason = SessionCloseReason::Deleted;
    script.expect(
        Input::Delete,
        [
            send_failure(1, FIRST, 1, 1, failure),
            close(1, CloseReason::SessionClosed),
            session_closed(reason, &[1]),
        ],
    );
}
