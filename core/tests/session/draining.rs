//! Draining: a session that accepts no further requests, and closes once it waits for nothing.

use rejoin_core::Config;

use crate::script::{Run, check, check_live, check_pending};

#[test]
fn an_idle_session_closes_at_once() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > get 1
          to 1: 0 priming
        > get 2
        > drain 5s
          to 1: 1 priming retry 5s
          close 1: Requested
          close 2: Requested
          session closed: ServerShutdown
        > drain 5s
        > post 3 request 7
          rejected: the session was closed: the server is shutting down
        ",
    );
}

#[test]
fn a_session_before_its_initialization_closes_at_once() {
    check(
        Config::default(),
        "
        > drain 5s
          session closed: ServerShutdown
        ",
    );
    check(
        Config::default(),
        "
        > post 1 initialize 0
          to backend: initialize 0
        > drain 5s
          answer 1: failure 0 SessionClosed
          close 1: SessionClosed
          session closed: ServerShutdown; pending 0
        ",
    );
}

#[test]
fn the_response_to_initialize_is_delivered() {
    check(
        Config::default(),
        "
        > post 1 initialize 0
          to backend: initialize 0
        > backend response 0 version 2025-11-25
          answer 1: response 0 version 2025-11-25
          close 1: Complete
        > drain 5s
        > ack 1 through 1
          session closed: ServerShutdown
        ",
    );
}

#[test]
fn pending_requests_finish_and_further_ones_are_rejected() {
    check_pending(
        2,
        Config::default(),
        "
        > get 5
        > drain 5s
        > post 6 request 11
          rejected: the server is shutting down
        > post 6 ping 12
          rejected: the server is shutting down
        > post 6 initialize 13
          rejected: the server is shutting down
        > post 6 batch [notification, request 14]
          rejected: the server is shutting down
        > post 1 request 15
          rejected: the server is shutting down
        > post notification
          to backend: notification
        > backend progress t
          to 1: 1/0 progress t
        > backend response 7
          to 1: 2/0 response 7
          close 1: Complete
        > ack 1 through 2
        > closed 1
        > post cancelled 8
          to backend: cancelled 8
          close 2: Cancelled
          close 5: Requested
          session closed: ServerShutdown
        ",
    );
}

#[test]
fn a_response_is_waited_for_until_it_is_acknowledged() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 json request 7
          to backend: request 7
        > drain 5s
        > backend response 7
          answer 1: response 7
          close 1: Complete
        > +1s tick
        > ack 1 through 1
          session closed: ServerShutdown
        ",
    );
}

#[test]
fn server_requests_of_a_pending_request_are_answered() {
    check_pending(
        1,
        Config::default(),
        "
        > drain 5s
        > backend request s related 7
          to 1: 1/0 request s related 7
        > ack 1 through 1
        > post response s
          to backend: response s
        > backend response 7
          to 1: 2/0 response 7
          close 1: Complete
        > closed 1 through 2
          session closed: ServerShutdown
        ",
    );
}

#[test]
fn a_client_that_lost_its_connection_comes_back_for_its_response() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > closed 1
        > backend response 7
        > drain 5s
        > +59s get 2 after 0/0
          to 2: 1/0 response 7
          close 2: Complete
        > ack 2 through 1
          session closed: ServerShutdown
        ",
    );
}

#[test]
fn a_client_that_does_not_come_back_is_waited_for_until_its_stream_expires() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > drain 5s
        > backend response 7
          to 1: 1/0 response 7
          close 1: Complete
        > +1s closed 1 through 0
        > +58s tick
        > +1s tick
          session closed: ServerShutdown
        ",
    );
}

#[test]
fn a_client_without_an_event_id_is_not_waited_for() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 json request 7
          to backend: request 7
        > post 2 request 8
          to backend: request 8
        > closed 1
          report ResponseLost { stream: Request(0) }
        > closed 2
        > drain 5s
        > backend response 7
        > backend response 8
          session closed: ServerShutdown
        ",
    );
}

#[test]
fn a_client_that_has_resumed_is_waited_for() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7
          to backend: request 7
        > closed 1
        > get 2 after 0/0
        > closed 2
        > backend response 7
        > drain 5s
        > get 3 after 0/0
          to 3: 1/0 response 7
          close 3: Complete
        > closed 3 through 1
          session closed: ServerShutdown
        ",
    );
}

#[test]
fn a_stalled_reader_is_waited_for_until_it_is_cut() {
    let config = config! { stall_disconnect_timeout: None, retention: None };
    let mut run = Run::live("2025-06-18", config);
    run.check(
        "
        > post 1 request 7
          to backend: request 7
        > backend response 7
          to 1: 1/0 response 7
          close 1: Complete
        > drain 5s
        > +60min tick
        > shutdown
          session closed: ServerShutdown
        ",
    );
    let config = config! { retention: Some(std::time::Duration::ZERO) };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > backend response 7
          to 1: 1/0 response 7
          close 1: Complete
        > drain 5s
        > +59s tick
        > +1s tick
          cut 1: Stalled
          session closed: ServerShutdown
        ",
    );
}

#[test]
fn a_window_that_is_full_is_emptied_first() {
    let config = config! { window_events_max: 1 };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
        > backend response 7
        > drain 5s
        > ack 1 through 1
          to 1: 2/0 response 7
          close 1: Complete
        > ack 1 through 2
          session closed: ServerShutdown
        ",
    );
}

#[test]
fn the_standalone_stream_is_not_waited_for() {
    let config = config! { window_events_max: 1 };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > backend notification
          to 1: 1 notification
        > backend request s
        > drain 5s
          close 1: Requested
          session closed: ServerShutdown; server s
        ",
    );
}

#[test]
fn a_later_drain_replaces_the_retry() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > get 1
          to 1: 0 priming
        > ack 1 through 0
        > post 2 request 7
          to 2: 0/0 priming
          to backend: request 7
        > drain 5s
        > drain 9s
        > backend response 7
          to 2: 1/0 response 7
          close 2: Complete
        > ack 2 through 1
          to 1: 1 priming retry 9s
          close 1: Requested
          session closed: ServerShutdown
        ",
    );
}

#[test]
fn draining_does_not_restart_the_idle_time() {
    check_live(
        "2025-11-25",
        config! { retention: None },
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > closed 1
        > backend response 7
        > +299s drain 5s
        > +1s tick
          session closed: Idle
        ",
    );
}

#[test]
fn pending_requests_get_failures_at_the_limit_of_the_driver() {
    check_pending(
        2,
        Config::default(),
        "
        > closed 2
        > drain 5s
        > +10s shutdown
          to 1: 1/0 failure 7 SessionClosed
          close 1: SessionClosed
          session closed: ServerShutdown; pending 7, 8
        ",
    );
}
