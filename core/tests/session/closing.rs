//! Closing of sessions: reasons, and last actions.

use rejoin_core::Config;

use crate::script::{Run, check_live};

const BUSY: &str = "
    > get 1
    > get 2
    > post 3 request 7
      to backend: request 7
    > post 4 json request 8
      to backend: request 8
    > post 5 request 9
      to backend: request 9
    > closed 5
";

fn check_busy(script: &str) {
    check_live("2025-06-18", Config::default(), &format!("{BUSY}{script}"));
}

#[test]
fn delete_fails_pending_requests_and_closes_connections() {
    check_busy(
        "
        > delete
          to 3: 1/0 failure 7 SessionClosed
          answer 4: failure 8 SessionClosed
          close 1: SessionClosed
          close 2: SessionClosed
          close 3: SessionClosed
          close 4: SessionClosed
          session closed: Deleted; pending 7, 8, 9
        > closed 3 through 1
        > ack 4 through 1
        > tick
        > get 6
          rejected: the session was closed by its client
        > backend response 9
          rejected: the session was closed by its client
        > delete
          rejected: the session was closed by its client
        ",
    );
}

#[test]
fn closing_by_the_driver_reports_its_reason() {
    check_busy(
        "
        > shutdown
          to 3: 1/0 failure 7 SessionClosed
          answer 4: failure 8 SessionClosed
          close 1: SessionClosed
          close 2: SessionClosed
          close 3: SessionClosed
          close 4: SessionClosed
          session closed: ServerShutdown; pending 7, 8, 9
        ",
    );
}

#[test]
fn exit_of_the_backend_fails_pending_requests() {
    check_busy(
        "
        > backend gone
          to 3: 1/0 failure 7 BackendGone
          answer 4: failure 8 BackendGone
          close 1: SessionClosed
          close 2: SessionClosed
          close 3: SessionClosed
          close 4: SessionClosed
          session closed: BackendGone; pending 7, 8, 9
        ",
    );
}

#[test]
fn no_failure_is_sent_beyond_a_full_window() {
    let config = config! { window_events_max: 1 };
    check_live(
        "2025-03-26",
        config,
        "
        > post 1 batch [request 1, request 2]
          to backend: request 1
          to backend: request 2
        > post 2 request 3 token t
          to backend: request 3 token t
        > backend progress t
          to 2: 1/1 progress t
        > delete
          to 1: 1/0 failure 1 SessionClosed
          close 1: SessionClosed
          close 2: SessionClosed
          session closed: Deleted; pending 1, 2, 3
        ",
    );
}

#[test]
fn idle_session_closes_after_five_minutes() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > +299s post notification
          to backend: notification
        > +299s tick
        > +1s tick
          session closed: Idle
        ",
    );
}

#[test]
fn pending_request_or_connection_keeps_the_session_open() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7
          to backend: request 7
        > +60min closed 1
        > +9min backend response 7
        > +299s get 2
        > +60min closed 2
        > +299s tick
        > +1s get 3
          session closed: Idle
          rejected: the session was closed: it was idle for too long
        ",
    );
}

#[test]
fn backend_activity_does_not_keep_an_idle_session_open() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > +299s backend notification
        > disconnect standalone
        > +1s tick
          session closed: Idle
        ",
    );
}

#[test]
fn rejected_input_does_not_keep_an_idle_session_open() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > +299s get 1 after 7
          rejected: client: unknown event id: the last event of stream standalone has index 0
        > +1s tick
          session closed: Idle
        ",
    );
}

#[test]
fn retry_delays_the_idle_timeout_until_the_client_is_back() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > disconnect 0 retry 60min
          to 1: 1/0 priming retry 3600s
          close 1: Requested
        > closed 1 through 1
        > get 2
          to 2: 0 priming
        > disconnect standalone retry 1440min
          to 2: 1 priming retry 86400s
          close 2: Requested
        > closed 2 through 1
        > +1s get 3 after 1
        > closed 3
        > get 4 after 1/0
        > backend response 7
          to 4: 2/0 response 7
          close 4: Complete
        > closed 4 through 2
        > +299s tick
        > +1s tick
          session closed: Idle
        ",
    );
}

#[test]
fn retry_of_an_ended_stream_does_not_delay_the_idle_timeout() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > disconnect 0 retry 1440min
          to 1: 1/0 priming retry 86400s
          close 1: Requested
        > closed 1 through 1
        > post cancelled 7
          to backend: cancelled 7
        > +299s tick
        > +1s tick
          session closed: Idle
        ",
    );
}

#[test]
fn unsent_gap_counts_as_backlog() {
    let config = config! { window_events_max: 2, stream_events_max: 0 };
    let mut run = Run::live("2025-06-18", config);
    run.check(
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
        > backend progress t
          to 1: 2/0 progress t
        > backend progress t
        > +10s backend progress t
        ",
    );
    assert!(run.has_backlog(1));
    run.check(
        "
        > ack 1 through 2
          to 1: 4/0 gap 3..=4
        ",
    );
    assert!(!run.has_backlog(1));
    run.check(
        "
        > backend gone
          to 1: 5/0 failure 7 BackendGone
          close 1: SessionClosed
          session closed: BackendGone; pending 7
        ",
    );
}
