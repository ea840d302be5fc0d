//! Losing the backend: requests end in failures, and the session lives on.

use rejoin_core::Config;

use crate::script::{Run, check, check_live, check_pending};

#[test]
fn pending_requests_fail_and_answers_stay() {
    check_pending(
        3,
        Config::default(),
        "
        > backend progress u
          to 2: 1/1 progress u
        > closed 2 through 1
        > backend response 9
          to 3: 1/2 response 9
          close 3: Complete
        > closed 3
        > backend lost
          to 1: 1/0 failure 7 BackendGone
          close 1: Complete
        > get 4 after 1/1
          to 4: 2/1 failure 8 BackendGone
          close 4: Complete
        > get 5 after 0/2
          to 5: 1/2 response 9
          close 5: Complete
        > post 6 request 7
          to backend: request 7
        ",
    );
}

#[test]
fn each_pending_request_of_a_batch_fails() {
    check_live(
        "2025-03-26",
        config! { activity_reports: true },
        "
        > post 1 batch [request 7, request 8, request 9]
          to backend: request 7
          to backend: request 8
          to backend: request 9
        > backend response 8
          to 1: 1/0 response 8
          report RequestEnded { stream: Request(0), id: 8, outcome: Result }
        > backend lost
          to 1: 2/0 failure 7 BackendGone
          report RequestEnded { stream: Request(0), id: 7, outcome: BackendLost }
          to 1: 3/0 failure 9 BackendGone
          report RequestEnded { stream: Request(0), id: 9, outcome: BackendLost }
          close 1: Complete
        ",
    );
}

#[test]
fn undelivered_server_requests_leave_the_log() {
    check_pending(
        1,
        Config::default(),
        "
        > backend request a
        > backend notification
        > backend request b related 7
          to 1: 1/0 request b related 7
        > ack 1 through 1
        > backend lost
          to 1: 2/0 failure 7 BackendGone
          close 1: Complete
        > get 2 after 0
          to 2: 2 notification
        > post response a
          report Undeliverable { id: Some(\"a\"), reason: UnknownServerRequest }
        > post response b
          report Undeliverable { id: Some(\"b\"), reason: UnknownServerRequest }
        > closed 1 through 2
        > get 3 after 0/0
          to 3: 1/0 request b related 7
          to 3: 2/0 failure 7 BackendGone
          close 3: Complete
        ",
    );
}

#[test]
fn connection_of_a_complete_stream_closes_if_only_a_server_request_was_left() {
    check_pending(
        1,
        config! { window_events_max: 1 },
        "
        > backend response 7
          to 1: 1/0 response 7
          close 1: Complete
        > post 2 request 8 token u
          to backend: request 8 token u
        > backend progress u
          to 2: 1/1 progress u
        > backend request a related 8
        > post cancelled 8
          to backend: cancelled 8
          close 2: Cancelled
          fail a: Cancelled
        > backend lost
        ",
    );
    check_live(
        "2025-03-26",
        config! { window_events_max: 1 },
        "
        > post 1 batch [request 7, request 8]
          to backend: request 7
          to backend: request 8
        > backend response 7
          to 1: 1/0 response 7
        > backend request a related 8
        > post cancelled 8
          to backend: cancelled 8
        > backend lost
          close 1: Complete
        ",
    );
}

#[test]
fn ids_and_tokens_are_free() {
    check_pending(
        2,
        Config::default(),
        "
        > post cancelled 7
          to backend: cancelled 7
          close 1: Cancelled
        > backend response 8 creates task
          to 2: 1/1 response 8 creates task
          close 2: Complete
        > post 3 request 7
          rejected: client: request id 7 is in use
        > backend progress u
        > backend lost
        > backend progress u
          report UnknownProgressToken { token: \"u\" }
        > post 3 request 7
          to backend: request 7
        ",
    );
}

#[test]
fn senders_are_released() {
    check_pending(
        1,
        config! { session_bytes_max: 500 },
        "
        > backend progress t (300 bytes)
          to 1: 1/0 progress t (300 bytes)
        > backend progress t (300 bytes)
          hold 0
          rejected: the session has no room for the message until its readers have caught up
        > backend lost
          release 0
          to 1: 2/0 failure 7 BackendGone
          close 1: Complete
        ",
    );
}

#[test]
fn session_that_is_not_initialized_closes() {
    check(
        Config::default(),
        "
        > post 0 initialize 0
          to backend: initialize 0
        > backend lost
          answer 0: failure 0 BackendGone
          close 0: SessionClosed
          session closed: BackendGone; pending 0
        > backend lost
          rejected: the session was closed: the server is no longer available
        ",
    );
}

#[test]
fn failures_are_committed() {
    check_pending(
        1,
        config! { commits: true },
        "
        > backend request a
          commit 2: 1 request a
        > committed 2
        > backend lost
          commit 2: server request a ended, retracted
          commit 3: 1/0 failure 7 BackendGone
          commit 4: completed 0
        > committed 4
          to 1: 1/0 failure 7 BackendGone
          close 1: Complete
        ",
    );
}

#[test]
fn session_is_vacant_once_its_client_can_get_nothing() {
    let mut run = Run::live("2025-06-18", Config::default());
    assert!(run.is_vacant());
    run.check(
        "
        > post 1 request 7
          to backend: request 7
        > backend lost
          to 1: 1/0 failure 7 BackendGone
          close 1: Complete
        ",
    );
    assert!(!run.is_vacant());
    run.check("> closed 1 through 1");
    assert!(!run.is_vacant(), "its answer is retained");
    run.check("> +60s tick");
    assert!(run.is_vacant());
    run.check("> get 2");
    assert!(!run.is_vacant());
}
