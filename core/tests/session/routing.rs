//! Routing of the backend's messages to streams.

use rejoin_core::{Config, UnrelatedRouting};

use crate::script::check_live;

#[test]
fn response_without_a_request_is_undeliverable() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > get 1
        > backend response 7
          report Undeliverable { id: Some(7), reason: UnknownRequest }
        > backend error 7
          report Undeliverable { id: Some(7), reason: UnknownRequest }
        > backend null-error
          report Undeliverable { id: None, reason: UnknownRequest }
        > post 2 request 7
          to backend: request 7
        > backend response 7
          to 2: 1/0 response 7
          close 2: Complete
        > backend response 7
          report Undeliverable { id: Some(7), reason: UnknownRequest }
        ",
    );
}

#[test]
fn progress_without_a_pending_request_is_dropped() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > get 1
        > post 2 request 7 token t
          to backend: request 7 token t
        > backend progress u
          report UnknownProgressToken { token: \"u\" }
        > backend progress t
          to 2: 1/0 progress t
        > backend response 7
          to 2: 2/0 response 7
          close 2: Complete
        > backend progress t
          report UnknownProgressToken { token: \"t\" }
        > post 3 request 8 token t
          to backend: request 8 token t
        > post cancelled 8
          to backend: cancelled 8
          close 3: Cancelled
        > backend progress t
          report UnknownProgressToken { token: \"t\" }
        > backend notification
          to 1: 1 notification
        ",
    );
}

#[test]
fn progress_token_of_a_task_outlives_its_request() {
    let config = config! { pending_requests_max: 2 };
    check_live(
        "2025-11-25",
        config,
        "
        > get 1
          to 1: 0 priming
        > post 2 request 7 token t
          to 2: 0/0 priming
          to backend: request 7 token t
        > backend progress t
          to 2: 1/0 progress t
        > backend response 7 creates task
          to 2: 2/0 response 7 creates task
          close 2: Complete
        > closed 2 through 2
        > backend progress t
          to 1: 1 progress t
        > post 3 request 8 token t
          to 3: 0/1 priming
          to backend: request 8 token t
        > backend progress t
          to 3: 1/1 progress t
        > backend error 8
          to 3: 2/1 error 8
          close 3: Complete
        > backend progress t
          report UnknownProgressToken { token: \"t\" }
        ",
    );
}

#[test]
fn task_tokens_are_limited_to_pending_requests_max() {
    let config = config! { pending_requests_max: 1 };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend response 7 creates task
          to 1: 1/0 response 7 creates task
          close 1: Complete
        > post 2 request 8 token u
          to backend: request 8 token u
        > backend response 8 creates task
          to 2: 1/1 response 8 creates task
          close 2: Complete
        > get 3
        > backend progress t
          report UnknownProgressToken { token: \"t\" }
        > backend progress u
          to 3: 1 progress u
        ",
    );
}

#[test]
fn related_messages_go_on_the_stream_of_their_request() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > get 1
        > post 2 request 7
          to backend: request 7
        > backend request q1 related 7
          to 2: 1/0 request q1 related 7
        > backend log related 7
          to 2: 2/0 log related 7
        > backend notification related 7
          to 2: 3/0 notification related 7
        > backend request q2
          to 1: 1 request q2
        > backend log related 8
          to 1: 2 log related 8
        > post response q1
          to backend: response q1
        ",
    );
}

#[test]
fn unrelated_messages_go_on_the_stream_of_the_sole_request() {
    let config = config! { unrelated_routing: UnrelatedRouting::SoleRequest };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > backend log
          to 1: 1 log
        > post 2 request 7
          to backend: request 7
        > backend log
          to 2: 1/0 log
        > backend request q1
          to 2: 2/0 request q1
        > backend notification
          to 1: 2 notification
        > post 3 request 8
          to backend: request 8
        > backend log
          to 1: 3 log
        > backend request q2
          to 1: 4 request q2
        > backend log related 8
          to 3: 1/1 log related 8
        > backend response 8
          to 3: 2/1 response 8
          close 3: Complete
        > backend log related 8
          to 1: 5 log related 8
        ",
    );
}

#[test]
fn cancellation_by_the_backend_follows_its_request() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > get 1
        > post 2 request 7
          to backend: request 7
        > backend request q1 related 7
          to 2: 1/0 request q1 related 7
        > backend request 7
          to 1: 1 request 7
        > backend cancelled q1
          to 2: 2/0 cancelled q1
        > backend cancelled 7
          to 1: 2 cancelled 7
        > backend cancelled 7
          to 1: 3 cancelled 7
        > post response q1
          report Undeliverable { id: Some(\"q1\"), reason: UnknownServerRequest }
        ",
    );
}

#[test]
fn backend_faults_are_rejected() {
    let config = config! { server_requests_max: 2, message_bytes_max: 10 };
    check_live(
        "2025-06-18",
        config,
        "
        > get 1
        > backend request q1
          to 1: 1 request q1
        > backend request q1
          rejected: backend: request id \"q1\" is in use
        > backend request q2
          to 1: 2 request q2
        > backend request q3
          rejected: backend: too many server requests without a response (maximum 2)
        > backend log (11 bytes)
          rejected: backend: the message is larger than 10 bytes
        > post response q1
          to backend: response q1
        > backend request q1
          to 1: 3 request q1
        ",
    );
}
