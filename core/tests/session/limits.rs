//! Limits on what a client may use.

use std::time::Duration;

use crate::script::check_live;

#[test]
fn rejection_names_the_exceeded_limit() {
    let config = config! {
        streams_max: 2,
        pending_requests_max: 1,
        connections_max: 3,
        message_bytes_max: 10,
    };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 1 (11 bytes)
          rejected: client: the message is larger than 10 bytes
        > post notification (11 bytes)
          rejected: client: the message is larger than 10 bytes
        > post 1 request 1
          to backend: request 1
        > post 2 request 2
          rejected: client: too many pending requests (maximum 1)
        > get 3
        > get 4
        > get 5
          rejected: client: too many open connections (maximum 3)
        ",
    );
}

#[test]
fn complete_streams_count_until_everything_was_sent() {
    let config = config! { streams_max: 1, window_events_max: 1 };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 1 token t
          to backend: request 1 token t
        > backend progress t
          to 1: 1/0 progress t
        > backend response 1
        > post 2 request 2
          rejected: client: too many open request streams (maximum 1)
        > ack 1 through 1
          to 1: 2/0 response 1
          close 1: Complete
        > post 2 request 2
          to backend: request 2
        ",
    );
}

#[test]
fn cancelled_requests_do_not_count_as_pending() {
    let config = config! { pending_requests_max: 1, cancelled_requests_max: 2 };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 1
          to backend: request 1
        > post cancelled 1
          to backend: cancelled 1
          close 1: Cancelled
        > post 2 request 2
          to backend: request 2
        > post 3 request 3
          rejected: client: too many pending requests (maximum 1)
        > abandon 1
          close 2: Abandoned
        > post 3 request 3
          to backend: request 3
        ",
    );
}

#[test]
fn cancelled_requests_over_their_limit_count_as_pending() {
    let config = config! { pending_requests_max: 2, cancelled_requests_max: 1 };
    let rejection = "rejected: client: too many cancelled requests without a response (maximum 1)";
    check_live(
        "2025-03-26",
        config,
        &format!(
            "
            > post 1 request 1
              to backend: request 1
            > post 2 request 2
              to backend: request 2
            > post cancelled 1
              to backend: cancelled 1
              close 1: Cancelled
            > post cancelled 2
              to backend: cancelled 2
              close 2: Cancelled
            > closed 1
            > closed 2
            > post 3 batch [request 3, request 4]
              {rejection}
            > post 3 request 3
              to backend: request 3
            > post 4 request 4
              {rejection}
            > backend response 2
              report Undeliverable {{ id: Some(2), reason: CancelledRequest }}
            > post 4 request 4
              to backend: request 4
            > +59s post cancelled 4
              to backend: cancelled 4
              close 4: Cancelled
            > closed 4
            > post 5 request 5
              {rejection}
            > +1s post 5 request 5
              to backend: request 5
            "
        ),
    );
}

#[test]
fn without_cancelled_requests_max_every_cancelled_request_counts_as_pending() {
    let config = config! { pending_requests_max: 1, cancelled_requests_max: 0 };
    let rejection = "rejected: client: too many cancelled requests without a response (maximum 0)";
    check_live(
        "2025-06-18",
        config,
        &format!(
            "
            > post 1 request 1
              to backend: request 1
            > post cancelled 1
              to backend: cancelled 1
              close 1: Cancelled
            > closed 1
            > post 2 request 1
              rejected: client: request id 1 is in use
            > post 2 request 2
              {rejection}
            > +60s post 2 request 1
              to backend: request 1
            "
        ),
    );
}

#[test]
fn resuming_a_retained_stream_counts_against_streams_max() {
    let config = config! { streams_max: 1, window_events_max: 1 };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 1
          to backend: request 1
        > closed 1
        > backend response 1
        > post 2 request 2
          to backend: request 2
        > get 3 after 0/0
          rejected: client: too many open request streams (maximum 1)
        > backend response 2
          to 2: 1/1 response 2
          close 2: Complete
        > get 3 after 0/0
          to 3: 1/0 response 1
          close 3: Complete
        ",
    );
}

#[test]
fn limits_of_zero_still_allow_live_events() {
    let config = config! {
        stream_events_max: 0,
        stream_bytes_max: 0,
        session_bytes_max: 0,
        shadows_max: 0,
        retained_unacknowledged_max: 0,
        retained_acknowledged_max: 0,
        tombstones_max: 0,
        cancelled_requests_max: 0,
        server_requests_max: 0,
        batch_max: 0,
        retention: Some(Duration::ZERO),
    };
    check_live(
        "2025-03-26",
        config,
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > backend progress t
          to 1: 1/0 progress t
          hold 0
        > ack 1 through 1
          release 0
        > backend response 7
          to 1: 2/0 response 7
          close 1: Complete
        > ack 1 through 2
        > post 2 batch [request 8]
          rejected: client: the batch has more than 0 messages
        > backend request q1
          rejected: backend: too many server requests without a response (maximum 0)
        > post 2 request 8
          to backend: request 8
        > post cancelled 8
          to backend: cancelled 8
          close 2: Cancelled
        > post 3 request 9
          to backend: request 9
        ",
    );
}

#[test]
fn too_large_response_is_replaced_by_a_failure() {
    let config = config! { message_bytes_max: 10 };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > backend response 7 (11 bytes)
          to 1: 1/0 failure 7 Evicted
          report ResponseEvicted { stream: Request(0), id: 7 }
          close 1: Complete
        > backend error 8 (11 bytes)
          report Undeliverable { id: Some(8), reason: UnknownRequest }
        ",
    );
}

#[test]
fn resume_at_connections_max_replaces_the_old_connection() {
    let config = config! { connections_max: 1 };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > get 2
          rejected: client: too many open connections (maximum 1)
        > get 2 after 0/0
          cut 1: Replaced
        > backend response 7
          to 2: 1/0 response 7
          close 2: Complete
        > get 3 after 0/0
          cut 2: Replaced
          to 3: 1/0 response 7
          close 3: Complete
        ",
    );
}
