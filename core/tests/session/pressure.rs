//! Pressure: a healthy reader never loses, and a stalled one holds nobody up.

use std::time::Duration;

use rejoin_core::Config;

use crate::script::check_live;

#[test]
fn a_sender_waits_for_a_reader_that_trails_by_half() {
    let config =
        Config { stream_events_max: 4, session_bytes_max: 768, window: 1, ..Config::default() };
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
    let config =
        Config { stream_bytes_max: 912, session_bytes_max: 912, window: 1, ..Config::default() };
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
fn a_reader_that_trails_may_use_what_the_session_may_keep() {
    let config =
        Config { stream_events_max: 1, session_bytes_max: 1_920, window: 1, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
        > backend progress t
        > backend progress t
        > backend progress t
        > backend progress t
          hold 0
        > taken 1 through 1
          to 1: replay 2/0 progress t
          release 0
        > taken 1 through 2
          to 1: replay 3/0 progress t
        > taken 1 through 3
          to 1: replay 4/0 progress t
        > taken 1 through 4
          to 1: replay 5/0 progress t
        > taken 1 through 5
        > closed 1
        > get 2 after 1/0
          to 2: gap 2..=4
          to 2: replay 5/0 progress t
        ",
    );
}

#[test]
fn a_stalled_reader_holds_nobody_up_until_it_takes_again() {
    let config =
        Config { stream_events_max: 2, session_bytes_max: 384, window: 1, ..Config::default() };
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
        > backend notification
        > +10s tick
        > backend notification
        > backend notification
        > taken 1 through 1
          to 1: gap 2..=3
          to 1: replay 4 notification
        ",
    );
}

#[test]
fn others_wait_behind_a_silent_reader_for_no_longer_than_they_may() {
    let config = Config {
        stream_events_max: 1,
        session_bytes_max: 384,
        hold_timeout: Some(Duration::from_secs(1)),
        window: 1,
        ..Config::default()
    };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
          hold 0
        > +5s post 2 request 8
          to backend: request 8
          release 0
        > backend progress t
        > taken 1 through 1
          to 1: replay 2/0 progress t
        > backend progress t
          hold 0
        > +999ms tick
        > +1ms tick
          release 0
        ",
    );
}

#[test]
fn who_is_silent_loses_before_who_reads() {
    let config = Config { session_bytes_max: 576, window: 1, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > post 2 request 8 token u
          to backend: request 8 token u
        > backend progress t
          to 1: 1/0 progress t
        > backend progress u
          to 2: 1/1 progress u
        > backend progress u
        > +10s taken 1 through 1
        > backend progress t
          to 1: 2/0 progress t
        > backend progress t
        > backend progress t
        > taken 1 through 2
          to 1: replay 3/0 progress t
        > taken 2 through 1
          to 2: gap 2..=2
        ",
    );
}

#[test]
fn a_sender_does_not_wait_for_who_is_gone_or_for_what_is_over() {
    let config = Config { stream_events_max: 2, session_bytes_max: 384, ..Config::default() };
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
