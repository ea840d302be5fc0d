//! How sessions close, and what is the same afterwards.

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

fn check_busy(end: &str) {
    check_live("2025-06-18", Config::default(), &format!("{BUSY}{end}"));
}

#[test]
fn a_deleted_session_answers_what_waits_and_ends_what_is_open() {
    check_busy(
        "
        > delete
          to 3: 1/0 failure 7 SessionClosed
          to 4: whole failure 8 SessionClosed
          end 1: SessionClosed
          end 2: SessionClosed
          end 3: SessionClosed
          end 4: SessionClosed
          close session: Deleted
        > closed 3 through 1
        > taken 4 through 1
        > tick
        > get 6
          rejected: nobody: the session is closed: Deleted
        > backend response 9
          rejected: nobody: the session is closed: Deleted
        > delete
          rejected: nobody: the session is closed: Deleted
        ",
    );
}

#[test]
fn the_driver_closes_with_a_reason() {
    check_busy(
        "
        > close
          to 3: 1/0 failure 7 SessionClosed
          to 4: whole failure 8 SessionClosed
          end 1: SessionClosed
          end 2: SessionClosed
          end 3: SessionClosed
          end 4: SessionClosed
          close session: ServerShutdown
        ",
    );
}

#[test]
fn requests_end_with_their_backend() {
    check_busy(
        "
        > backend gone
          to 3: 1/0 failure 7 BackendGone
          to 4: whole failure 8 BackendGone
          end 1: SessionClosed
          end 2: SessionClosed
          end 3: SessionClosed
          end 4: SessionClosed
          close session: BackendGone
        ",
    );
}

#[test]
fn a_full_window_gets_no_failure() {
    let config = Config { window_events_max: 1, ..Config::default() };
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
          end 1: SessionClosed
          end 2: SessionClosed
          close session: Deleted
        ",
    );
}

#[test]
fn an_idle_session_closes_after_five_minutes() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > +299s post notification
          to backend: notification
        > +299s tick
        > +1s tick
          close session: Idle
        ",
    );
}

#[test]
fn a_request_in_flight_or_a_connection_keeps_a_session() {
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
          close session: Idle
          rejected: nobody: the session is closed: Idle
        ",
    );
}

#[test]
fn a_backend_that_talks_does_not_keep_a_session_that_its_client_has_left() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > +299s backend notification
        > close_stream standalone
        > +1s tick
          close session: Idle
        ",
    );
}

#[test]
fn what_is_rejected_does_not_keep_a_session() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > +299s get 1 after 7
          rejected: client: the last event of stream standalone has index 0
        > +1s tick
          close session: Idle
        ",
    );
}

#[test]
fn a_client_that_has_come_back_is_not_waited_for() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > close_stream 0 retry 60min
          to 1: 1/0 priming retry 3600s
          end 1: Requested
        > closed 1 through 1
        > get 2
          to 2: 0 priming
        > close_stream standalone retry 1440min
          to 2: 1 priming retry 86400s
          end 2: Requested
        > closed 2 through 1
        > +1s get 3 after 1
        > closed 3
        > get 4 after 1/0
        > backend response 7
          to 4: 2/0 response 7
          end 4: Complete
        > closed 4 through 2
        > +299s tick
        > +1s tick
          close session: Idle
        ",
    );
}

#[test]
fn a_client_whose_stream_is_gone_is_not_waited_for() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > close_stream 0 retry 1440min
          to 1: 1/0 priming retry 86400s
          end 1: Requested
        > closed 1 through 1
        > post cancelled 7
          to backend: cancelled 7
        > +299s tick
        > +1s tick
          close session: Idle
        ",
    );
}

#[test]
fn a_connection_that_was_not_told_of_a_gap_has_a_backlog() {
    let config = Config { window_bytes_max: 200, stream_events_max: 0, ..Config::default() };
    let mut run = Run::live("2025-06-18", config);
    run.check(
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
        > backend progress t
        > +10s backend progress t
        ",
    );
    assert!(run.has_backlog(1));
    run.check(
        "
        > taken 1 through 1
          to 1: gap 2..=3
        ",
    );
    assert!(!run.has_backlog(1));
    run.check(
        "
        > backend gone
          to 1: 4/0 failure 7 BackendGone
          end 1: SessionClosed
          close session: BackendGone
        ",
    );
}
