//! Stopped readers, whose connections are cut while a message waits for room.

use std::time::Duration;

use rejoin_core::Config;

use crate::script::{check_live, check_pending};

/// Two messages of 308 bytes cost 1,000 bytes.
fn config() -> Config {
    config! { session_bytes_max: 1_000, stall_disconnect_timeout: None }
}

#[test]
fn longest_silent_stopped_reader_is_cut_first() {
    let config = config! { stall_timeout_min: Duration::from_secs(2), ..config() };
    check_pending(
        3,
        config,
        "
        > backend progress u (308 bytes)
          to 2: 1/1 progress u (308 bytes)
        > +1s backend progress t (308 bytes)
          to 1: 1/0 progress t (308 bytes)
        > backend progress v (308 bytes)
          hold 2
          rejected: the session has no room for the message until its readers have caught up
        > +999ms tick
        > +1ms tick
          cut 2: Stalled
          release 2
        > backend progress v (308 bytes)
          to 3: 1/2 progress v (308 bytes)
        ",
    );
}

#[test]
fn reader_that_comes_back_has_time_to_read() {
    let hold_timeout = Some(Duration::from_millis(250));
    check_pending(
        2,
        config! { hold_timeout, ..config() },
        "
        > backend progress t (700 bytes)
          to 1: 1/0 progress t (700 bytes)
        > +250ms tick
        > get 3 after 0/0
          cut 1: Replaced
          to 3: 1/0 progress t (700 bytes)
        > backend progress u (300 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > +249ms tick
        > +1ms tick
          cut 3: Stalled
          release 1
        ",
    );
}

#[test]
fn reader_is_not_cut_within_twice_its_longest_pause() {
    check_pending(
        2,
        config(),
        "
        > backend progress t (700 bytes)
          to 1: 1/0 progress t (700 bytes)
        > +3s ack 1 through 0
        > backend progress u (300 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > +6s tick
        > +1ms tick
          cut 1: Stalled
          release 1
        ",
    );
}

#[test]
fn stopped_readers_are_cut_until_there_is_room_for_the_largest_message() {
    let config = config! { stall_timeout_min: Duration::from_secs(2), ..config() };
    check_pending(
        4,
        config,
        "
        > backend progress t (108 bytes)
          to 1: 1/0 progress t (108 bytes)
        > backend progress u (408 bytes)
          to 2: 1/1 progress u (408 bytes)
        > backend progress v (8 bytes)
          hold 2
          rejected: the session has no room for the message until its readers have caught up
        > backend progress w (308 bytes)
          hold 3
          rejected: the session has no room for the message until its readers have caught up
        > +2s tick
          cut 1: Stalled
          cut 2: Stalled
          release 2
          release 3
        ",
    );
}

#[test]
fn reader_that_was_sent_something_later_may_stop_first() {
    check_pending(
        3,
        config(),
        "
        > backend progress t (408 bytes)
          to 1: 1/0 progress t (408 bytes)
        > +3s ack 1 through 0
        > backend progress u (408 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > backend progress v (8 bytes)
          to 3: 1/2 progress v (8 bytes)
        > +1s tick
          cut 3: Stalled
        > +5s tick
        > +1ms tick
          cut 1: Stalled
          release 1
        ",
    );
}

#[test]
fn stalled_reader_is_cut_within_twice_its_longest_pause() {
    check_pending(
        2,
        config(),
        "
        > backend progress t
          to 1: 1/0 progress t
        > +9s ack 1 through 1
        > backend response 7 (700 bytes)
          to 1: 2/0 response 7 (700 bytes)
          close 1: Complete
        > backend progress u (700 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > +9999ms tick
        > +1ms tick
          cut 1: Stalled
          release 1
        ",
    );
}

#[test]
fn reader_of_a_stuck_stream_is_cut() {
    check_pending(
        2,
        config! { hold_timeout: Some(Duration::from_millis(250)), ..config() },
        "
        > backend progress t (700 bytes)
          to 1: 1/0 progress t (700 bytes)
        > backend progress u (700 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > +249ms tick
        > +1ms tick
          cut 1: Stalled
          release 1
        ",
    );
}

#[test]
fn reader_is_not_cut_for_events_without_a_cost() {
    let config =
        config! { message_bytes_max: 700, stall_timeout_min: Duration::from_secs(2), ..config() };
    check_live(
        "2025-11-25",
        config,
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > backend response 7 (701 bytes)
          to 1: 1/0 failure 7 Evicted
          report ResponseEvicted { stream: Request(0), id: 7 }
          close 1: Complete
        > get 2
          to 2: 0 priming
        > post 3 request 9 token v
          to 3: 0/1 priming
          to backend: request 9 token v
        > backend progress v (700 bytes)
          to 3: 1/1 progress v (700 bytes)
        > backend notification (700 bytes)
          hold standalone
          rejected: the session has no room for the message until its readers have caught up
        > +2s tick
          cut 3: Stalled
          release standalone
        ",
    );
}

#[test]
fn draining_connection_of_a_removed_stream_is_cut() {
    let config = config! {
        retention: Some(Duration::ZERO),
        stall_timeout_min: Duration::from_secs(2),
        ..config()
    };
    check_pending(
        2,
        config,
        "
        > backend response 7 (700 bytes)
          to 1: 1/0 response 7 (700 bytes)
          close 1: Complete
        > backend response 8 (700 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > +1999ms tick
        > +1ms tick
          cut 1: Stalled
          release 1
        ",
    );
}

#[test]
fn reader_does_not_stop_when_the_clock_ends() {
    check_pending(
        2,
        config(),
        "
        > +20000000000s backend progress t (700 bytes)
          to 1: 1/0 progress t (700 bytes)
        > backend progress u (700 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        ",
    );
}

#[test]
fn no_reader_is_cut_for_a_message_of_a_cancelled_request() {
    let hold_timeout = Some(Duration::from_millis(250));
    check_live(
        "2025-03-26",
        config! { hold_timeout, ..config() },
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t (700 bytes)
          to 1: 1/0 progress t (700 bytes)
        > backend progress t (700 bytes)
          hold 0
          rejected: the session has no room for the message until its readers have caught up
        > +250ms post 2 batch [request 8, cancelled 7]
          to backend: request 8
          to backend: cancelled 7
          close 1: Cancelled
          release 0
        ",
    );
}
