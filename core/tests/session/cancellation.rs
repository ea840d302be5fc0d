//! Cancelled, abandoned and orphaned requests, and their reserved ids.

use std::time::Duration;

use rejoin_core::Config;

use crate::script::check_live;

#[test]
fn cancelling_closes_the_connection_and_reserves_the_id() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > post cancelled 7
          to backend: cancelled 7
          close 1: Cancelled
        > get 2 after 0/0
          rejected: client: stream 0 was cancelled
        > post 2 request 7
          rejected: client: request id 7 is in use
        > post 2 request 8 token t
          to backend: request 8 token t
        > backend response 7
          report Undeliverable { id: Some(7), reason: CancelledRequest }
        > post 3 request 7
          to backend: request 7
        > post cancelled 99
          to backend: cancelled 99
        ",
    );
}

#[test]
fn cancelled_id_is_reserved_for_cancelled_timeout() {
    let config = config! { cancelled_requests_max: 1 };
    check_live(
        "2025-06-18",
        config,
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
        > +59s post 3 request 1
          rejected: client: request id 1 is in use
        > +1s post 3 request 1
          to backend: request 1
        ",
    );
}

#[test]
fn batch_continues_without_its_cancelled_requests() {
    check_live(
        "2025-03-26",
        Config::default(),
        "
        > post 1 batch [request 1, request 2, request 3]
          to backend: request 1
          to backend: request 2
          to backend: request 3
        > post cancelled 2
          to backend: cancelled 2
        > backend response 1
          to 1: 1/0 response 1
        > post cancelled 3
          to backend: cancelled 3
          close 1: Complete
        > closed 1
        > get 2 after 0/0
          to 2: 1/0 response 1
          close 2: Complete
        ",
    );
}

#[test]
fn abandoning_a_stream_does_not_notify_the_backend() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7
          to backend: request 7
        > abandon 0
          close 1: Abandoned
        > backend response 7
          report Undeliverable { id: Some(7), reason: CancelledRequest }
        > get 2 after 0/0
          rejected: client: stream 0 was cancelled
        > post 3 request 8
          to backend: request 8
        > backend response 8
          to 3: 1/1 response 8
          close 3: Complete
        > abandon 1
        > get 4 after 0/1
          rejected: client: stream 1 was cancelled
        ",
    );
}

#[test]
fn orphan_is_cancelled_and_its_client_gets_a_failure() {
    let config = config! {
        orphan_timeout: Some(Duration::from_secs(600)),
        idle_timeout: Some(Duration::from_secs(300)),
    };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > closed 1
        > +599s tick
        > +1s tick
          cancel 7
        > backend response 7
          report Undeliverable { id: Some(7), reason: CancelledRequest }
        > +59s get 2 after 0/0
          to 2: 1/0 failure 7 Orphaned
          close 2: Complete
        ",
    );
}

#[test]
fn resume_before_orphan_timeout_keeps_the_request() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7
          to backend: request 7
        > closed 1
        > +599s get 2 after 0/0
        > +60min backend response 7
          to 2: 1/0 response 7
          close 2: Complete
        ",
    );
}
