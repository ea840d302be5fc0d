//! Pressure: a healthy reader never loses, and a stalled one holds nobody up.

use rejoin_core::Config;

use crate::script::check_live;

#[test]
fn a_sender_waits_for_a_reader_that_trails_by_half() {
    let config = Config { stream_events_max: 4, window: 1, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
        > backend progress t
          hold 0
        > backend progress t
          hold 0
        > taken 1 through 1
          to 1: replay 2/0 progress t
        > taken 1 through 2
          to 1: replay 3/0 progress t
          release 0
        ",
    );
}

#[test]
fn bytes_count_like_events() {
    let config = Config { stream_bytes_max: 912, window: 1, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > backend notification (36 bytes)
          to 1: 1 notification (36 bytes)
        > backend notification (36 bytes)
          hold standalone
        > taken 1 through 1
          to 1: replay 2 notification (36 bytes)
          release standalone
        ",
    );
}

#[test]
fn a_stalled_reader_holds_nobody_up_until_it_takes_again() {
    let config = Config { stream_events_max: 2, window: 1, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > backend notification
          to 1: 1 notification
          hold standalone
        > +249ms tick
        > +1ms tick
          release standalone
        > backend notification
        > backend notification
        > taken 1 through 1
          to 1: replay 2 notification
        > backend notification
          hold standalone
        ",
    );
}

#[test]
fn eviction_passes_a_stalled_reader_and_it_is_told() {
    let config = Config { stream_events_max: 1, window: 1, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > backend notification
          to 1: 1 notification
          hold standalone
        > +250ms tick
          release standalone
        > backend notification
        > backend notification
        > backend notification
        > taken 1 through 1
          to 1: gap 2..=3
          to 1: replay 4 notification
        ",
    );
}

#[test]
fn a_sender_does_not_wait_for_who_is_gone_or_for_what_is_over() {
    let config = Config { stream_events_max: 2, ..Config::default() };
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
          end 2: Complete
          release 0
        > post 3 request 8 token t
          to backend: request 8 token t
        > backend progress t
          to 3: 1/1 progress t
          hold 1
        > post cancelled 8
          to backend: cancelled 8
          end 3: Cancelled
          release 1
        ",
    );
}
