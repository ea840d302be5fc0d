//! Resuming: coming back to a request stream after an event id.

use rejoin_core::Config;

use crate::script::check_live;

#[test]
fn a_client_that_comes_back_gets_what_came_after_its_id() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
        > backend progress t
          to 1: 2/0 progress t
        > closed 1 through 1
        > backend progress t
        > get 2 after 1/0
          to 2: replay 2/0 progress t
          to 2: replay 3/0 progress t
        > backend response 7
          to 2: 4/0 response 7
          end 2: Complete
        ",
    );
}

#[test]
fn the_response_is_kept_for_a_client_that_is_away() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
        > closed 1 through 1
        > backend response 7
        > get 2 after 1/0
          to 2: 2/0 response 7
          end 2: Complete
        > closed 2 through 2
        > get 3 after 1/0
          to 3: 2/0 response 7
          end 3: Complete
        > get 4 after 2/0
          end 3: Replaced
          end 4: Complete
        ",
    );
}

#[test]
fn a_resume_proves_the_old_connection_lost() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
        > get 2 after 0/0
          end 1: Replaced
          to 2: replay 1/0 progress t
        > closed 1 through 1
        > backend response 7
          to 2: 2/0 response 7
          end 2: Complete
        ",
    );
}

#[test]
fn an_invalid_id_touches_nothing() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
        > get 2 after 2/0
          rejected: client: the last event of stream 0 has index 1
        > get 2 after 0/1
          rejected: client: this session has no stream 1
        > get 2 after 1
          rejected: client: the last event of stream standalone has index 0
        > backend response 7
          to 1: 2/0 response 7
          end 1: Complete
        ",
    );
}

#[test]
fn a_gap_is_told_before_what_comes_after_it() {
    let config = Config { stream_events_max: 2, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
        > closed 1 through 1
        > backend progress t
        > backend progress t
        > backend progress t
        > backend response 7
        > get 2 after 1/0
          to 2: gap 2..=3
          to 2: 4/0 progress t
          to 2: 5/0 response 7
          end 2: Complete
        ",
    );
}

#[test]
fn a_gap_is_told_even_if_nothing_comes_after_it() {
    let config = Config { stream_events_max: 0, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > closed 1
        > backend progress t
        > get 2 after 0/0
          to 2: gap 1..=1
        > backend progress t
          to 2: 2/0 progress t
        ",
    );
}

#[test]
fn a_single_event_that_is_larger_than_its_log_waits_for_its_reader() {
    let config = Config { stream_bytes_max: 400, window_events_max: 1, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
        > backend response 7 (9999 bytes)
        > taken 1 through 1
          to 1: 2/0 response 7 (9999 bytes)
          end 1: Complete
        > closed 1
        > get 2 after 1/0
          to 2: 2/0 response 7 (9999 bytes)
          end 2: Complete
        ",
    );
}

#[test]
fn what_comes_after_an_event_that_is_larger_than_its_log_takes_its_place() {
    let config = Config { stream_bytes_max: 400, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > backend notification (9999 bytes)
        > backend notification (8888 bytes)
        > get 1 after 0
          to 1: gap 1..=1
          to 1: replay 2 notification (8888 bytes)
        ",
    );
}

#[test]
fn the_largest_message_is_kept_and_what_comes_after_it() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7
          to backend: request 7
        > closed 1
        > backend response 7 (16777216 bytes)
        > backend notification (1048576 bytes)
        > get 2 after 0/0
          to 2: 1/0 response 7 (16777216 bytes)
          end 2: Complete
        ",
    );
}

#[test]
fn an_event_that_is_larger_than_all_that_is_kept_is_kept_alone() {
    let config = Config { session_bytes_max: 400, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > closed 1
        > backend notification
        > backend response 7 (209 bytes)
        > get 2 after 0/0
          to 2: 1/0 response 7 (209 bytes)
          end 2: Complete
        > get 3 after 0
          to 3: gap 1..=1
        > backend notification
          to 3: 2 notification
          report ResponseEvicted { stream: Request(0), id: 7 }
        ",
    );
}

#[test]
fn a_response_that_must_not_be_kept_is_replaced_by_a_failure() {
    let config = Config { session_bytes_max: 0, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > closed 1
        > backend response 7
          report ResponseEvicted { stream: Request(0), id: 7 }
        > get 2 after 0/0
          to 2: 1/0 failure 7 Evicted
          end 2: Complete
        > post 3 request 8
          to backend: request 8
        > backend response 8
          to 3: 1/1 response 8
          report ResponseEvicted { stream: Request(1), id: 8 }
          end 3: Complete
        ",
    );
}

#[test]
fn a_slow_reader_catches_up_by_the_same_replay() {
    let config = Config { window_events_max: 2, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
        > backend progress t
          to 1: 2/0 progress t
        > backend progress t
        > backend progress t
        > backend response 7
        > taken 1 through 1
          to 1: replay 3/0 progress t
        > taken 1 through 3
          to 1: 4/0 progress t
          to 1: 5/0 response 7
          end 1: Complete
        ",
    );
}

#[test]
fn a_priming_event_takes_a_place_in_the_window() {
    let config = Config { window_events_max: 1, ..Config::default() };
    check_live(
        "2025-11-25",
        config,
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > backend response 7
        > taken 1 through 0
          to 1: 1/0 response 7
          end 1: Complete
        ",
    );
}

#[test]
fn what_a_slow_reader_leaves_behind_stays_until_the_next_event() {
    let config = Config { stream_events_max: 2, window_events_max: 1, ..Config::default() };
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
        > closed 1
        > get 2 after 0/0
          to 2: replay 1/0 progress t
        > +10s tick
        > taken 2 through 1
          to 2: replay 2/0 progress t
        > closed 2
        > backend progress t
        > get 3 after 1/0
          to 3: gap 2..=3
          to 3: replay 4/0 progress t
        ",
    );
}
