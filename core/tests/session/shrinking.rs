//! Shrinking: a lower limit of the kept bytes, and the way to it.

use std::time::Duration;

use rejoin_core::Config;

use crate::script::{check, check_live, check_pending};

/// A message of 308 bytes costs 500 bytes, and one of 8 bytes costs 200.
fn config() -> Config {
    config! { stall_disconnect_timeout: None }
}

#[test]
fn acknowledged_events_are_evicted_first() {
    check_live(
        "2025-06-18",
        config(),
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t (308 bytes)
          to 1: 1/0 progress t (308 bytes)
        > closed 1
        > get 2
        > backend notification (308 bytes)
          to 2: 1 notification (308 bytes)
        > ack 2 through 1
        > limit 500
        > get 3 after 0/0
          to 3: 1/0 progress t (308 bytes)
        > get 4 after 0
          to 4: 1 gap 1..=1
        ",
    );
}

#[test]
fn acknowledged_events_may_take_all_of_a_lower_limit() {
    check_live(
        "2025-06-18",
        config(),
        "
        > get 1
        > backend notification (8 bytes)
          to 1: 1 notification (8 bytes)
        > backend notification (8 bytes)
          to 1: 2 notification (8 bytes)
        > ack 1 through 2
        > limit 400
        > get 2 after 0
          to 2: 1 notification (8 bytes)
          to 2: 2 notification (8 bytes)
        ",
    );
}

#[test]
fn retained_stream_that_was_acknowledged_is_evicted_before_any_event() {
    check_live(
        "2025-06-18",
        config(),
        "
        > get 1
        > backend notification (308 bytes)
          to 1: 1 notification (308 bytes)
        > ack 1 through 1
        > post 2 request 7
          to backend: request 7
        > backend response 7 (308 bytes)
          to 2: 1/0 response 7 (308 bytes)
          close 2: Complete
        > closed 2 through 1
        > limit 999
        > get 3 after 0/0
          to 3: 1/0 failure 7 Expired
          close 3: Complete
        > get 4 after 0
          to 4: 1 notification (308 bytes)
        ",
    );
}

#[test]
fn unacknowledged_events_are_evicted_in_order_but_none_that_an_active_reader_awaits() {
    let hold_timeout = Some(Duration::from_millis(250));
    check_pending(
        3,
        config! { hold_timeout, window_events_max: 1, ..config() },
        "
        > backend request q1 related 7 (8 bytes)
          to 1: 1/0 request q1 related 7 (8 bytes)
        > backend request q2 related 7 (8 bytes)
        > +250ms backend request q3 related 8 (8 bytes)
          to 2: 1/1 request q3 related 8 (8 bytes)
        > backend request q4 related 8 (8 bytes)
        > backend request q5 related 9 (8 bytes)
          to 3: 1/2 request q5 related 9 (8 bytes)
        > closed 3
        > limit 999
          fail q5: Evicted
        > limit 799
          fail q2: Evicted
        > limit 599
          cut 1: Stalled
          fail q1: Evicted
        > limit 0
        ",
    );
}

#[test]
fn reader_that_makes_progress_misses_nothing() {
    check_pending(
        1,
        config! { window_events_max: 1, ..config() },
        "
        > backend progress t (308 bytes)
          to 1: 1/0 progress t (308 bytes)
        > backend response 7 (308 bytes)
        > limit 0
        > +999ms backend notification
          hold standalone
          rejected: the session has no room for the message until its readers have caught up
        > ack 1 through 1
          to 1: 2/0 response 7 (308 bytes)
          close 1: Complete
        > +999ms ack 1 through 2
          release standalone
        > backend notification
        ",
    );
}

#[test]
fn reader_is_cut_when_it_stops() {
    let config = config! { stall_timeout_min: Duration::from_secs(2), ..config() };
    check_pending(
        1,
        config,
        "
        > backend progress t (308 bytes)
          to 1: 1/0 progress t (308 bytes)
        > limit 499
        > +1999ms tick
        > +1ms tick
          cut 1: Stalled
        > get 2 after 0/0
          to 2: 1/0 gap 1..=1
        ",
    );
}

#[test]
fn stopped_readers_are_cut_until_the_limit_is_reached() {
    let config = config! { stall_timeout_min: Duration::from_secs(2), ..config() };
    check_pending(
        3,
        config,
        "
        > backend progress u (308 bytes)
          to 2: 1/1 progress u (308 bytes)
        > +1s backend progress t (308 bytes)
          to 1: 1/0 progress t (308 bytes)
        > +1s backend progress v (308 bytes)
          to 3: 1/2 progress v (308 bytes)
        > +2s limit 500
          cut 2: Stalled
          cut 1: Stalled
        ",
    );
}

#[test]
fn events_are_evicted_when_their_stream_becomes_stuck() {
    let hold_timeout = Some(Duration::from_millis(250));
    check_pending(
        2,
        config! { hold_timeout, window_events_max: 1, ..config() },
        "
        > backend request q1 related 7 (8 bytes)
          to 1: 1/0 request q1 related 7 (8 bytes)
        > backend request q2 related 7 (8 bytes)
        > limit 200
        > +249ms tick
        > +1ms tick
          fail q2: Evicted
        ",
    );
}

#[test]
fn draining_connection_of_a_removed_stream_is_cut() {
    let config = config! { retention: Some(Duration::ZERO), ..config() };
    check_pending(
        1,
        config,
        "
        > backend response 7 (308 bytes)
          to 1: 1/0 response 7 (308 bytes)
          close 1: Complete
        > limit 0
        > +1s tick
          cut 1: Stalled
        ",
    );
}

#[test]
fn response_to_initialize_counts() {
    check(
        config(),
        "
        > limit 0
        > post 0 initialize 0
          to backend: initialize 0
        > backend response 0 version 2025-06-18
          answer 0: response 0 version 2025-06-18
          close 0: Complete
        > +1s tick
        > limit 0
          cut 0: Stalled
          session closed: InitializeUnacknowledged
        ",
    );
}

#[test]
fn sender_is_released_when_the_limit_is_raised() {
    check_pending(
        2,
        config(),
        "
        > backend progress t (308 bytes)
          to 1: 1/0 progress t (308 bytes)
        > limit 500
        > backend progress u (308 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > limit 999
        > limit 1000
          release 1
        > backend progress u (308 bytes)
          to 2: 1/1 progress u (308 bytes)
        ",
    );
}

#[test]
fn limit_of_zero_leaves_room_for_a_single_event() {
    check_live(
        "2025-06-18",
        config(),
        "
        > limit 0
        > backend notification (308 bytes)
        > backend notification (8 bytes)
        > get 1 after 0
          to 1: 1 gap 1..=1
          to 1: 2 notification (8 bytes)
        > backend notification (8 bytes)
          hold standalone
          rejected: the session has no room for the message until its readers have caught up
        ",
    );
}

#[test]
fn limit_is_never_higher_than_that_of_the_config() {
    check_pending(
        2,
        config! { session_bytes_max: 500, ..config() },
        "
        > limit 1000
        > backend progress t (308 bytes)
          to 1: 1/0 progress t (308 bytes)
        > backend progress u (308 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        ",
    );
}

#[test]
fn acknowledged_events_are_kept_up_to_three_quarters_of_the_limit() {
    check_live(
        "2025-06-18",
        config(),
        "
        > limit 800
        > get 1
        > backend notification (8 bytes)
          to 1: 1 notification (8 bytes)
        > backend notification (8 bytes)
          to 1: 2 notification (8 bytes)
        > ack 1 through 2
        > backend notification (8 bytes)
          to 1: 3 notification (8 bytes)
        > ack 1 through 3
        > backend notification (8 bytes)
          to 1: 4 notification (8 bytes)
        > get 2 after 0
          discard 1
          to 2: 1 gap 1..=1
          to 2: 2 notification (8 bytes)
          to 2: 3 notification (8 bytes)
          to 2: 4 notification (8 bytes)
        ",
    );
}

#[test]
fn sender_is_held_when_the_session_is_half_full() {
    check_pending(
        1,
        config! { stream_events_max: 2, ..config() },
        "
        > limit 401
        > backend progress t (8 bytes)
          to 1: 1/0 progress t (8 bytes)
        > limit 400
        > backend progress t (8 bytes)
          to 1: 2/0 progress t (8 bytes)
          hold 0
        > limit 801
          release 0
        ",
    );
}

#[test]
fn limit_does_not_restart_the_idle_time() {
    check_live(
        "2025-06-18",
        config(),
        "
        > +299s limit 0
        > +999ms limit 1000
        > +1ms tick
          session closed: Idle
        ",
    );
}

#[test]
fn limit_of_a_closed_session_has_no_effect() {
    check(
        config(),
        "
        > delete
          session closed: Deleted
        > limit 0
        ",
    );
}
