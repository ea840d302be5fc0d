//! Cancelling, abandoning, and what becomes of the ids.

use std::time::Duration;

use rejoin_core::Config;

use crate::script::check_live;

#[test]
fn a_cancellation_closes_the_stream_and_reserves_the_id() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7 token t
          to backend: request 7 token t
        > post cancelled 7
          to backend: cancelled 7
          end 1: Cancelled
        > get 2 after 0/0
          rejected: client: stream 0 was cancelled
        > post 2 request 7
          rejected: client: the request id 7 is in use
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
fn the_id_is_reserved_for_a_minute() {
    let config = Config { cancelled_requests_max: 1, ..Config::default() };
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
          end 1: Cancelled
        > post cancelled 2
          to backend: cancelled 2
          end 2: Cancelled
        > closed 1
        > closed 2
        > +59s post 3 request 1
          rejected: client: the request id 1 is in use
        > +1s post 3 request 1
          to backend: request 1
        ",
    );
}

#[test]
fn a_batch_goes_on_without_its_cancelled_requests() {
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
          end 1: Complete
        > closed 1
        > get 2 after 0/0
          to 2: 1/0 response 1
          end 2: Complete
        ",
    );
}

#[test]
fn an_abandoned_stream_is_cancelled_without_a_word_to_the_backend() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > post 1 request 7
          to backend: request 7
        > abandon 0
          end 1: Abandoned
        > backend response 7
          report Undeliverable { id: Some(7), reason: CancelledRequest }
        > get 2 after 0/0
          rejected: client: stream 0 was cancelled
        > post 3 request 8
          to backend: request 8
        > backend response 8
          to 3: 1/1 response 8
          end 3: Complete
        > abandon 1
        > get 4 after 0/1
          rejected: client: stream 1 was cancelled
        ",
    );
}

#[test]
fn an_orphan_is_cancelled_at_the_backend_and_ends_in_a_failure() {
    let config = Config {
        orphan_timeout: Some(Duration::from_secs(600)),
        idle_timeout: Some(Duration::from_secs(300)),
        ..Config::default()
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
          end 2: Complete
        ",
    );
}

#[test]
fn a_connection_in_time_saves_an_orphan() {
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
          end 2: Complete
        ",
    );
}
