//! Kept bytes: what is in flight and not logged counts, too.

use std::time::Duration;

use rejoin_core::Config;

use crate::script::{Run, check, check_live, check_pending};

/// Two messages of 308 bytes cost 1,000 bytes.
fn config() -> Config {
    config! { session_bytes_max: 1_000, stall_disconnect_timeout: None }
}

#[test]
fn draining_connection_of_a_removed_stream_counts() {
    let config = config! { retention: Some(Duration::ZERO), ..config() };
    check_pending(
        2,
        config,
        "
        > backend response 7 (700 bytes)
          to 1: 1/0 response 7 (700 bytes)
          close 1: Complete
        > backend response 8 (700 bytes)
          hold 1
          rejected: the session has no room for the message until its readers have caught up
        > ack 1 through 1
          release 1
        > backend response 8 (700 bytes)
          to 2: 1/1 response 8 (700 bytes)
          close 2: Complete
        ",
    );
}

#[test]
fn response_to_initialize_is_kept_until_it_is_acknowledged() {
    check(
        config(),
        "
        > post 0 initialize 0
          to backend: initialize 0
        > backend response 0 version 2025-06-18 (708 bytes)
          answer 0: response 0 version 2025-06-18 (708 bytes)
          close 0: Complete
        > backend notification
          hold standalone
          rejected: the session has no room for the message until its readers have caught up
        > ack 0 through 1
          release standalone
        > backend notification
        ",
    );
}

#[test]
fn undelivered_server_request_in_flight_counts_until_it_is_discarded() {
    let config = config! {
        stall_timeout_min: Duration::from_secs(60),
        stall_timeout_max: Some(Duration::from_secs(60)),
        ..config()
    };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > backend request q1 (700 bytes)
          to 1: 1 request q1 (700 bytes)
        > disconnect standalone
          close 1: Requested
        > +10s tick
          fail q1: Undelivered
        > backend notification (700 bytes)
          hold standalone
          rejected: the session has no room for the message until its readers have caught up
        > get 2
          discard 1
          release standalone
        ",
    );
}

#[test]
fn undelivered_server_request_that_was_not_sent_is_not_kept() {
    let config = config! { window_events_max: 1, ..config() };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > backend notification (8 bytes)
          to 1: 1 notification (8 bytes)
        > backend request q1 (308 bytes)
        > disconnect standalone
          close 1: Requested
        > +10s tick
          fail q1: Undelivered
        > backend notification (600 bytes)
        ",
    );
}

#[test]
fn closed_session_keeps_nothing() {
    let config = config! { retention: Some(Duration::ZERO), ..config() };
    let mut run = Run::live("2025-06-18", config);
    run.check(
        "
        > post 1 request 7
          to backend: request 7
        > backend response 7 (8 bytes)
          to 1: 1/0 response 7 (8 bytes)
          close 1: Complete
        > backend notification (108 bytes)
        ",
    );
    assert_eq!(run.kept_bytes(), 500);
    run.check(
        "
        > delete
          session closed: Deleted
        ",
    );
    assert_eq!(run.kept_bytes(), 0);
}
