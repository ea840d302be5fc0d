//! Room for messages of the backend, and senders that wait for it.

use std::time::Duration;

use rejoin_core::{
    Action, CloseReason, CutReason, FailureReason, Input, Report, RequestId, SessionCloseReason,
    UnansweredReason,
};

use crate::script::*;

#[test]
fn a_message_without_room_is_sent_again_after_the_release() {
    let mut script = with_room_for(3);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3)]);
    script.expect(notify(4, None), [send(1, STANDALONE, 2, 4)]);
    script.expect(notify(5, None), [send(1, STANDALONE, 3, 5)]);
    script.expect(request(2, 1, 6), [prime(2, FIRST, 0), forward(6)]);
    script.expect_full(notify(7, None), [hold(STANDALONE)]);
    script.expect_full(progress(1, 8), [hold(FIRST)]);
    script.expect(acknowledged(1, 1), [release(STANDALONE), release(FIRST)]);
    script.expect(progress(1, 8), [send(2, FIRST, 1, 8)]);
    script.expect_full(notify(7, None), [hold(STANDALONE)]);
    assert_eq!(script.model.kept_bytes(), 3 * COST);
}

#[test]
fn a_single_event_may_exceed_the_limit() {
    let mut script = with_room_for(0);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3)]);
    script.expect_full(notify(4, None), [hold(STANDALONE)]);
    script.expect(acknowledged(1, 1), [release(STANDALONE)]);
    script.expect(notify(4, None), [send(1, STANDALONE, 2, 4)]);
    assert_eq!(script.model.kept_bytes(), COST);
}

#[test]
fn a_stopped_reader_is_cut_while_a_stream_waits_for_room() {
    let mut script = with_room_for(1);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3)]);
    script.wait(600);
    script.expect_full(notify(4, None), [hold(STANDALONE)]);
    script.expect_deadline_in(400);
    script.wait(400);
    script.expect(Input::Tick, [cut(1, CutReason::Stalled), release(STANDALONE)]);
    script.expect(notify(4, None), []);
    script.expect(get(2), [gap(2, STANDALONE, 1, 1), send(2, STANDALONE, 2, 4)]);
    script.wait(1_000);
    script.expect_full(
        notify(5, None),
        [hold(STANDALONE), cut(2, CutReason::Stalled), release(STANDALONE)],
    );
}

#[test]
fn a_session_shrinks_when_its_reader_acknowledges_or_stops() {
    let mut script = with_room_for(3);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3)]);
    script.expect(notify(4, None), [send(1, STANDALONE, 2, 4)]);
    script.expect(notify(5, None), [send(1, STANDALONE, 3, 5)]);
    script.expect(Input::LimitBytes { bytes_max: COST }, []);
    assert_eq!(script.model.kept_bytes(), 3 * COST);
    script.expect(acknowledged(1, 1), []);
    assert_eq!(script.model.kept_bytes(), 2 * COST);
    script.expect_deadline_in(1_000);
    script.wait(1_000);
    script.expect(Input::Tick, [cut(1, CutReason::Stalled)]);
    assert_eq!(script.model.kept_bytes(), COST);
    script.expect(get(2), [gap(2, STANDALONE, 2, 2), send(2, STANDALONE, 3, 5)]);
    script.expect_full(notify(6, None), [hold(STANDALONE)]);
    script.expect(Input::LimitBytes { bytes_max: usize::MAX }, [release(STANDALONE)]);
}

#[test]
fn a_reader_that_often_pauses_stops_later() {
    let mut script = with_room_for(2);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3)]);
    script.wait(900);
    script.expect(acknowledged(1, 1), []);
    script.expect(notify(4, None), [send(1, STANDALONE, 2, 4)]);
    script.expect(notify(5, None), [send(1, STANDALONE, 3, 5)]);
    script.expect_full(notify(6, None), [hold(STANDALONE)]);
    script.wait(1_800);
    script.expect(Input::Tick, []);
    script.wait(1);
    script.expect(Input::Tick, [cut(1, CutReason::Stalled), release(STANDALONE)]);
}

#[test]
fn the_reader_of_a_stuck_stream_has_stopped() {
    let hold_timeout = Some(Duration::from_millis(250));
    let mut script = Script::initialized(config! { session_bytes_max: COST, hold_timeout });
    script.expect(get(1), [prime(1, STANDALONE, 0)]);
    script.expect(acknowledged(1, 0), []);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3)]);
    script.expect(request(2, 1, 4), [prime(2, FIRST, 0), forward(4)]);
    script.expect_full(progress(1, 5), [hold(FIRST)]);
    script.expect_deadline_in(250);
    script.wait(250);
    script.expect(Input::Tick, [cut(1, CutReason::Stalled), release(FIRST)]);
    script.expect(progress(1, 5), [send(2, FIRST, 1, 5)]);
}

#[test]
fn a_sender_that_cannot_wait_evicts_the_oldest_event_that_was_not_sent() {
    let config = config! { session_bytes_max: 2 * COST, window_events_max: 1 };
    let mut script = Script::initialized(config);
    script.expect(get(1), [prime(1, STANDALONE, 0)]);
    script.expect(acknowledged(1, 0), []);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3)]);
    script.expect(notify(4, None), []);
    script.expect(without_waiting(notify(5, None)), []);
    script.expect(acknowledged(1, 1), [gap(1, STANDALONE, 2, 2)]);
    script.expect(acknowledged(1, 2), [send(1, STANDALONE, 3, 5)]);
}

#[test]
fn a_new_message_is_evicted_if_everything_else_is_in_flight() {
    let mut script = with_room_for(1);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3)]);
    script.expect(without_waiting(notify(4, None)), [gap(1, STANDALONE, 2, 2)]);
    script.expect(
        without_waiting(server_request(7, 5, None)),
        [fail(7, UnansweredReason::Evicted), gap(1, STANDALONE, 3, 3)],
    );
    script.expect(request(2, 1, 6), [prime(2, FIRST, 0), forward(6)]);
    script.expect(
        without_waiting(response(1, 7)),
        [
            Action::Report(Report::ResponseEvicted { stream: FIRST, id: RequestId::from(1) }),
            send_failure(2, FIRST, 1, 1, FailureReason::Evicted),
            close(2, CloseReason::Complete),
        ],
    );
    assert_eq!(script.model.kept_bytes(), COST);
}

#[test]
fn a_response_to_initialize_in_flight_is_kept() {
    let mut script = Script::new(config! { session_bytes_max: COST });
    script.expect(initialize(0, 1), [forward(1)]);
    let sent = respond(0, rejoin_core::Answer::Message(2));
    script.expect(initialized("2025-11-25"), [sent, close(0, CloseReason::Complete)]);
    assert_eq!(script.model.kept_bytes(), COST);
    script.expect_full(notify(3, None), [hold(STANDALONE)]);
    script.wait(1_000);
    script.expect(
        Input::Tick,
        [
            cut(0, CutReason::Stalled),
            session_closed(SessionCloseReason::InitializeUnacknowledged, &[]),
        ],
    );
}

#[test]
fn an_event_in_flight_outlives_its_stream() {
    let retention = Some(Duration::ZERO);
    let mut script = Script::initialized(config! { session_bytes_max: COST, retention });
    script.expect(request(1, 1, 3), [prime(1, FIRST, 0), forward(3)]);
    script.expect(response(1, 4), [send(1, FIRST, 1, 4), close(1, CloseReason::Complete)]);
    assert_eq!(script.model.logged_events(FIRST, 0..9), []);
    assert_eq!(script.model.kept_bytes(), COST);
    script.expect_full(notify(5, None), [hold(STANDALONE)]);
    script.expect(closed(1, Some(1)), [release(STANDALONE)]);
    script.expect(notify(5, None), []);
}

#[test]
fn a_stream_that_is_replaced_by_its_tombstone_releases_its_senders() {
    let mut script = with_room_for(1);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3)]);
    script.expect(request(2, 1, 4), [prime(2, FIRST, 0), forward(4)]);
    script.expect_full(progress(1, 5), [hold(FIRST)]);
    script.expect(
        Input::Abandon { stream: FIRST },
        [close(2, CloseReason::Abandoned), release(FIRST)],
    );
    script
        .expect(progress(1, 5), [Action::Report(Report::UnknownProgressToken { token: 1.into() })]);
}

/// Returns a session that keeps at most this number of events, and whose standalone stream is
/// attached to connection 1.
fn with_room_for(events: usize) -> Script {
    let config = config! { session_bytes_max: events * COST };
    let mut script = Script::initialized(config);
    script.expect(get(1), [prime(1, STANDALONE, 0)]);
    script.expect(acknowledged(1, 0), []);
    script
}
