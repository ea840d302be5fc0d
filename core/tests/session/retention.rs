//! Retained streams and tombstones.

use std::time::Duration;

use rejoin_core::Config;

use crate::script::{check_live, check_pending};

#[test]
fn resume_after_retention_gets_a_failure() {
    check_pending(
        1,
        Config::default(),
        "
        > backend progress t
          to 1: 1/0 progress t
        > closed 1 through 1
        > backend response 7
        > +60s tick
        > get 2 after 1/0
          to 2: 2/0 failure 7 Expired
          close 2: Complete
        > get 3 after 2/0
          cut 2: Replaced
          close 3: Complete
        > get 4 after 0/0
          cut 3: Replaced
          to 4: 1/0 gap 1..=1
          to 4: 2/0 failure 7 Expired
          close 4: Complete
        > get 5 after 3/0
          rejected: client: unknown event id: the last event of stream 0 has index 2
        ",
    );
}

#[test]
fn tombstone_has_a_failure_for_each_request_of_a_batch() {
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
          close 2: Complete
        > get 3 after 0/0
          cut 2: Replaced
          to 3: 1/0 failure 3 Expired
          to 3: 2/0 failure 1 Expired
          close 3: Complete
        ",
    );
}

#[test]
fn tombstone_expires_after_tombstone_timeout() {
    let config = config! { idle_timeout: None };
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
          close 2: Complete
        > closed 2
        > +10min get 3 after 1/0
          rejected: client: stream 0 has expired
        ",
    );
}

#[test]
fn oldest_retained_stream_over_the_limit_is_evicted() {
    let config = config! {
        retained_unacknowledged_max: 1,
        retained_acknowledged_max: 1,
        tombstones_max: 1,
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
          close 1: Complete
        > closed 1 through 1
        > backend response 2
          to 2: 1/1 response 2
          close 2: Complete
        > closed 2 through 1
        > get 4 after 0/0
          to 4: 1/0 failure 1 Expired
          close 4: Complete
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
          close 6: Complete
        ",
    );
}

#[test]
fn zero_retention_leaves_only_a_tombstone() {
    let config = config! { retention: Some(Duration::ZERO) };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > backend response 7
          to 1: 1/0 response 7
          close 1: Complete
        > get 2 after 0/0
          cut 1: Replaced
          to 2: 1/0 failure 7 Expired
          close 2: Complete
        ",
    );
}

#[test]
fn without_tombstones_a_late_resume_is_rejected_as_expired() {
    let config = config! { retention: Some(Duration::ZERO), tombstones_max: 0 };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > backend response 7
          to 1: 1/0 response 7
          close 1: Complete
        > get 2 after 0/0
          rejected: client: stream 0 has expired
        > post 3 request 8
          to backend: request 8
        > post cancelled 8
          to backend: cancelled 8
          close 3: Cancelled
        > get 4 after 0/1
          rejected: client: stream 1 has expired
        ",
    );
}

#[test]
fn retention_of_none_never_expires() {
    let config = config! { retention: None, idle_timeout: None };
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
          close 2: Complete
        ",
    );
}

#[test]
fn complete_stream_stays_while_its_reader_catches_up() {
    let config = config! { window_events_max: 1, stall_disconnect_timeout: None };
    check_pending(
        1,
        config,
        "
        > backend progress t
          to 1: 1/0 progress t
        > backend response 7
        > +10min tick
        > ack 1 through 1
          to 1: 2/0 response 7
          close 1: Complete
        ",
    );
}

#[test]
fn acknowledged_then_oldest_streams_are_evicted_first() {
    let config = config! { session_bytes_max: 900 };
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
          close 2: Complete
        > closed 2 through 1
        > closed 3
        > backend response 3 (136 bytes)
        > get 4 after 0/0
          to 4: 1/0 response 1 (136 bytes)
          close 4: Complete
        > get 5 after 0/1
          to 5: 1/1 failure 2 Expired
          close 5: Complete
        > backend notification (136 bytes)
          report ResponseEvicted { stream: Request(2), id: 3 }
        > get 6 after 0/0
          cut 4: Replaced
          to 6: 1/0 response 1 (136 bytes)
          close 6: Complete
        ",
    );
}

#[test]
fn batch_counts_against_retention_limits_per_request() {
    let config = config! { retained_unacknowledged_max: 2, tombstones_max: 2 };
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
          close 3: Complete
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
          close 5: Complete
        ",
    );
}

#[test]
fn acknowledged_events_are_evicted_before_unacknowledged_ones() {
    let config = config! { session_bytes_max: 1_000, window_events_max: 2 };
    check_live(
        "2025-06-18",
        config,
        "
        > backend notification
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t (200 bytes)
          to 1: 1/0 progress t (200 bytes)
        > ack 1 through 1
        > backend progress t (200 bytes)
          to 1: 2/0 progress t (200 bytes)
        > ack 1 through 2
        > backend progress t (200 bytes)
          to 1: 3/0 progress t (200 bytes)
        > get 2
          to 2: 1 notification
        ",
    );
}

#[test]
fn resume_from_a_tombstone_replaces_the_draining_connection() {
    let config = config! { retention: Some(Duration::ZERO) };
    check_live(
        "2025-11-25",
        config,
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > backend response 7
          to 1: 1/0 response 7
          close 1: Complete
        > get 2 after 0/0
          cut 1: Replaced
          to 2: 1/0 failure 7 Expired
          close 2: Complete
        > ack 1 through 1
        > get 3 after 0/0
          cut 2: Replaced
          to 3: 1/0 failure 7 Expired
          close 3: Complete
        ",
    );
}
