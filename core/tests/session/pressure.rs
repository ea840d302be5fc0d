//! Pressure: a healthy reader never loses, and a stalled one holds nobody up.

use std::time::Duration;

use rejoin_core::Config;

use crate::script::check_live;

#[test]
fn a_sender_waits_for_a_reader_that_trails_by_half() {
    let config = Config {
        stream_events_max: 4,
        session_bytes_max: 768,
        window_events_max: 1,
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
    let config = Config {
        stream_bytes_max: 912,
        session_bytes_max: 912,
        window_events_max: 1,
        ..Config::default()
    };
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
    let config = Config {
        stream_events_max: 1,
        session_bytes_max: 1_920,
        window_events_max: 1,
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
    let config = Config {
        stream_events_max: 2,
        session_bytes_max: 384,
        window_events_max: 1,
        ..Config::default()
    };
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
    let config = Config { stream_events_max: 1, window_events_max: 1, ..Config::default() };
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
        window_events_max: 1,
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
    let config = Config { session_bytes_max: 576, window_events_max: 1, ..Config::default() };
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
          hold 1
        > +10s taken 1 through 1
          release 1
        > backend progress t
          to 1: 2/0 progress t
        > backend progress t
        > backend progress t
          hold 0
        > taken 1 through 2
          to 1: replay 3/0 progress t
          release 0
        > taken 2 through 1
          to 2: gap 2..=2
        ",
    );
}

#[test]
fn senders_wait_while_readers_trail_little_each_and_much_together() {
    let config = Config {
        stream_bytes_max: 4_000,
        session_bytes_max: 4_000,
        window_events_max: 1,
        ..Config::default()
    };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > post 2 request 8 token u
          to backend: request 8 token u
        > post 3 request 9 token v
          to backend: request 9 token v
        > backend progress t (308 bytes)
          to 1: 1/0 progress t (308 bytes)
        > backend progress t (308 bytes)
        > backend progress u (308 bytes)
          to 2: 1/1 progress u (308 bytes)
        > backend progress u (308 bytes)
        > backend progress v (308 bytes)
          to 3: 1/2 progress v (308 bytes)
        > backend progress v (308 bytes)
          hold 2
        > backend progress t (308 bytes)
          hold 0
        > backend progress u (308 bytes)
          hold 1
        > taken 1 through 1
          to 1: replay 2/0 progress t (308 bytes)
        > taken 2 through 1
          to 2: replay 2/1 progress u (308 bytes)
        > taken 3 through 1
          to 3: replay 2/2 progress v (308 bytes)
          release 0
          release 1
          release 2
        > backend progress v (308 bytes)
          hold 2
        > backend progress t (308 bytes)
          hold 0
        > taken 1 through 2
          to 1: replay 3/0 progress t (308 bytes)
        > taken 1 through 3
          to 1: replay 4/0 progress t (308 bytes)
          release 0
          release 2
        > taken 2 through 2
          to 2: replay 3/1 progress u (308 bytes)
        > taken 3 through 2
          to 3: replay 3/2 progress v (308 bytes)
        ",
    );
}

#[test]
fn senders_do_not_wait_for_what_nobody_reads() {
    let config = Config { session_bytes_max: 960, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > backend notification
        > backend notification
        > backend notification
        > get 1
          to 1: replay 1 notification
          to 1: replay 2 notification
          to 1: replay 3 notification
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
          to 3: gap 1..=1
          to 3: replay 2 notification
          to 3: replay 3 notification
        > backend progress t
          to 2: 4/0 progress t
          hold 0
        ",
    );
}

#[test]
fn what_was_taken_leaves_room_for_what_was_not() {
    let config = Config { session_bytes_max: 768, window_events_max: 1, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
        > taken 1 through 1
        > backend progress t
          to 1: 2/0 progress t
        > taken 1 through 2
        > backend progress t
          to 1: 3/0 progress t
        > taken 1 through 3
        > backend progress t
          to 1: 4/0 progress t
        > closed 1 through 4
        > get 2 after 0/0
          to 2: gap 1..=1
          to 2: replay 2/0 progress t
        ",
    );
}

#[test]
fn what_a_client_takes_once_more_is_as_if_it_was_not_taken() {
    let config = Config { session_bytes_max: 1_536, window_events_max: 1, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
        > taken 1 through 1
        > backend progress t
          to 1: 2/0 progress t
        > taken 1 through 2
        > backend progress t (576 bytes)
          to 1: 3/0 progress t (576 bytes)
        > closed 1 through 3
        > get 2 after 0/0
          to 2: replay 1/0 progress t
        > backend progress t (192 bytes)
          hold 0
        > taken 2 through 1
          to 2: replay 2/0 progress t
        > taken 2 through 2
          to 2: replay 3/0 progress t (576 bytes)
        ",
    );
}

#[test]
fn beside_a_reader_that_has_stopped_one_that_reads_misses_nothing() {
    let config = Config {
        session_bytes_max: 1_920,
        hold_timeout: Some(Duration::from_secs(1)),
        window_events_max: 1,
        ..Config::default()
    };
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
        > backend progress t
        > backend progress u
          to 2: 1/1 progress u
        > backend progress u
        > +900ms taken 1 through 1
          to 1: replay 2/0 progress t
        > backend progress t
        > +100ms backend progress u
        > backend progress u
        > backend progress u
        > backend progress u
        > backend progress u
        > backend progress u
        > backend progress u
        > backend progress u
        > taken 1 through 2
          to 1: replay 3/0 progress t
        > taken 1 through 3
        > taken 2 through 1
          to 2: gap 2..=2
          to 2: replay 3/1 progress u
        ",
    );
}

#[test]
fn a_client_that_comes_back_and_reads_nothing_holds_nobody_up_for_longer() {
    let config = Config {
        stream_events_max: 2,
        session_bytes_max: 384,
        window_events_max: 1,
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
        > +6s get 2 after 0/0
          end 1: Replaced
          to 2: replay 1/0 progress t
        > +3999ms tick
        > +1ms tick
          release 0
        > +1s get 3 after 0/0
          end 2: Replaced
          to 3: replay 1/0 progress t
        > backend progress t
        > taken 3 through 1
          to 3: replay 2/0 progress t
        > backend progress t
          hold 0
        ",
    );
}

#[test]
fn the_time_without_a_connection_does_not_count_as_silence() {
    let config = Config {
        stream_events_max: 1,
        session_bytes_max: 768,
        hold_timeout: Some(Duration::from_secs(1)),
        window_events_max: 1,
        ..Config::default()
    };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > post 2 request 8
          to backend: request 8
        > backend progress t
          to 1: 1/0 progress t
        > backend progress t
          hold 0
        > +900ms closed 1
          release 0
        > +5s get 3 after 0/0
          to 3: replay 1/0 progress t
        > backend progress t
          hold 0
        > +99ms tick
        > +1ms tick
          release 0
        > backend progress t
        > taken 3 through 1
          to 3: replay 2/0 progress t
        > backend progress t
          hold 0
        ",
    );
}

#[test]
fn a_sender_does_not_wait_for_a_reader_that_is_cut_in_the_same_call() {
    let config = Config { session_bytes_max: 768, window_bytes_max: 192, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > backend notification
          to 1: 1 notification
        > backend notification
        > +1500ms post 2 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 2: 1/0 progress t
          end 1: Stalled
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
