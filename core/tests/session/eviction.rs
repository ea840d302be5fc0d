//! Eviction: which events a session at its byte limit drops first.

use std::time::Duration;

use crate::script::{check_live, check_pending};

#[test]
fn slow_reader_may_use_the_budget_of_the_session() {
    let config = config! { stream_events_max: 1, session_bytes_max: 1_920, window_events_max: 1 };
    check_pending(
        1,
        config,
        "
        > backend progress t
          to 1: 1/0 progress t
        > backend progress t
        > backend progress t
        > backend progress t
        > backend progress t
          hold 0
        > ack 1 through 1
          to 1: 2/0 progress t
          release 0
        > ack 1 through 2
          to 1: 3/0 progress t
        > ack 1 through 3
          to 1: 4/0 progress t
        > ack 1 through 4
          to 1: 5/0 progress t
        > ack 1 through 5
        > closed 1
        > get 2 after 1/0
          to 2: 4/0 gap 2..=4
        > ack 2 through 4
          to 2: 5/0 progress t
        ",
    );
}

#[test]
fn stalled_reader_gets_a_gap_for_evicted_events() {
    let config = config! { stream_events_max: 1, window_events_max: 1 };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > backend notification
          to 1: 1 notification
        > backend notification
        > +10s tick
        > backend notification
        > backend notification
        > ack 1 through 1
          to 1: 3 gap 2..=3
        > ack 1 through 3
          to 1: 4 notification
        ",
    );
}

#[test]
fn events_in_flight_without_a_reader_stay_and_do_not_count() {
    check_pending(
        1,
        config! { stream_events_max: 1 },
        "
        > backend progress t
          to 1: 1/0 progress t
        > disconnect 0
          close 1: Requested
        > backend progress t
        > get 2 after 0/0
          cut 1: Replaced
          to 2: 1/0 progress t
          to 2: 2/0 progress t
        ",
    );
}

#[test]
fn events_of_silent_readers_are_evicted_first() {
    let config = config! { session_bytes_max: 576, window_events_max: 1 };
    check_pending(
        2,
        config,
        "
        > backend progress t
          to 1: 1/0 progress t
        > backend progress u
          to 2: 1/1 progress u
        > backend progress u
        > +10s ack 1 through 1
        > backend progress t
          to 1: 2/0 progress t
        > backend progress t
        > backend progress t
          hold 0
          cut 2: Stalled
          release 0
          rejected: the session has no room for the message until its readers have caught up
        > backend progress t
        > ack 1 through 2
          to 1: 3/0 progress t
        > ack 2 through 1
        ",
    );
}

#[test]
fn acknowledged_events_are_evicted_first() {
    let config = config! { session_bytes_max: 768, window_events_max: 1 };
    check_pending(
        1,
        config,
        "
        > backend progress t
          to 1: 1/0 progress t
        > ack 1 through 1
        > backend progress t
          to 1: 2/0 progress t
        > ack 1 through 2
        > backend progress t
          to 1: 3/0 progress t
        > ack 1 through 3
        > backend progress t
          to 1: 4/0 progress t
        > closed 1 through 4
        > get 2 after 0/0
          to 2: 1/0 gap 1..=1
        > ack 2 through 1
          to 2: 2/0 progress t
        ",
    );
}

#[test]
fn the_oldest_acknowledged_event_of_all_streams_is_evicted() {
    let config = config! { session_bytes_max: 768, window_events_max: 1 };
    check_pending(
        2,
        config,
        "
        > backend progress t
          to 1: 1/0 progress t
        > backend progress u
          to 2: 1/1 progress u
        > ack 2 through 1
        > ack 1 through 1
        > backend progress t
          to 1: 2/0 progress t
        > backend progress u
          to 2: 2/1 progress u
        > get 3 after 0/0
          cut 1: Replaced
          to 3: 1/0 gap 1..=1
        > ack 3 through 1
          to 3: 2/0 progress t
        > get 4 after 0/1
          cut 2: Replaced
          to 4: 1/1 progress u
        ",
    );
}

#[test]
fn the_oldest_event_of_all_unread_streams_is_evicted() {
    check_pending(
        2,
        config! { session_bytes_max: 384 },
        "
        > closed 1
        > closed 2
        > backend progress u
        > backend progress t
        > backend notification
        > get 3 after 0/0
          to 3: 1/0 progress t
        > get 4 after 0/1
          to 4: 1/1 gap 1..=1
        ",
    );
}

#[test]
fn replayed_events_count_as_unacknowledged() {
    let config = config! { session_bytes_max: 1_536, window_events_max: 1 };
    check_pending(
        1,
        config,
        "
        > backend progress t
          to 1: 1/0 progress t
        > ack 1 through 1
        > backend progress t
          to 1: 2/0 progress t
        > ack 1 through 2
        > backend progress t (576 bytes)
          to 1: 3/0 progress t (576 bytes)
        > closed 1 through 3
        > get 2 after 0/0
          to 2: 1/0 progress t
        > backend progress t (192 bytes)
        > ack 2 through 1
          to 2: 2/0 progress t
        > ack 2 through 2
          to 2: 3/0 progress t (576 bytes)
        ",
    );
}

#[test]
fn reading_client_misses_nothing_beside_a_stopped_one() {
    let config = config! {
        session_bytes_max: 1_920,
        hold_timeout: Some(Duration::from_secs(1)),
        window_events_max: 1,
    };
    check_pending(
        2,
        config,
        "
        > backend progress t
          to 1: 1/0 progress t
        > backend progress t
        > backend progress u
          to 2: 1/1 progress u
        > backend progress u
        > +900ms ack 1 through 1
          to 1: 2/0 progress t
        > backend progress t
        > +100ms backend progress u
        > backend progress u
        > backend progress u
        > backend progress u
        > backend progress u
        > backend progress u
        > backend progress u
        > backend progress u
        > ack 1 through 2
          to 1: 3/0 progress t
        > ack 1 through 3
        > ack 2 through 1
          to 2: 3/1 gap 2..=3
        > ack 2 through 2
        ",
    );
}
