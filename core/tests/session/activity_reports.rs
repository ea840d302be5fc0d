//! Reports of what became of requests, streams and readers.

use rejoin_core::Config;

use crate::script::{check_live, check_pending};

fn config() -> Config {
    config! { activity_reports: true }
}

#[test]
fn the_end_of_each_request_is_reported_with_its_outcome() {
    check_live(
        "2025-06-18",
        config! { message_bytes_max: 100, ..config() },
        "
        > post 1 request 1
          to backend: request 1
        > backend response 1
          to 1: 1/0 response 1
          report RequestEnded { stream: Request(0), id: 1, outcome: Result }
          close 1: Complete
        > post 2 request 2
          to backend: request 2
        > backend error 2
          to 2: 1/1 error 2
          report RequestEnded { stream: Request(1), id: 2, outcome: Error }
          close 2: Complete
        > post 3 request 3
          to backend: request 3
        > backend response 3 (101 bytes)
          to 3: 1/2 failure 3 Evicted
          report ResponseEvicted { stream: Request(2), id: 3 }
          report RequestEnded { stream: Request(2), id: 3, outcome: TooLarge }
          close 3: Complete
        > post 4 request 4
          to backend: request 4
        > post cancelled 4
          to backend: cancelled 4
          report RequestEnded { stream: Request(3), id: 4, outcome: Cancelled }
          close 4: Cancelled
        > post 5 request 5
          to backend: request 5
        > abandon 4
          report RequestEnded { stream: Request(4), id: 5, outcome: Abandoned }
          close 5: Abandoned
        ",
    );
}

#[test]
fn an_orphaned_request_is_reported_and_so_is_the_expiry_of_its_stream() {
    check_pending(
        1,
        config(),
        "
        > closed 1
        > +10min tick
          cancel 7
          report RequestEnded { stream: Request(0), id: 7, outcome: Orphaned }
        > +60s tick
          report StreamExpired { stream: Request(0) }
        ",
    );
}

#[test]
fn a_stream_that_was_acknowledged_expires_without_a_report() {
    check_pending(
        2,
        config(),
        "
        > backend response 7
          to 1: 1/0 response 7
          report RequestEnded { stream: Request(0), id: 7, outcome: Result }
          close 1: Complete
        > backend response 8
          to 2: 1/1 response 8
          report RequestEnded { stream: Request(1), id: 8, outcome: Result }
          close 2: Complete
        > closed 1 through 1
        > closed 2
        > +60s tick
          report StreamExpired { stream: Request(1) }
        ",
    );
}

#[test]
fn a_stalled_reader_is_reported() {
    check_pending(
        1,
        config(),
        "
        > backend progress t
          to 1: 1/0 progress t
        > +10s tick
          report ReaderStalled { connection: ConnectionId(1) }
        ",
    );
}

#[test]
fn requests_that_are_pending_at_the_close_are_listed_instead() {
    check_pending(
        1,
        config(),
        "
        > delete
          to 1: 1/0 failure 7 SessionClosed
          close 1: SessionClosed
          session closed: Deleted; pending 7
        ",
    );
}
