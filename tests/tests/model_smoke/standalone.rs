//! The standalone stream: shadows, gaps, and server requests.

use rejoin_core::{
    ClientFault, CloseReason, ConcurrentGet, Config, Input, UnansweredReason, UnrelatedRouting,
};

use crate::script::*;

#[test]
fn the_newest_shadow_is_promoted() {
    let mut script = Script::initialized(config! { shadows_max: 2 });
    script.expect(get(1), [prime(1, STANDALONE, 0)]);
    script.expect(get(2), []);
    script.expect(get(3), []);
    script.expect(get(4), [close(2, CloseReason::TooManyShadows)]);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3)]);
    script.expect(notify(4, None), [send(1, STANDALONE, 2, 4)]);
    script.expect(closed(1, Some(1)), [send(4, STANDALONE, 2, 4)]);
    script.expect(resume(5, STANDALONE, 2), [discard(4)]);
    script.expect(notify(5, None), [send(5, STANDALONE, 3, 5)]);
    script.expect(closed(5, None), [send(4, STANDALONE, 3, 5)]);
    script.expect(
        disconnect(STANDALONE, Some(7)),
        [
            prime_retry(4, STANDALONE, 4, 7),
            close(4, CloseReason::Requested),
            close(3, CloseReason::Requested),
        ],
    );
}

#[test]
fn events_in_flight_are_sent_again_on_a_replacing_get() {
    let mut script = Script::initialized(config! { window_events_max: 2 });
    script.expect(get(1), [prime(1, STANDALONE, 0)]);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3)]);
    script.expect(resume(2, STANDALONE, 0), [discard(1), send(2, STANDALONE, 1, 3)]);
    script.expect(notify(4, None), [send(2, STANDALONE, 2, 4)]);
    script.expect(acknowledged(2, 2), []);
    script.expect(notify(5, None), [send(2, STANDALONE, 3, 5)]);
    script.expect(acknowledged(1, 1), []);
    script.expect(closed(2, Some(3)), [prime(1, STANDALONE, 4)]);
    script.expect(notify(6, None), [send(1, STANDALONE, 5, 6)]);
    script.expect(acknowledged(1, 5), []);
    assert_eq!(script.model.deadline(), None);
}

#[test]
fn a_get_may_take_over_or_be_a_conflict() {
    let config = config! { concurrent_get: ConcurrentGet::TakeOver };
    let mut script = Script::initialized(config);
    script.expect(get(1), [prime(1, STANDALONE, 0)]);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3)]);
    script.expect(get(2), [discard(1), send(2, STANDALONE, 1, 3)]);
    script.expect(acknowledged(1, 1), []);
    script.expect(closed(2, None), [send(1, STANDALONE, 1, 3)]);
    script.expect(notify(4, None), [send(1, STANDALONE, 2, 4)]);

    let config = config! { concurrent_get: ConcurrentGet::Reject };
    let mut script = Script::initialized(config);
    script.expect(get(1), [prime(1, STANDALONE, 0)]);
    script.expect_rejection(get(2), ClientFault::StandaloneConflict);
    script.expect(resume(2, STANDALONE, 0), [discard(1)]);
}

#[test]
fn a_gap_is_reported_before_the_remaining_events() {
    // Half of `session_bytes_max` is one event.
    let config = config! { stream_events_max: 2, session_bytes_max: 2 * COST };
    let mut script = Script::initialized(config);
    script.expect(get(1), [prime(1, STANDALONE, 0)]);
    script.expect(acknowledged(1, 0), []);
    script.expect(notify(3, None), [send(1, STANDALONE, 1, 3), hold(STANDALONE)]);
    script.expect(closed(1, Some(1)), [release(STANDALONE)]);
    for body in [4, 5, 6] {
        script.expect(notify(body, None), []);
    }
    script.expect_rejection(
        resume(2, STANDALONE, 5),
        ClientFault::FutureEvent { stream: STANDALONE, last: 4 },
    );
    script.expect(
        resume(2, STANDALONE, 1),
        [gap(2, STANDALONE, 2, 2), send(2, STANDALONE, 3, 5), send(2, STANDALONE, 4, 6)],
    );
}

#[test]
fn an_undelivered_server_request_fails() {
    let mut script = Script::initialized(Config::default());
    script.expect(server_request(1, 3, None), []);
    script.expect_deadline_in(10_000);
    script.wait(5_000);
    script.expect(get(1), [send(1, STANDALONE, 1, 3)]);
    script.expect(closed(1, None), []);
    script.expect_deadline_in(10_000);
    script.wait(10_000);
    script.expect(Input::Tick, [fail(1, UnansweredReason::Undelivered)]);
    assert_eq!(script.model.kept_bytes(), 0);
    script.expect(get(2), [prime(2, STANDALONE, 2)]);
    script.expect(server_request(1, 4, None), [send(2, STANDALONE, 3, 4)]);
    script.expect(closed(2, Some(3)), []);
    script.expect_deadline_in(300_000);
    script.expect(from_client(response_head(1), 5), [forward(5)]);
}

#[test]
fn unrelated_messages_may_follow_the_sole_request() {
    let config = config! { unrelated_routing: UnrelatedRouting::SoleRequest };
    let mut script = Script::initialized(config);
    script.expect(request(1, 1, 3), [prime(1, FIRST, 0), forward(3)]);
    script.expect(server_request(7, 4, None), [send(1, FIRST, 1, 4)]);
    script.expect(notify(5, None), []);
    script.expect(request(2, 2, 6), [prime(2, SECOND, 0), forward(6)]);
    script.expect(server_request(8, 7, None), []);
    script.expect(server_request(9, 8, Some(2)), [send(2, SECOND, 1, 8)]);
    assert_eq!(script.model.logged_events(STANDALONE, 0..9).len(), 2);
}
