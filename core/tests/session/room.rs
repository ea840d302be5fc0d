//! Room: one budget in bytes for what is logged and in flight.

use std::time::Duration;

use rejoin_core::Config;

use crate::script::{check, check_live, check_pending};

/// Two messages of 308 bytes cost 1,000 bytes.
fn config() -> Config {
    config! { session_bytes_max: 1_000, stall_disconnect_timeout: None }
}

#[test]
fn message_waits_until_a_reader_has_acknowledged() {
    check_pending(
        2,
        config(),
        "
        > backend progress t (308 bytes)
          to 1: 1/0 progress t (308 bytes)
        > backend progress u (308 bytes)
          to 2: 1/1 progress u (308 bytes)
        > backend progress u
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > ack 1 through 1
          release 1
        > backend progress u
          to 2: 2/1 progress u
        ",
    );
}

#[test]
fn response_without_room_stays_pending() {
    check_pending(
        2,
        config(),
        "
        > backend progress t (700 bytes)
          to 1: 1/0 progress t (700 bytes)
        > backend response 8 (700 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > backend response 8
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > backend response 8 (700 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > closed 1
          release 1
        > backend response 8 (700 bytes)
          to 2: 1/1 response 8 (700 bytes)
          close 2: Complete
        ",
    );
}

#[test]
fn sender_is_released_when_there_is_room_for_its_smallest_message() {
    check_pending(
        2,
        config(),
        "
        > backend progress t (108 bytes)
          to 1: 1/0 progress t (108 bytes)
        > backend progress t (408 bytes)
          to 1: 2/0 progress t (408 bytes)
        > backend progress u (408 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > backend progress u (108 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > ack 1 through 1
          release 1
        > backend progress u (408 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > ack 1 through 2
          release 1
        ",
    );
}

#[test]
fn all_senders_for_whose_messages_there_is_room_are_released_in_order() {
    check_pending(
        3,
        config(),
        "
        > backend progress t (708 bytes)
          to 1: 1/0 progress t (708 bytes)
        > backend progress v (308 bytes)
          hold 2
          rejected: the session has no room for the message until its readers have caught up
        > backend progress u (8 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > backend notification (8 bytes)
          hold standalone
          rejected: the session has no room for the message until its readers have caught up
        > ack 1 through 1
          release standalone
          release 1
          release 2
        ",
    );
}

#[test]
fn message_waits_until_a_stream_is_stuck() {
    let hold_timeout = Some(Duration::from_millis(250));
    check_pending(
        2,
        config! { hold_timeout, window_events_max: 1, ..config() },
        "
        > backend progress t (408 bytes)
          to 1: 1/0 progress t (408 bytes)
        > backend progress t (8 bytes)
        > +200ms get 3 after 0/0
          cut 1: Replaced
          to 3: 1/0 progress t (408 bytes)
        > backend progress u (108 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > +49ms tick
        > +1ms tick
          release 1
        > backend progress u (108 bytes)
          to 2: 1/1 progress u (108 bytes)
        > ack 3 through 1
          to 3: 2/0 gap 2..=2
        ",
    );
}

#[test]
fn single_message_may_be_larger_than_the_limit() {
    check_pending(
        2,
        config(),
        "
        > backend progress t (9000 bytes)
          to 1: 1/0 progress t (9000 bytes)
        > backend progress u
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > ack 1 through 1
          release 1
        > backend progress u (9000 bytes)
          to 2: 1/1 progress u (9000 bytes)
        ",
    );
}

#[test]
fn larger_message_waits_until_nothing_is_kept() {
    check_pending(
        2,
        config! { stream_events_max: 0, ..config() },
        "
        > backend progress t
          to 1: 1/0 progress t
        > backend progress u (9000 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > ack 1 through 1
          release 1
        > backend progress u (9000 bytes)
          to 2: 1/1 progress u (9000 bytes)
          hold 1
        ",
    );
}

#[test]
fn events_in_flight_are_not_evicted() {
    check_pending(
        2,
        config(),
        "
        > backend progress t (308 bytes)
          to 1: 1/0 progress t (308 bytes)
        > +10s backend progress t (308 bytes)
          to 1: 2/0 progress t (308 bytes)
        > backend progress u (308 bytes)
          hold 1
          cut 1: Stalled
          release 1
          rejected: the session has no room for the message until its readers have caught up
        > backend progress u (308 bytes)
          to 2: 1/1 progress u (308 bytes)
        ",
    );
}

#[test]
fn response_evicts_from_a_stream_that_is_stuck_because_of_its_request() {
    let hold_timeout = Some(Duration::from_millis(250));
    check_pending(
        2,
        config! { window_events_max: 1, hold_timeout, ..config() },
        "
        > backend progress u (8 bytes)
          to 2: 1/1 progress u (8 bytes)
        > backend progress u (8 bytes)
        > backend progress u (8 bytes)
        > backend progress t (8 bytes)
          to 1: 1/0 progress t (8 bytes)
        > backend progress t (8 bytes)
        > +200ms ack 2 through 1
          to 2: 2/1 progress u (8 bytes)
        > +50ms backend response 8 (208 bytes)
        > ack 2 through 2
          to 2: 3/1 progress u (8 bytes)
        > ack 2 through 3
          to 2: 4/1 response 8 (208 bytes)
          close 2: Complete
        > ack 1 through 1
          to 1: 2/0 gap 2..=2
        ",
    );
}

#[test]
fn failure_evicts_nothing() {
    check(
        config! { window_events_max: 1, message_bytes_max: 308, ..config() },
        "
        > post 0 initialize 0
          to backend: initialize 0
        > backend notification (308 bytes)
        > backend notification (308 bytes)
        > backend response 0 version 2025-06-18
          answer 0: response 0 version 2025-06-18
          close 0: Complete
        > post 1 request 7 token t
          to backend: request 7 token t
        > get 2
          to 2: 1 notification (308 bytes)
        > backend response 7 (309 bytes)
          to 1: 1/0 failure 7 Evicted
          report ResponseEvicted { stream: Request(0), id: 7 }
          close 1: Complete
        > ack 2 through 1
          to 2: 2 notification (308 bytes)
        ",
    );
}

#[test]
fn sender_that_cannot_wait_evicts_what_was_not_sent() {
    let config = config! { window_events_max: 1, ..config() };
    check_pending(
        2,
        config,
        "
        > backend progress t (308 bytes)
          to 1: 1/0 progress t (308 bytes)
        > backend progress t (308 bytes)
        > backend-evicting progress u (308 bytes)
          to 2: 1/1 progress u (308 bytes)
        > backend-evicting progress u (308 bytes)
        > backend-evicting response 8 (900 bytes)
          report ResponseEvicted { stream: Request(1), id: 8 }
        > ack 1 through 1
          to 1: 2/0 gap 2..=2
        > ack 2 through 1
          to 2: 2/1 gap 2..=2
        > ack 2 through 2
          to 2: 3/1 failure 8 Evicted
          close 2: Complete
        ",
    );
}

#[test]
fn reader_is_sent_what_is_left_of_a_new_event_that_was_evicted() {
    check_pending(
        2,
        config(),
        "
        > backend progress t (700 bytes)
          to 1: 1/0 progress t (700 bytes)
        > backend-evicting progress u (700 bytes)
          to 2: 1/1 gap 1..=1
        > backend-evicting response 8 (700 bytes)
          report ResponseEvicted { stream: Request(1), id: 8 }
          to 2: 2/1 failure 8 Evicted
          close 2: Complete
        ",
    );
}

#[test]
fn server_request_that_is_evicted_at_once_fails() {
    check_live(
        "2025-11-25",
        config(),
        "
        > post 1 request 7 token t
          to 1: 0/0 priming
          to backend: request 7 token t
        > backend progress t (700 bytes)
          to 1: 1/0 progress t (700 bytes)
        > backend-evicting request 5 (700 bytes)
          fail 5: Evicted
        > get 2
          to 2: 1 gap 1..=1
        ",
    );
}
