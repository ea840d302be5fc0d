//! Disconnecting, and connections that are cut because their readers stall.

use std::time::Duration;

use rejoin_core::Config;

use crate::script::check_live;

#[test]
fn disconnect_sends_a_retry_and_closes() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > backend log related 7
          to 1: 1/0 log related 7
        > disconnect 0 retry 1s
          to 1: 2/0 priming retry 1s
          close 1: Requested
        > backend response 7
        > disconnect 0 retry 1s
          rejected: driver: stream 0 is not open
        > closed 1 through 2
        > get 2 after 2/0
          to 2: 3/0 response 7
          close 2: Complete
        ",
    );
}

#[test]
fn disconnect_without_a_connection_has_no_effect() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > closed 1 through 0
        > disconnect 0 retry 1s
        > disconnect 1 retry 1s
          rejected: driver: stream 1 is not open
        ",
    );
}

#[test]
fn disconnect_is_rejected_without_an_event_id_to_resume_after() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > disconnect 0 retry 1s
          rejected: driver: the client of stream 0 has no event id to resume after
        > backend progress t
          to 1: 1/0 progress t
        > disconnect 0 retry 1s
          close 1: Requested
        ",
    );
}

/// Without `logging`, it is only a comment.
#[test]
fn disconnect_is_rejected_after_a_gap_alone() {
    check_live(
        "2025-06-18",
        config! { session_bytes_max: 500 },
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > get 2
        > backend notification (300 bytes)
          to 2: 1 notification (300 bytes)
        > backend-evicting progress t (300 bytes)
          to 1: 1/0 gap 1..=1
        > disconnect 0
          rejected: driver: the client of stream 0 has no event id to resume after
        ",
    );
}

#[test]
fn disconnect_with_a_full_window_sends_no_retry() {
    let config = config! { window_events_max: 1 };
    check_live(
        "2025-11-25",
        config,
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > disconnect 0 retry 1s
          close 1: Requested
        ",
    );
}

#[test]
fn reader_without_acknowledgements_is_cut_after_stall_disconnect_timeout() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > +5min backend progress t
          to 1: 1/0 progress t
        > +59s backend progress t
          to 1: 2/0 progress t
        > +1s tick
          cut 1: Stalled
        > backend response 7
        > get 2 after 0/0
          to 2: 1/0 progress t
          to 2: 2/0 progress t
          to 2: 3/0 response 7
          close 2: Complete
        ",
    );
}

#[test]
fn acknowledgement_restarts_stall_disconnect_timeout() {
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
        > +59s ack 1 through 1
        > +59s tick
        > +1s tick
          cut 1: Stalled
        ",
    );
}

#[test]
fn repeated_acknowledgement_counts_as_progress() {
    let config = config! {
        stall_timeout_min: Duration::from_secs(1),
        stall_timeout_max: Some(Duration::from_secs(10)),
        stall_disconnect_timeout: Some(Duration::from_secs(20)),
    };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > backend notification (9000 bytes)
          to 1: 1 notification (9000 bytes)
        > +15s ack 1 through 0
        > +15s ack 1 through 0
        > +19s tick
        > +1s tick
          cut 1: Stalled
        ",
    );
}

#[test]
fn draining_connection_is_cut_when_stalled() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7
          to backend: request 7
        > backend response 7
          to 1: 1/0 response 7
          close 1: Complete
        > +59s tick
        > +1s tick
          cut 1: Stalled
        ",
    );
}

#[test]
fn empty_draining_connection_is_cut_after_stall_disconnect_timeout() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7
          to backend: request 7
        > backend response 7
          to 1: 1/0 response 7
          close 1: Complete
        > +59s ack 1 through 1
        > get 2
        > +1s disconnect standalone
          close 2: Requested
        > +58s tick
        > +1s tick
          cut 1: Stalled
        > +1s tick
          cut 2: Stalled
        > +299s tick
        > +1s tick
          session closed: Idle
        ",
    );
}

#[test]
fn draining_connection_with_discarded_events_is_cut_after_stall_disconnect_timeout() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > get 1
        > backend notification
          to 1: 1 notification
        > disconnect standalone
          close 1: Requested
        > +5s get 2
          discard 1
          to 2: 1 notification
        > ack 2 through 1
        > +59s tick
        > +1s tick
          cut 1: Stalled
        ",
    );
}

#[test]
fn stall_disconnect_timeout_does_not_require_a_stall_timeout() {
    let config = config! {
        stall_timeout_max: None,
        stall_disconnect_timeout: Some(Duration::from_secs(1)),
    };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > backend response 7
          to 1: 1/0 response 7
          close 1: Complete
        > +1s tick
          cut 1: Stalled
        ",
    );
}

#[test]
fn inputs_for_unknown_connections_are_ignored() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > ack 9 through 9
        > closed 9 through 9
        > closed 9
        ",
    );
}
