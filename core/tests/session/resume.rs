//! Resumes of request streams: replays, gaps and replaced connections.

use rejoin_core::Config;

use crate::script::{check_live, check_pending};

#[test]
fn resume_replays_the_events_after_the_id() {
    check_pending(
        1,
        Config::default(),
        "
        > backend progress t
          to 1: 1/0 progress t
        > backend progress t
          to 1: 2/0 progress t
        > closed 1 through 1
        > backend progress t
        > get 2 after 1/0
          to 2: 2/0 progress t
          to 2: 3/0 progress t
        > backend response 7
          to 2: 4/0 response 7
          close 2: Complete
        ",
    );
}

#[test]
fn response_is_kept_for_a_disconnected_client() {
    check_pending(
        1,
        Config::default(),
        "
        > backend progress t
          to 1: 1/0 progress t
        > closed 1 through 1
        > backend response 7
        > get 2 after 1/0
          to 2: 2/0 response 7
          close 2: Complete
        > closed 2 through 2
        > get 3 after 1/0
          to 3: 2/0 response 7
          close 3: Complete
        > get 4 after 2/0
          cut 3: Replaced
          close 4: Complete
        ",
    );
}

#[test]
fn resume_replaces_the_old_connection() {
    check_pending(
        1,
        Config::default(),
        "
        > backend progress t
          to 1: 1/0 progress t
        > get 2 after 0/0
          cut 1: Replaced
          to 2: 1/0 progress t
        > closed 1 through 1
        > backend response 7
          to 2: 2/0 response 7
          close 2: Complete
        ",
    );
}

#[test]
fn invalid_event_id_has_no_effect() {
    check_pending(
        1,
        Config::default(),
        "
        > backend progress t
          to 1: 1/0 progress t
        > get 2 after 2/0
          rejected: client: unknown event id: the last event of stream 0 has index 1
        > get 2 after 0/1
          rejected: client: this session has no stream 1
        > get 2 after 1
          rejected: client: unknown event id: the last event of stream standalone has index 0
        > backend response 7
          to 1: 2/0 response 7
          close 1: Complete
        ",
    );
}

#[test]
fn gap_comes_before_the_next_event() {
    let config = config! { stream_events_max: 2 };
    check_pending(
        1,
        config,
        "
        > backend progress t
          to 1: 1/0 progress t
        > closed 1 through 1
        > backend progress t
        > backend progress t
        > backend progress t
        > backend response 7
        > get 2 after 1/0
          to 2: 3/0 gap 2..=3
          to 2: 4/0 progress t
          to 2: 5/0 response 7
          close 2: Complete
        ",
    );
}

#[test]
fn gaps_are_sent_around_a_failure() {
    let config = config! { stream_events_max: 1 };
    check_live(
        "2025-03-26",
        config,
        "
        > post 1 batch [request 7 token t, request 8]
          to backend: request 7 token t
          to backend: request 8
        > closed 1
        > backend progress t
        > backend response 7
        > backend log related 8
          report ResponseEvicted { stream: Request(0), id: 7 }
        > backend response 8
        > get 2 after 0/0
          to 2: 1/0 gap 1..=1
          to 2: 2/0 failure 7 Evicted
          to 2: 3/0 gap 3..=3
          to 2: 4/0 response 8
          close 2: Complete
        ",
    );
}

#[test]
fn gap_takes_a_place_in_the_window_and_is_acknowledged() {
    let config = config! { window_events_max: 1, stream_events_max: 1 };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > closed 1
        > backend progress t
        > backend progress t
        > get 2 after 0/0
          to 2: 1/0 gap 1..=1
        > closed 2 through 1
        > get 3 after 1/0
          to 3: 2/0 progress t
        ",
    );
}

#[test]
fn gap_is_sent_even_without_a_next_event() {
    let config = config! { stream_events_max: 0 };
    check_pending(
        1,
        config,
        "
        > closed 1
        > backend progress t
        > get 2 after 0/0
          to 2: 1/0 gap 1..=1
        > backend progress t
          to 2: 2/0 progress t
        ",
    );
}

#[test]
fn single_event_larger_than_its_log_is_kept() {
    let config = config! { stream_bytes_max: 400, window_events_max: 1 };
    check_pending(
        1,
        config,
        "
        > backend progress t
          to 1: 1/0 progress t
        > backend response 7 (9999 bytes)
        > ack 1 through 1
          to 1: 2/0 response 7 (9999 bytes)
          close 1: Complete
        > closed 1
        > get 2 after 1/0
          to 2: 2/0 response 7 (9999 bytes)
          close 2: Complete
        ",
    );
}

#[test]
fn event_larger_than_its_log_is_evicted_by_the_next_one() {
    let config = config! { stream_bytes_max: 400 };
    check_live(
        "2025-06-18",
        config,
        "
        > backend notification (9999 bytes)
        > backend notification (8888 bytes)
        > get 1 after 0
          to 1: 1 gap 1..=1
          to 1: 2 notification (8888 bytes)
        ",
    );
}

#[test]
fn largest_message_is_kept_with_the_next_event() {
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
          close 2: Complete
        ",
    );
}

#[test]
fn event_larger_than_session_bytes_max_is_kept_alone() {
    let config = config! { session_bytes_max: 400 };
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
          close 2: Complete
        > get 3 after 0
          to 3: 1 gap 1..=1
        > closed 2
        > backend notification
          report ResponseEvicted { stream: Request(0), id: 7 }
          to 3: 2 notification
        ",
    );
}

#[test]
fn response_is_kept_alone_if_session_bytes_max_is_zero() {
    let config = config! { session_bytes_max: 0 };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > closed 1
        > backend response 7
        > get 2 after 0/0
          to 2: 1/0 response 7
          close 2: Complete
        > closed 2 through 1
        > post 3 request 8
          to backend: request 8
        > backend response 8
          to 3: 1/1 response 8
          close 3: Complete
        ",
    );
}

#[test]
fn slow_reader_catches_up_by_replay() {
    let config = config! { window_events_max: 2 };
    check_pending(
        1,
        config,
        "
        > backend progress t
          to 1: 1/0 progress t
        > backend progress t
          to 1: 2/0 progress t
        > backend progress t
        > backend progress t
        > backend response 7
        > ack 1 through 1
          to 1: 3/0 progress t
        > ack 1 through 3
          to 1: 4/0 progress t
          to 1: 5/0 response 7
          close 1: Complete
        ",
    );
}

#[test]
fn priming_event_counts_against_the_window() {
    let config = config! { window_events_max: 1 };
    check_live(
        "2025-11-25",
        config,
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > backend response 7
        > ack 1 through 0
          to 1: 1/0 response 7
          close 1: Complete
        ",
    );
}

#[test]
fn unacknowledged_events_of_a_detached_reader_stay_until_the_next_event() {
    let config = config! { stream_events_max: 2, window_events_max: 1 };
    check_pending(
        1,
        config,
        "
        > backend progress t
          to 1: 1/0 progress t
        > backend progress t
        > backend progress t
        > backend progress t
        > closed 1
        > get 2 after 0/0
          to 2: 1/0 progress t
        > +10s tick
        > ack 2 through 1
          to 2: 2/0 progress t
        > closed 2
        > backend progress t
        > get 3 after 1/0
          to 3: 3/0 gap 2..=3
        > ack 3 through 3
          to 3: 4/0 progress t
        ",
    );
}
