//! Holds: which senders wait for a slow reader, and until when.

use std::time::Duration;

use crate::script::{check_live, check_pending};

#[test]
fn sender_is_held_above_the_high_water_mark() {
    let config = config! { stream_events_max: 4, session_bytes_max: 768, window_events_max: 1 };
    check_pending(
        1,
        config,
        "
        > backend progress t
          to 1: 1/0 progress t
        > backend progress t
          hold 0
        > backend progress t
          hold 0
        > ack 1 through 1
          to 1: 2/0 progress t
        > ack 1 through 2
          to 1: 3/0 progress t
          release 0
        ",
    );
}

#[test]
fn high_water_mark_applies_to_bytes() {
    let config = config! { stream_bytes_max: 912, session_bytes_max: 912, window_events_max: 1 };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > backend notification (36 bytes)
          to 1: 1 notification (36 bytes)
        > backend notification (36 bytes)
          hold standalone
        > ack 1 through 1
          to 1: 2 notification (36 bytes)
          release standalone
        ",
    );
}

#[test]
fn stalled_reader_holds_no_sender_until_it_acknowledges() {
    let config = config! { stream_events_max: 2, session_bytes_max: 384, window_events_max: 1 };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > backend notification
          to 1: 1 notification
          hold standalone
        > +9999ms tick
        > +1ms tick
          release standalone
        > backend notification
        > ack 1 through 1
          to 1: 2 notification
        > backend notification
          hold standalone
        ",
    );
}

#[test]
fn hold_timeout_limits_the_hold_while_others_are_pending() {
    let config = config! {
        stream_events_max: 1,
        session_bytes_max: 384,
        hold_timeout: Some(Duration::from_secs(1)),
        window_events_max: 1,
    };
    check_pending(
        1,
        config,
        "
        > backend progress t
          to 1: 1/0 progress t
          hold 0
        > +5s post 2 request 8
          to backend: request 8
          release 0
        > backend progress t
        > ack 1 through 1
          to 1: 2/0 progress t
        > backend progress t
          hold 0
        > +999ms tick
        > +1ms tick
          release 0
        ",
    );
}

#[test]
fn senders_are_held_while_unacknowledged_events_fill_the_session() {
    let config = config! {
        stream_bytes_max: 4_000,
        session_bytes_max: 4_000,
        window_events_max: 1,
    };
    check_pending(
        3,
        config,
        "
        > backend progress t (308 bytes)
          to 1: 1/0 progress t (308 bytes)
        > backend progress t (308 bytes)
        > backend progress u (308 bytes)
          to 2: 1/1 progress u (308 bytes)
        > backend progress u (308 bytes)
        > backend progress v (308 bytes)
          to 3: 1/2 progress v (308 bytes)
        > backend progress v (308 bytes)
        > backend progress t (308 bytes)
        > backend progress u (308 bytes)
        > backend progress v (308 bytes)
          hold 2
          rejected: the session has no room for the message until its readers have caught up
        > ack 1 through 1
          to 1: 2/0 progress t (308 bytes)
          release 2
        > ack 2 through 1
          to 2: 2/1 progress u (308 bytes)
        > ack 3 through 1
          to 3: 2/2 progress v (308 bytes)
        > backend progress v (308 bytes)
        > backend progress t (308 bytes)
        > ack 1 through 2
          to 1: 3/0 progress t (308 bytes)
        > ack 1 through 3
          to 1: 4/0 progress t (308 bytes)
        > ack 2 through 2
          to 2: 3/1 progress u (308 bytes)
        > ack 3 through 2
          to 3: 3/2 progress v (308 bytes)
        ",
    );
}

#[test]
fn unread_streams_hold_no_sender() {
    let config = config! { session_bytes_max: 960 };
    check_live(
        "2025-06-18",
        config,
        "
        > backend notification
        > backend notification
        > backend notification
        > get 1
          to 1: 1 notification
          to 1: 2 notification
          to 1: 3 notification
        > closed 1
        > post 2 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 2: 1/0 progress t
        > backend progress t
          to 2: 2/0 progress t
        > backend progress t
          to 2: 3/0 progress t
        > get 3 after 0
          to 3: 1 gap 1..=1
          to 3: 2 notification
          to 3: 3 notification
        > backend progress t
          hold 0
          rejected: the session has no room for the message until its readers have caught up
        > ack 3 through 3
          release 0
        > backend progress t
          to 2: 4/0 progress t
        ",
    );
}

#[test]
fn resuming_without_reading_does_not_extend_a_hold() {
    let config = config! { stream_events_max: 2, session_bytes_max: 384, window_events_max: 1 };
    check_pending(
        1,
        config,
        "
        > backend progress t
          to 1: 1/0 progress t
          hold 0
        > +6s get 2 after 0/0
          cut 1: Replaced
          to 2: 1/0 progress t
        > +3999ms tick
        > +1ms tick
          release 0
        > +1s get 3 after 0/0
          cut 2: Replaced
          to 3: 1/0 progress t
        > backend progress t
        > ack 3 through 1
          to 3: 2/0 progress t
        > backend progress t
          hold 0
        ",
    );
}

#[test]
fn detached_time_does_not_count_as_silence() {
    let config = config! {
        stream_events_max: 1,
        session_bytes_max: 768,
        hold_timeout: Some(Duration::from_secs(1)),
        window_events_max: 1,
    };
    check_pending(
        1,
        config,
        "
        > post 2 request 8
          to backend: request 8
        > backend progress t
          to 1: 1/0 progress t
        > backend progress t
          hold 0
        > +900ms closed 1
          release 0
        > +5s get 3 after 0/0
          to 3: 1/0 progress t
        > backend progress t
          hold 0
        > +99ms tick
        > +1ms tick
          release 0
        > backend progress t
        > ack 3 through 1
          to 3: 2/0 progress t
        > backend progress t
          hold 0
        ",
    );
}

#[test]
fn sender_is_released_when_the_stream_detaches_or_completes() {
    let config = config! { stream_events_max: 2, session_bytes_max: 384 };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > backend notification
          to 1: 1 notification
          hold standalone
        > closed 1
          release standalone
        > post 2 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 2: 1/0 progress t
          hold 0
        > backend response 7
          to 2: 2/0 response 7
          close 2: Complete
          release 0
        > closed 2 through 2
        > post 3 request 8 token t
          to backend: request 8 token t
        > backend progress t
          to 3: 1/1 progress t
          hold 1
        > post cancelled 8
          to backend: cancelled 8
          close 3: Cancelled
          release 1
        ",
    );
}
