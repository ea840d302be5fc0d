//! What is left of a stream that is over.

use std::time::Duration;

use rejoin_core::Config;

use crate::script::check_live;

#[test]
fn after_its_retention_a_stream_has_a_failure_for_who_still_waits() {
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
        > +60s tick
        > get 2 after 1/0
          to 2: 2/0 failure 7 Expired
          end 2: Complete
        > get 3 after 2/0
          end 2: Replaced
          end 3: Complete
        > get 4 after 0/0
          end 3: Replaced
          to 4: gap 1..=1
          to 4: 2/0 failure 7 Expired
          end 4: Complete
        > get 5 after 3/0
          rejected: client: the last event of stream 0 has index 2
        ",
    );
}

#[test]
fn a_tombstone_answers_each_request_of_a_batch_that_waits() {
    check_live(
        "2025-03-26",
        Config::default(),
        "
        > post 1 batch [request 1, request 2, request 3]
          to backend: request 1
          to backend: request 2
          to backend: request 3
        > closed 1
        > backend response 3
        > backend response 1
        > post cancelled 2
          to backend: cancelled 2
        > +60s get 2 after 1/0
          to 2: 2/0 failure 1 Expired
          end 2: Complete
        > get 3 after 0/0
          end 2: Replaced
          to 3: 1/0 failure 3 Expired
          to 3: 2/0 failure 1 Expired
          end 3: Complete
        ",
    );
}

#[test]
fn a_tombstone_goes_in_the_end() {
    let config = Config { idle_timeout: None, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > closed 1
        > backend response 7
        > +60s tick
        > +599s get 2 after 1/0
          end 2: Complete
        > closed 2
        > +10min get 3 after 1/0
          rejected: client: stream 0 has expired
        ",
    );
}

#[test]
fn of_too_many_retained_streams_the_oldest_is_buried() {
    let config = Config {
        retained_unacknowledged_max: 1,
        retained_acknowledged_max: 1,
        tombstones_max: 1,
        ..Config::default()
    };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 1
          to backend: request 1
        > post 2 request 2
          to backend: request 2
        > post 3 request 3
          to backend: request 3
        > backend response 1
          to 1: 1/0 response 1
          end 1: Complete
        > closed 1 through 1
        > backend response 2
          to 2: 1/1 response 2
          end 2: Complete
        > closed 2 through 1
        > get 4 after 0/0
          to 4: 1/0 failure 1 Expired
          end 4: Complete
        > closed 3
        > backend response 3
        > post 5 request 4
          to backend: request 4
        > closed 5
        > backend response 4
        > get 6 after 0/0
          rejected: client: stream 0 has expired
        > get 6 after 0/2
          to 6: 1/2 failure 3 Expired
          end 6: Complete
        ",
    );
}

#[test]
fn with_no_retention_only_a_tombstone_is_left() {
    let config = Config { retention: Some(Duration::ZERO), ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > backend response 7
          to 1: 1/0 response 7
          end 1: Complete
        > get 2 after 0/0
          end 1: Replaced
          to 2: 1/0 failure 7 Expired
          end 2: Complete
        ",
    );
}

#[test]
fn with_no_tombstones_a_late_client_is_told_that_it_is_late() {
    let config = Config { retention: Some(Duration::ZERO), tombstones_max: 0, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > backend response 7
          to 1: 1/0 response 7
          end 1: Complete
        > get 2 after 0/0
          rejected: client: stream 0 has expired
        > post 3 request 8
          to backend: request 8
        > post cancelled 8
          to backend: cancelled 8
          end 3: Cancelled
        > get 4 after 0/1
          rejected: client: stream 1 has expired
        ",
    );
}

#[test]
fn without_a_deadline_a_stream_is_retained_as_long_as_there_is_room() {
    let config = Config { retention: None, idle_timeout: None, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > closed 1
        > backend response 7
        > +600min get 2 after 0/0
          to 2: 1/0 response 7
          end 2: Complete
        ",
    );
}

#[test]
fn a_reader_that_catches_up_keeps_its_complete_stream() {
    let config =
        Config { window_events_max: 1, stall_disconnect_timeout: None, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
        > backend response 7
        > +10min tick
        > taken 1 through 1
          to 1: 2/0 response 7
          end 1: Complete
        ",
    );
}

#[test]
fn the_session_lets_go_of_what_was_taken_first_and_then_of_the_oldest() {
    let config = Config { session_bytes_max: 900, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 1
          to backend: request 1
        > post 2 request 2
          to backend: request 2
        > post 3 request 3
          to backend: request 3
        > closed 1
        > backend response 1 (136 bytes)
        > backend response 2 (136 bytes)
          to 2: 1/1 response 2 (136 bytes)
          end 2: Complete
        > closed 2 through 1
        > closed 3
        > backend response 3 (136 bytes)
        > get 4 after 0/0
          to 4: 1/0 response 1 (136 bytes)
          end 4: Complete
        > get 5 after 0/1
          to 5: 1/1 failure 2 Expired
          end 5: Complete
        > backend notification (136 bytes)
          report ResponseEvicted { stream: Request(0), id: 1 }
        > get 6 after 0/0
          end 4: Replaced
          to 6: 1/0 failure 1 Evicted
          end 6: Complete
        ",
    );
}

#[test]
fn a_batch_counts_for_each_of_its_requests() {
    let config = Config { retained_unacknowledged_max: 2, tombstones_max: 2, ..Config::default() };
    check_live(
        "2025-03-26",
        config,
        "
        > post 1 request 1
          to backend: request 1
        > closed 1
        > backend response 1
        > post 2 batch [request 2, request 3]
          to backend: request 2
          to backend: request 3
        > closed 2
        > backend response 2
        > backend response 3
        > get 3 after 0/0
          to 3: 1/0 failure 1 Expired
          end 3: Complete
        > post 4 batch [request 4, request 5]
          to backend: request 4
          to backend: request 5
        > closed 4
        > backend response 4
        > backend response 5
        > get 5 after 0/0
          rejected: client: stream 0 has expired
        > get 5 after 0/1
          to 5: 1/1 failure 2 Expired
          to 5: 2/1 failure 3 Expired
          end 5: Complete
        ",
    );
}

#[test]
fn the_session_lets_go_of_what_was_taken_before_what_was_not() {
    let config = Config { session_bytes_max: 1_000, window_events_max: 2, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > backend notification
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t (200 bytes)
          to 1: 1/0 progress t (200 bytes)
        > taken 1 through 1
        > backend progress t (200 bytes)
          to 1: 2/0 progress t (200 bytes)
        > taken 1 through 2
        > backend progress t (200 bytes)
          to 1: 3/0 progress t (200 bytes)
        > get 2
          to 2: replay 1 notification
        ",
    );
}

#[test]
fn a_connection_that_drains_from_a_buried_stream_is_replaced_by_a_resume() {
    let config = Config { retention: Some(Duration::ZERO), ..Config::default() };
    check_live(
        "2025-11-25",
        config,
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > backend response 7
          to 1: 1/0 response 7
          end 1: Complete
        > get 2 after 0/0
          end 1: Replaced
          to 2: 1/0 failure 7 Expired
          end 2: Complete
        > taken 1 through 1
        > get 3 after 0/0
          end 2: Replaced
          to 3: 1/0 failure 7 Expired
          end 3: Complete
        ",
    );
}
