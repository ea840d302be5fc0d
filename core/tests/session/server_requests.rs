//! Server requests: delivery, responses and timeouts.

use core::time::Duration;

use rejoin_core::Config;

use crate::script::check_live;

#[test]
fn undelivered_request_fails_without_a_gap() {
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
          to 1: 1 notification
          to 1: 3 notification
        > post response q1
          report Undeliverable { id: Some(\"q1\"), reason: UnknownServerRequest }
        ",
    );
}

#[test]
fn get_before_delivery_timeout_gets_the_request() {
    check_live(
        "2025-06-18",
        Config::default(),
        "
        > backend request q1
        > +9s get 1
          to 1: 1 request q1
        > +60s tick
          cut 1: Stalled
        > +9s tick
        > +1s tick
          fail q1: Undelivered
        ",
    );
}

#[test]
fn delivered_request_awaits_its_response_while_detached() {
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
fn delivered_request_fails_after_server_request_timeout() {
    check_live(
        "2025-06-18",
        config! { server_requests_max: 1 },
        "
        > get 1
        > backend request q1
          to 1: 1 request q1
        > ack 1 through 1
        > +3599s backend request q2
          rejected: backend: too many server requests without a response (maximum 1)
        > +1s backend request q2
          fail q1: TimedOut
          to 1: 2 request q2
        > post response q1
          report Undeliverable { id: Some(\"q1\"), reason: UnknownServerRequest }
        ",
    );
}

#[test]
fn timeouts_start_after_the_retry() {
    let config = config! {
        orphan_timeout: Some(Duration::from_secs(60)),
        idle_timeout: Some(Duration::from_secs(5)),
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
        > disconnect 0 retry 30s
          to 1: 1/0 priming retry 30s
          close 1: Requested
        > disconnect standalone retry 20s
          to 2: 1 priming retry 20s
          close 2: Requested
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
        > disconnect standalone retry 20s
          to 2: 1 priming retry 20s
          close 2: Requested
        > closed 2 through 1
        > +24s tick
        > +1s tick
          session closed: Idle
        ",
    );
}

#[test]
fn retention_starts_after_the_retry() {
    check_live(
        "2025-11-25",
        config! { tombstones_max: 0 },
        "
        > post 1 request 7
          to 1: 0/0 priming
          to backend: request 7
        > disconnect 0 retry 120s
          to 1: 1/0 priming retry 120s
          close 1: Requested
        > closed 1 through 1
        > backend response 7
        > +179s get 2 after 1/0
          to 2: 2/0 response 7
          close 2: Complete
        ",
    );
}

#[test]
fn acknowledgement_on_a_draining_connection_delivers_the_request() {
    check_live(
        "2025-11-25",
        Config::default(),
        "
        > get 1
          to 1: 0 priming
        > backend request q1
          to 1: 1 request q1
        > disconnect standalone
          close 1: Requested
        > +9s closed 1 through 1
        > +60s post response q1
          to backend: response q1
        ",
    );
}

#[test]
fn request_evicted_before_delivery_fails() {
    let config = config! { stream_events_max: 1 };
    check_live(
        "2025-06-18",
        config,
        "
        > backend request q1
        > backend notification
          fail q1: Evicted
        > get 1
          to 1: 1 gap 1..=1
          to 1: 2 notification
        > ack 1 through 2
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
fn undelivered_request_of_a_cancelled_stream_fails() {
    let config = config! { window_events_max: 1 };
    check_live(
        "2025-06-18",
        config,
        "
        > post 1 request 7
          to backend: request 7
        > backend request q1 related 7
          to 1: 1/0 request q1 related 7
        > ack 1 through 1
        > backend request q2 related 7
          to 1: 2/0 request q2 related 7
        > backend request q3 related 7
        > post cancelled 7
          to backend: cancelled 7
          close 1: Cancelled
          fail q2: Cancelled
          fail q3: Cancelled
        > post response q1
          to backend: response q1
        ",
    );
}

#[test]
fn undelivered_request_of_a_complete_stream_has_delivery_timeout() {
    let config = config! { retention: None };
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
          close 1: Complete
        > +9s closed 1
        > +1s tick
          fail q1: Undelivered
        > get 2 after 0/0
          to 2: 2/0 response 7
          close 2: Complete
        ",
    );
}

#[test]
fn undelivered_request_of_an_evicted_stream_fails() {
    let config = config! { retained_unacknowledged_max: 0 };
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
          close 1: Complete
          fail q1: Evicted
        ",
    );
}
