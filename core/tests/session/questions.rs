//! Requests of the backend that nobody hears.

use core::time::Duration;

use rejoin_core::Config;

use crate::script::check_live;

#[test]
fn a_request_that_nobody_hears_fails_and_leaves_no_gap() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > backend notification
        > backend request q1
        > backend notification
        > +10s tick
          fail q1: Undelivered
        > get 1
          to 1: replay 1 notification
          to 1: replay 3 notification
        > post response q1
          report Undeliverable { id: Some(\"q1\"), reason: UnknownServerRequest }
        ",
    );
}

#[test]
fn a_connection_in_time_hears_it() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > backend request q1
        > +9s get 1
          to 1: replay 1 request q1
        > +60s tick
          end 1: Stalled
        > +9s tick
        > +1s tick
          fail q1: Undelivered
        ",
    );
}

#[test]
fn what_was_taken_waits_for_its_answer_without_a_connection() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > get 1
        > backend request q1
          to 1: 1 request q1
        > backend request q2
          to 1: 2 request q2
        > closed 1 through 1
        > +10s tick
          fail q2: Undelivered
        > post response q1
          to backend: response q1
        ",
    );
}

#[test]
fn what_was_taken_waits_for_its_answer_for_an_hour() {
    check_live(
        "2025-06-18",
        Config { server_requests_max: 1, ..Config::default() },
        "
        > get 1
        > backend request q1
          to 1: 1 request q1
        > taken 1 through 1
        > +3599s backend request q2
          rejected: backend: 1 requests wait for the client's answer already
        > +1s backend request q2
          fail q1: TimedOut
          to 1: 2 request q2
        > post response q1
          report Undeliverable { id: Some(\"q1\"), reason: UnknownServerRequest }
        ",
    );
}

#[test]
fn a_client_that_was_told_to_come_back_later_is_waited_for() {
    let config = Config {
        orphan_timeout: Some(Duration::from_secs(60)),
        idle_timeout: Some(Duration::from_secs(5)),
        ..Config::default()
    };
    check_live(
        "2025-11-25",
        config.clone(),
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > get 2
          to 2: 0 priming
        > close_stream 0 retry 30s
          to 1: 1/0 priming retry 30s
          end 1: Requested
        > close_stream standalone retry 20s
          to 2: 1 priming retry 20s
          end 2: Requested
        > closed 1 through 1
        > closed 2 through 1
        > +10s backend request q1 related 7
        > backend request q2
        > +19s backend request q3
        > +1s tick
          fail q2: Undelivered
        > +9s backend request q4
          fail q3: Undelivered
        > +1s tick
          fail q1: Undelivered
        > +9s tick
          fail q4: Undelivered
        > +40s tick
        > +1s tick
          cancel 7
        > +4s tick
        ",
    );
    check_live(
        "2025-11-25",
        config,
        "
        > get 2
          to 2: 0 priming
        > close_stream standalone retry 20s
          to 2: 1 priming retry 20s
          end 2: Requested
        > closed 2 through 1
        > +24s tick
        > +1s tick
          close session: Idle
        ",
    );
}

#[test]
fn a_response_is_retained_for_a_client_that_was_told_to_come_back_later() {
    check_live(
        "2025-11-25",
        Config { tombstones_max: 0, ..Config::default() },
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > close_stream 0 retry 120s
          to 1: 1/0 priming retry 120s
          end 1: Requested
        > closed 1 through 1
        > backend response 7
        > +179s get 2 after 1/0
          to 2: 2/0 response 7
          end 2: Complete
        ",
    );
}

#[test]
fn what_a_draining_connection_takes_is_heard() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > get 1
          to 1: 0 priming
        > backend request q1
          to 1: 1 request q1
        > close_stream standalone
          end 1: Requested
        > +9s closed 1 through 1
        > +60s post response q1
          to backend: response q1
        ",
    );
}

#[test]
fn what_the_log_lets_go_of_before_it_is_heard_fails_at_once() {
    let config = Config { stream_events_max: 1, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > backend request q1
        > backend notification
          fail q1: Evicted
        > get 1
          to 1: gap 1..=1
          to 1: replay 2 notification
        > taken 1 through 2
        > backend request q2
          to 1: 3 request q2
        > backend notification
          to 1: 4 notification
        > closed 1 through 2
        > backend notification
          fail q2: Evicted
        ",
    );
}

#[test]
fn a_request_on_a_cancelled_stream_fails_with_it() {
    let config = Config { window_events_max: 1, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > backend request q1 related 7
          to 1: 1/0 request q1 related 7
        > taken 1 through 1
        > backend request q2 related 7
          to 1: 2/0 request q2 related 7
        > backend request q3 related 7
        > post cancelled 7
          to backend: cancelled 7
          end 1: Cancelled
          fail q2: Cancelled
          fail q3: Cancelled
        > post response q1
          to backend: response q1
        ",
    );
}

#[test]
fn a_request_on_a_stream_that_is_complete_waits_as_long_as_any() {
    let config = Config { retention: None, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > backend request q1 related 7
          to 1: 1/0 request q1 related 7
        > backend response 7
          to 1: 2/0 response 7
          end 1: Complete
        > +9s closed 1
        > +1s tick
          fail q1: Undelivered
        > get 2 after 0/0
          to 2: 2/0 response 7
          end 2: Complete
        ",
    );
}

#[test]
fn a_request_on_a_stream_that_is_buried_fails() {
    let config = Config { retained_unacknowledged_max: 0, ..Config::default() };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > backend request q1 related 7
          to 1: 1/0 request q1 related 7
        > backend response 7
          to 1: 2/0 response 7
          end 1: Complete
          fail q1: Evicted
        ",
    );
}
