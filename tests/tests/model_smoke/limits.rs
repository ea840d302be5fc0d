//! stalls and limits.

use rejoin_core::{
    Action, ClientFault, CloseReason, Config, ConnectionId, CutReason, EndReason, FailureReason,
    Input, Report, RequestId, UnansweredReason,
};

use crate::script::*;

const RELEASE: Action<u64> = Action::Release { stream: STANDALONE };

#[test]
fn a_reader_that_makes_progress_holds_the_backend() {
    // Half of `session_bytes_max` is two events.
    let config = Config {
        window_events_max: 2,
        stream_events_max: 4,
        session_bytes_max: 912,
        ..Config::default()
    };
    let mut script = Script::initialized(config);
    script.expect(get(1), [prime(1, STANDALONE, 0)]);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3)]);
    script.expect(notify(4, None), [Action::Hold { stream: STANDALONE }]);
    script.expect(notify(5, None), [Action::Hold { stream: STANDALONE }]);
    script.expect(acknowledged(1, 0), [send(1, STANDALONE, 2, 4)]);
    script.wait(100);
    script.expect(acknowledged(1, 2), [send(1, STANDALONE, 3, 5), RELEASE]);
    script.expect(acknowledged(1, 3), []);
}

#[test]
fn a_stalled_reader_holds_no_sender_and_is_cut() {
    // Half of `session_bytes_max` is two events.
    let config = Config {
        window_events_max: 2,
        stream_events_max: 4,
        session_bytes_max: 912,
        ..Config::default()
    };
    let mut script = Script::initialized(config);
    script.expect(get(1), [prime(1, STANDALONE, 0)]);
    script.expect(get(2), []);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3)]);
    script.expect(notify(4, None), [Action::Hold { stream: STANDALONE }]);
    script.expect_deadline_in(10_000);
    script.wait(10_000);
    script.expect(Input::Tick, [RELEASE]);
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
fn events_sent_at_a_deadline_survive_eviction_by_the_same_input() {
    // The session may log one event, but not two.
    let config = Config { stream_events_max: 1, session_bytes_max: 400, ..Config::default() };
    let mut script = Script::initialized(config);
    script.expect(get(1), [prime(1, STANDALONE, 0)]);
    script.expect(get(2), []);
    script
        .expect(notify(3, None), [send(1, STANDALONE, 1, 3), Action::Hold { stream: STANDALONE }]);
    script.wait(60_000);
    // The second reader has not acknowledged what the first one left unread, either.
    script.expect(
        notify(4, None),
        [RELEASE, cut(1, CutReason::Stalled), send(2, STANDALONE, 1, 3), send(2, STANDALONE, 2, 4)],
    );
    assert_eq!(script.model.logged_events(STANDALONE, 1..2), []);
    assert_eq!(script.model.logged_bytes(), 228);
}

#[test]
fn logs_without_capacity_report_every_loss() {
    let config = Config {
        stream_events_max: 0,
        session_bytes_max: 0,
        shadows_max: 0,
        tombstones_max: 0,
        retained_acknowledged_max: 0,
        window_events_max: 1,
        ..Config::default()
    };
    let mut script = Script::initialized(config);
    script.expect(get(1), [prime(1, STANDALONE, 0)]);
    script.expect_rejection(get(2), ClientFault::StandaloneConflict);
    script.expect(server_request(7, 3, None), [fail(7, UnansweredReason::Evicted)]);
    script.expect(acknowledged(1, 0), [gap(1, STANDALONE, 1, 1)]);
    script.expect(acknowledged(1, 1), []);
    script.expect(server_request(8, 4, None), [send(1, STANDALONE, 2, 4)]);
    script.expect(closed(1, None), [fail(8, UnansweredReason::Evicted)]);

    script.expect(request(2, 1, 5), [prime(2, FIRST, 0), forward(5)]);
    let evicted = Action::Report(Report::ResponseEvicted { stream: FIRST, id: RequestId::from(1) });
    script.expect(response(1, 6), [evicted]);
    let failed = failure(1, FailureReason::Evicted);
    assert_eq!(script.model.logged_events(FIRST, 1..2), [(1, failed)]);
    script.expect(
        acknowledged(2, 0),
        [send_failure(2, FIRST, 1, 1, FailureReason::Evicted), close(2, EndReason::Complete)],
    );
    script.expect(acknowledged(2, 1), []);
    script.expect_rejection(resume(3, FIRST, 0), ClientFault::ExpiredStream(FIRST));
}

#[test]
fn the_session_evicts_acknowledged_events_first_then_the_oldest() {
    // Three events, of which two may be acknowledged.
    let config = Config { session_bytes_max: 684, ..Config::default() };
    let mut script = Script::initialized(config);
    script.expect(notify(3, None), []);
    script.expect(request(1, 1, 4), [prime(1, FIRST, 0), forward(4)]);
    script.expect(response(1, 5), [send(1, FIRST, 1, 5), close(1, EndReason::Complete)]);
    script.expect(closed(1, Some(1)), []);
    script.expect(request(2, 2, 6), [prime(2, SECOND, 0), forward(6)]);
    assert_eq!(script.model.logged_bytes(), 456);
    script.expect(server_request(7, 7, Some(2)), [send(2, SECOND, 1, 7)]);
    assert_eq!(script.model.logged_events(FIRST, 0..9), []);
    assert_eq!(script.model.logged_bytes(), 456);
    script.expect(progress(2, 8), [send(2, SECOND, 2, 8)]);
    assert_eq!(script.model.logged_bytes(), 684);
    let hold = Action::Hold { stream: SECOND };
    script.expect(progress(2, 9), [send(2, SECOND, 3, 9), hold.clone()]);
    assert_eq!(script.model.logged_events(STANDALONE, 0..9), []);
    script.expect(progress(2, 10), [send(2, SECOND, 4, 10), hold.clone()]);
    assert_eq!(script.model.logged_events(SECOND, 0..9).len(), 3);
    let release = Action::Release { stream: SECOND };
    script.expect(closed(2, None), [fail(7, UnansweredReason::Evicted), release]);
}

#[test]
fn closing_sends_failures_for_pending_requests() {
    let mut script = Script::initialized(Config::default());
    script.expect(request(1, 1, 3), [prime(1, FIRST, 0), forward(3)]);
    let failure = FailureReason::SessionClosed;
    let reason = CloseReason::Deleted;
    script.expect(
        Input::Delete,
        [
            send_failure(1, FIRST, 1, 1, failure),
            close(1, EndReason::SessionClosed),
            session_closed(reason, &[1]),
        ],
    );
}
